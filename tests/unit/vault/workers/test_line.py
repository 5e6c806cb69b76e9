"""vault.workers.line: whoever finds a queue full waits in turn, and not for ever."""

import trio
import trio.testing

from vault.workers.line import Line


async def test_in_turn(autojump_clock: trio.testing.MockClock) -> None:
    """As many go on as there is room for, the first that came first."""
    line, gone = Line(10.0), list[int]()

    async def come(number: int) -> None:
        assert await line.has_waited()
        gone.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(come, number)
            await trio.testing.wait_all_tasks_blocked()
        line.admit(2)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(gone) == [0, 1]
        line.admit(5)
    assert gone[2:] == [2]
    assert autojump_clock.current_time() == 0


async def test_not_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    """Whoever has waited so long hears that there is no room; what comes then is the next one's."""
    line = Line(10.0)
    began = autojump_clock.current_time()
    assert not await line.has_waited()
    assert autojump_clock.current_time() - began == 10.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.has_waited)
        await trio.testing.wait_all_tasks_blocked()
        line.admit(1)
    assert autojump_clock.current_time() - began == 10.0


async def test_room_that_nobody_waits_for_is_not_kept(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The queue's length says that there is some: only who found it full asks here."""
    line = Line(10.0)
    line.admit(1)
    assert not await line.has_waited()
    assert autojump_clock.rate == 0
