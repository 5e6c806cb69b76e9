"""Shields a request from cancellation, from its first write on.

Until then nothing has happened, and a client that disconnects frees its place in every queue. It is
a context variable, since the write is many calls below the request.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import trio

_current: Final[ContextVar[trio.CancelScope | None]] = ContextVar("uncut", default=None)


@contextmanager
def shield_change(*, started: bool) -> Iterator[None]:
    """Shield the block from cancellation, at once if `started`, else from `start_shielding`."""
    with trio.CancelScope(shield=started) as scope:
        token = _current.set(scope)
        try:
            yield
        finally:
            _current.reset(token)


def start_shielding() -> None:
    """The running request begins to change something."""
    scope = _current.get()
    if scope is not None:
        scope.shield = True


def stop_shielding() -> None:
    """The changes so far are complete: the request can be cancelled until its next write."""
    scope = _current.get()
    if scope is not None:
        scope.shield = False
