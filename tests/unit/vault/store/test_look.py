"""What is asked at the start of each request: whether somebody else has committed."""

import trio
from trio.testing import wait_all_tasks_blocked

from vault.store.look import Look


class Database:
    """Counts the looks; each waits until it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.gates: list[trio.Event] = []
        self.error: Exception | None = None

    async def look(self) -> None:
        """One look."""
        self.begun += 1
        gate = trio.Event()
        self.gates.append(gate)
        await gate.wait()
        if self.error is not None:
            raise self.error


async def test_all_who_ask_meanwhile_share_the_next_one() -> None:
    """One that began before the question does not count."""
    database = Database()
    look = Look(database.look)
    done: list[int] = []

    async def ask(number: int) -> None:
        await look()
        done.append(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, 0)
        await wait_all_tasks_blocked()
        for number in range(1, 30):
            nursery.start_soon(ask, number)
        await wait_all_tasks_blocked()
        assert database.begun == 1
        database.gates[0].set()
        await wait_all_tasks_blocked()
        assert done == [0]
        assert database.begun == 2
        database.gates[1].set()
    assert len(done) == 30
    assert database.begun == 2


async def test_who_leaves_takes_nobody_along() -> None:
    """The one who has taken it on is cancelled: another one takes its place."""
    database = Database()
    look = Look(database.look)
    first, taker = trio.CancelScope(), trio.CancelScope()
    done: list[int] = []

    async def ask(scope: trio.CancelScope, number: int) -> None:
        with scope:
            await look()
            done.append(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, first, 0)
        await wait_all_tasks_blocked()
        nursery.start_soon(ask, taker, 1)
        await wait_all_tasks_blocked()
        nursery.start_soon(ask, trio.CancelScope(), 2)
        nursery.start_soon(ask, trio.CancelScope(), 3)
        await wait_all_tasks_blocked()
        taker.cancel()
        await wait_all_tasks_blocked()
        database.gates[0].set()
        await wait_all_tasks_blocked()
        database.gates[1].set()
    assert sorted(done) == [0, 2, 3]


async def test_a_failure_is_everybodys() -> None:
    """Nobody is answered from memory by a look that failed; the next one may succeed."""
    database = Database()
    look = Look(database.look)
    database.error = OSError("away")
    failed: list[int] = []

    async def ask(number: int) -> None:
        try:
            await look()
        except OSError:
            failed.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(ask, number)
            await wait_all_tasks_blocked()
        database.gates[0].set()
        await wait_all_tasks_blocked()
        database.gates[1].set()
    assert sorted(failed) == [0, 1, 2]
    database.error = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await wait_all_tasks_blocked()
        database.gates[2].set()
