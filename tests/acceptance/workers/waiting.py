"""Waiting for what comes about in another process."""

import time
from collections.abc import Callable

PATIENCE = 20.0  # seconds


def await_true(ask: Callable[[], bool]) -> None:
    """Ask until it is so, or fail."""
    end = time.monotonic() + PATIENCE
    while not ask():
        assert time.monotonic() < end, "it has not come about"
        time.sleep(0.05)
