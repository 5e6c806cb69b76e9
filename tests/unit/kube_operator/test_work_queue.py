"""Each name once, one piece of work of it at a time, and again after a failure."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio

from kube_operator.errors import ReconcileError
from kube_operator.objects import Key
from kube_operator.work_queue import LAST_DELAY, Work, WorkQueue
from tests.support.trio_world import TrioWorld

A, B = Key("prod", "a"), Key("prod", "b")


@asynccontextmanager
async def working(work: Callable[[WorkQueue], Work], workers: int = 4) -> AsyncIterator[WorkQueue]:
    """A queue whose work is done for the length of the block."""
    queue = WorkQueue(TrioWorld(), workers=workers)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.run, work(queue))
        yield queue
        nursery.cancel_scope.cancel()


async def test_a_name_is_worked_on_by_one_at_a_time(autojump_clock: object) -> None:
    """What comes meanwhile is one more piece of work, however often it comes; others go on."""
    active: dict[Key, int] = {}
    done: list[Key] = []

    async def work(key: Key) -> None:
        active[key] = active.get(key, 0) + 1
        assert active[key] == 1
        await trio.sleep(1)
        active[key] -= 1
        done.append(key)

    async with working(lambda _: work) as queue:
        for _ in range(3):
            queue.add(A)
        await trio.sleep(0.5)
        for _ in range(3):
            queue.add(A)
        queue.add(B)
        await trio.sleep(10)
    assert done == [A, B, A]


async def test_a_failure_is_tried_again_later_and_later(
    autojump_clock: object,
) -> None:
    """Up to a bound, and from the beginning after a success; others do not wait for it."""
    at: list[float] = []
    fails = True

    async def work(key: Key) -> None:
        if key == B:
            return
        at.append(trio.current_time())
        if fails:
            raise ReconcileError("No", "not now")

    async with working(lambda _: work, workers=1) as queue:
        queue.add(A)
        await trio.sleep(5_000)
        gaps = [after - before for before, after in pairwise(at)]
        assert gaps[0] < 1
        assert all(gap <= LAST_DELAY for gap in gaps)
        assert gaps[-1] >= LAST_DELAY / 2
        assert queue.failed == len(at)
        fails = False
        queue.add(A)
        await trio.sleep(5_000)
        assert len(at) == queue.failed + 1
        fails = True
        queue.add(A)
        await trio.sleep(1.5)
        assert at[-1] - at[-2] <= 1


async def test_the_earlier_of_two_times_counts(autojump_clock: object) -> None:
    """And a name that is added before its time is not worked on twice."""
    at: list[float] = []

    async def work(_: Key) -> float | None:
        at.append(trio.current_time() - begun)
        return None

    async with working(lambda _: work) as queue:
        begun = trio.current_time()
        queue.add_after(A, 60)
        queue.add_after(A, 30)
        queue.add_after(A, 90)
        await trio.sleep(40)
        queue.add_after(A, 60)
        await trio.sleep(1)
        queue.add(A)
        await trio.sleep(500)
    assert at == pytest.approx([30, 41])


async def test_what_work_returns_is_when_it_is_due_again(
    autojump_clock: object,
) -> None:
    """For ever, until it returns none."""
    at: list[float] = []

    async def work(_: Key) -> float | None:
        at.append(trio.current_time())
        return 10 if len(at) < 3 else None

    async with working(lambda _: work) as queue:
        queue.add(A)
        await trio.sleep(500)
    assert [after - before for before, after in pairwise(at)] == [10, 10]
