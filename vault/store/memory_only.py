"""Work that is answered from memory alone: what is not there fails at once.

For stale reads, while the database does not answer. It is bound to the task and not an argument of
each call, as fences are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from vault.errors import UnavailableError

_memory_only: Final[ContextVar[bool]] = ContextVar("memory_only", default=False)


@contextmanager
def use_memory_only() -> Iterator[None]:
    """Within the block nothing that this task does asks the database."""
    token = _memory_only.set(True)
    try:
        yield
    finally:
        _memory_only.reset(token)


def is_memory_only() -> bool:
    """Whether this task is within such a block."""
    return _memory_only.get()


def require_database() -> None:
    """Raise `UnavailableError` if this task may not ask the database."""
    if _memory_only.get():
        raise not_in_memory()


def not_in_memory() -> UnavailableError:
    """The error for what only the database can answer."""
    return UnavailableError(
        "store_unavailable",
        "the database does not answer, and this is not in memory: try again",
        outcome="none",
    )
