"""What a log's owner does where other processes write it, too.

He lets them, and sees to it that none of them is in the way of the others.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio

from actors import World
from vault.audit.feed import LogFeed
from vault.audit.layout import LogLayout
from vault.audit.shared_tail import SharedTail, wait_exclusive
from vault.errors import UnavailableError

EXCLUSIVE_TIMEOUT: Final = (
    5.0  # seconds for processes of an earlier run to be gone: they were killed
)
WATCH_INTERVAL: Final = 1.0  # seconds between two looks at who has the turn


def wait_all_exclusive(layouts: Sequence[LogLayout]) -> None:
    """Return once no process of an earlier run can write there. Blocks.

    Raises `UnavailableError` when there still is one.
    """
    for layout in layouts:
        try:
            alone = wait_exclusive(layout.head_file, EXCLUSIVE_TIMEOUT)
        except OSError:  # it is yet to begin, or whoever opens it is told the same
            continue
        if not alone:
            raise _unavailable("a process of an earlier run has not ended; end it, then try again")


@asynccontextmanager
async def share_log(
    tail: SharedTail | None, feed: LogFeed, commits: Callable[[], int], world: World
) -> AsyncIterator[None]:
    """For the length of the block others may write, once the writer has left the end to them.

    Its followers are told of all that is on record when the block is left. Raises
    `UnavailableError`.
    """
    if tail is None:
        yield
        return
    try:
        tail.announce()
    except OSError as error:
        raise _unavailable(f"its head cannot be locked: {error.strerror}") from error
    tail.reset()
    tail.commits = commits()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed.run)
            nursery.start_soon(_watch_writers, tail, world)
            yield
            await feed.wait_caught_up()
            nursery.cancel_scope.cancel()
    finally:
        tail.close_to_others()
        tail.close()


async def _watch_writers(tail: SharedTail, world: World) -> None:
    """Whoever has had one and the same turn for so long may hang: then he is ended."""
    before = (0, 0)
    while True:
        await world.sleep(WATCH_INTERVAL)
        now = tail.holder
        if now == before and now[0]:
            tail.evict(now[0])
        before = now


def _unavailable(why: str) -> UnavailableError:
    return UnavailableError("audit_unavailable", f"the audit log cannot be opened: {why}")
