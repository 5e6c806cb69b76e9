"""The owner of a log that several processes write: lets them write, evicts one that hangs."""

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
WATCH_INTERVAL: Final = 1.0  # seconds between two checks of which process holds the write lock


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
    """Let other processes write for the length of the block, once the writer has published the end.

    When the block is left, the followers have received all records. Raises `UnavailableError`.
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
    """Evict a process that holds the write lock for longer than `WATCH_INTERVAL`."""
    before = (0, 0)
    while True:
        await world.sleep(WATCH_INTERVAL)
        now = tail.holder
        if now == before and now[0]:
            tail.evict(now[0])
        before = now


def _unavailable(why: str) -> UnavailableError:
    return UnavailableError("audit_unavailable", f"the audit log cannot be opened: {why}")
