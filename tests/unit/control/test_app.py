"""control.app: what comes first; acceptance tests run the whole control plane."""

from typing import Any

import pytest

from control.app import serve
from protocols import msgspec_init


class Made(Exception):  # noqa: N818  # no error: as far as this test goes
    """The shapes are ready."""


async def test_shapes_are_ready_before_there_are_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it looks at anything of its settings."""

    def complete() -> None:
        raise Made

    monkeypatch.setattr(msgspec_init, "prepare_structs", complete)
    nothing: Any = None
    with pytest.raises(Made):
        await serve(nothing, print)
