"""Fencing: each transaction of a task first checks that the task still may do what it does.

An agent whose lease has passed to another one may not know it yet, since it was paused or cut off.
So the check is part of the transaction. It is bound to the task and not an argument of each call:
the handlers, the barrier and everything else between a job and its transactions know nothing of it,
and none of them can leave it out.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypeAlias, TypeVar

from vault.store.transaction import StoreTx

T = TypeVar("T")

Fence: TypeAlias = Callable[[StoreTx], None]
"""Raises unless the transaction may go on."""

_fences: Final[ContextVar[tuple[Fence, ...]]] = ContextVar("fences", default=())


@contextmanager
def fence_transactions(fence: Fence) -> Iterator[None]:
    """Within the block, `fence` is part of each change that this task, or one it starts, commits.

    What it raises, the commit raises; nothing of the change is stored.
    """
    token = _fences.set((*_fences.get(), fence))
    try:
        yield
    finally:
        _fences.reset(token)


def fenced(change: Callable[[StoreTx], T]) -> Callable[[StoreTx], T]:
    """The change, behind the fences of the task that calls this."""
    fences = _fences.get()
    if not fences:
        return change

    def run(tx: StoreTx) -> T:
        for fence in fences:
            fence(tx)
        return change(tx)

    return run
