"""Tests of a turn: one at a time, within a bound."""

import pytest
import trio
import trio.testing

from vault.errors import UnavailableError
from vault.store.timed_lock import TimedLock


async def test_one_at_a_time() -> None:
    """Whoever comes meanwhile waits, and has it next."""
    turn, diary = TimedLock(), list[str]()

    async def take(name: str) -> None:
        async with turn.hold():
            diary.append(f"{name} in")
            await trio.lowlevel.checkpoint()
            diary.append(f"{name} out")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take, "a")
        nursery.start_soon(take, "b")
    assert [line.split()[1] for line in diary] == ["in", "out"] * 2


async def test_nobody_waits_without_end(autojump_clock: trio.testing.MockClock) -> None:
    """After the bound it is told that nothing is done; a shield around it does not hold it."""
    turn = TimedLock(seconds=3)

    async def hold() -> None:
        async with turn.hold():
            await trio.sleep(100)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold)
        await trio.testing.wait_all_tasks_blocked()
        with (
            trio.CancelScope(shield=True),
            pytest.raises(UnavailableError, match="store_busy") as told,
        ):
            async with turn.hold():
                pass
        assert trio.current_time() < 100
    assert told.value.details["outcome"] == "none"
    async with turn.hold():
        pass  # it was given back, and who gave up holds nothing
