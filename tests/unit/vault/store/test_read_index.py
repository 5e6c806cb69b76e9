"""The coalesced check at the start of a request."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from vault.store.read_index import ReadIndex


class Database:
    """Counts checks; each waits for `release`."""

    def __init__(self) -> None:
        self.checks = 0
        self.gate = trio.Event()
        self.error: Exception | None = None

    async def check(self) -> None:
        """One check."""
        self.checks += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error

    def release(self) -> None:
        """Let the check that is under way end; the next one waits again."""
        self.gate.set()
        self.gate = trio.Event()


async def test_callers_during_a_check_share_the_next_one() -> None:
    """A check that began before the call could miss a commit: it does not count for it."""
    database = Database()
    index = ReadIndex(database.check)
    returned: list[str] = []

    async def call(name: str) -> None:
        await index.catch_up()
        returned.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call, "first")
        await wait_all_tasks_blocked()
        for name in ("second", "third", "fourth"):
            nursery.start_soon(call, name)
        await wait_all_tasks_blocked()
        database.release()
        await wait_all_tasks_blocked()
        assert (returned, database.checks) == (["first"], 2)
        database.release()
    assert sorted(returned[1:]) == ["fourth", "second", "third"]
    assert database.checks == 2


async def test_a_failed_check_fails_for_all_that_share_it() -> None:
    """And the next call checks again."""
    database = Database()
    index = ReadIndex(database.check)
    failed: list[str] = []

    async def call() -> None:
        try:
            await index.catch_up()
        except OSError as error:
            failed.append(str(error))

    database.error = OSError("no answer")
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(call)
            await wait_all_tasks_blocked()
        database.release()
        await wait_all_tasks_blocked()
        database.release()
    assert (failed, database.checks) == (["no answer"] * 3, 2)
    database.error = None
    database.gate.set()
    await index.catch_up()
    assert database.checks == 3


async def test_a_cancelled_caller_does_not_end_the_check_of_others() -> None:
    """Another caller runs it instead."""
    database = Database()
    index = ReadIndex(database.check)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(index.catch_up)
        await wait_all_tasks_blocked()
        cancelled = trio.CancelScope()

        async def run_cancelled() -> None:
            with cancelled:
                await index.catch_up()

        nursery.start_soon(run_cancelled)
        await wait_all_tasks_blocked()
        nursery.start_soon(index.catch_up)
        await wait_all_tasks_blocked()
        cancelled.cancel()
        await wait_all_tasks_blocked()
        database.release()
        await wait_all_tasks_blocked()
        assert database.checks == 2
        database.release()


@pytest.mark.parametrize("calls", [1, 3])
async def test_without_others_each_call_is_one_check(calls: int) -> None:
    """One after the other."""
    database = Database()
    database.gate.set()
    index = ReadIndex(database.check)
    for _ in range(calls):
        await index.catch_up()
    assert database.checks == calls
