"""Tests of work in slices."""

import trio
import trio.testing

from actors.pacer import SLICE, Pacer

LONG = 1.01 * SLICE


class Work:
    """Pieces that take their time by a clock of their own, and who had a turn when."""

    def __init__(self, cost: float) -> None:
        self.now = 100.0
        self.cost = cost
        self.pacer = Pacer(lambda: self.now)
        self.done = 0
        self.turns: list[int] = []  # pieces that were done at each turn of somebody else

    async def do(self, pieces: int) -> None:
        """So many, one after the other."""
        for _ in range(pieces):
            await self.pacer.pace()
            self.now += self.cost
            self.done += 1

    async def other(self, pieces: int) -> None:
        """Somebody who wants a turn whenever there is one."""
        while self.done < pieces:
            self.turns.append(self.done)
            await trio.lowlevel.checkpoint()

    def most(self) -> int:
        """Pieces between two turns of somebody else."""
        return max(b - a for a, b in zip(self.turns, self.turns[1:], strict=False))


async def test_work_alone_gives_way_when_its_slice_is_over() -> None:
    """Whatever a piece costs."""
    for pieces in (1, 4):
        work = Work(LONG / pieces)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work.do, 20)
            nursery.start_soon(work.other, 20)
        assert work.most() <= 2 * pieces  # two slices may come one after the other


async def test_many_tasks_share_one_slice() -> None:
    """However many there are, the others wait no longer; and all of them get on."""
    work = Work(LONG)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work.other, 100)
        for _ in range(50):
            nursery.start_soon(work.do, 2)
    assert work.done == 100
    assert work.most() <= 2


async def test_who_is_cancelled_leaves_the_others_their_turn() -> None:
    """While giving way, or while waiting behind somebody who does."""
    work = Work(LONG)
    await work.do(1)
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            scope.cancel()
            await work.do(1)
        nursery.start_soon(work.do, 3)
        nursery.start_soon(work.do, 3)
    assert scope.cancelled_caught
    assert work.done == 7


async def test_short_work_is_not_held_up() -> None:
    """Within its slice it does not even checkpoint."""
    work = Work(SLICE / 100)
    with trio.testing.assert_no_checkpoints():
        await work.do(50)
