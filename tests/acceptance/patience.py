"""Waits for what other programs do, which nobody can be told of."""

import time
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 60.0
"""Seconds, on a machine that is busy."""
_PAUSE: Final = 0.05


def until(holds: Callable[[], object], what: str) -> None:
    """Return once it holds; fails after `PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(_PAUSE)
