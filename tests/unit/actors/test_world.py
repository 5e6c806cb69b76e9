"""Promises of the real world: a clock that never goes back, ids, jitter, awaited threads."""

from __future__ import annotations

import sys
import threading
import uuid
from types import FrameType
from typing import TYPE_CHECKING

import pytest
import trio

from actors import SystemWorld

if TYPE_CHECKING:
    from _typeshed import TraceFunction

FAR_FUTURE = 2**62


def test_now_is_unix_nanoseconds() -> None:
    """Between 2026 and 2200, so neither seconds nor milliseconds."""
    assert 1_767_225_600 * 10**9 < SystemWorld().now() < 7_258_118_400 * 10**9


def test_now_is_never_below_the_time_that_has_passed() -> None:
    """What an earlier run knew is kept though the machine's clock was set back."""
    world = SystemWorld()
    world.clock.resume(FAR_FUTURE)
    assert world.now() >= FAR_FUTURE
    assert world.wall() < FAR_FUTURE


class Machine:
    """A clock that the test sets; no time passes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, wall: int) -> None:
        self.wall = wall
        monkeypatch.setattr("actors.world.time.time_ns", lambda: self.wall)
        monkeypatch.setattr("actors.world.time.monotonic", float)
        self.world = SystemWorld()

    def reads(self, wall: int) -> tuple[int, int]:
        """`now` and `wall` at this reading."""
        self.wall = wall
        return self.world.now(), self.world.wall()


def test_now_bears_small_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands still while the machine's clock is behind, which others are told as it is."""
    machine = Machine(monkeypatch, 10)
    assert [machine.reads(wall) for wall in (10, 5, 11, 500, 7, 501)] == [
        (10, 10), (10, 5), (11, 11), (500, 500), (500, 7), (501, 501),
    ]  # fmt: skip


def test_now_comes_back_with_a_clock_that_was_far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """One wrong reading leaves no trace."""
    machine = Machine(monkeypatch, 10)
    assert machine.reads(FAR_FUTURE) == (FAR_FUTURE, FAR_FUTURE)
    assert machine.reads(11) == (11, 11)
    assert machine.reads(9) == (11, 9)


def test_ids_are_random_uuids() -> None:
    """Version 4, RFC variant, never the same twice."""
    ids = [SystemWorld().new_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert {uuid.UUID(i).version for i in ids} == {4}


def test_another_thread_may_take_an_id_at_any_line() -> None:
    """Rows get theirs in the writer's thread, requests in the loop's: each one whole, and once."""
    world, ids = SystemWorld(), list[str]()

    def others(_frame: FrameType, event: str, _arg: object) -> TraceFunction:
        if event == "line":
            sys.settrace(None)
            ids.append(world.new_id())
            sys.settrace(others)
        return others

    before = sys.gettrace()
    sys.settrace(others)
    try:
        for _ in range(1000):
            ids.append(world.new_id())
    finally:
        sys.settrace(before)
    assert len(ids) > 4000
    assert len(set(ids)) == len(ids)
    assert {len(one) for one in ids} == {36}


def test_request_ids_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 7, RFC variant, never the same twice; those of a later millisecond are greater."""
    clock = iter(range(1_800_000_000_000_000_000, 2_000_000_000_000_000_000, 1_000_000))
    monkeypatch.setattr("actors.world.time.time_ns", lambda: next(clock))
    world = SystemWorld()
    ids = [world.new_request_id() for _ in range(100)]
    assert ids == sorted(set(ids))
    assert all(uuid.UUID(one).variant == uuid.RFC_4122 for one in ids)
    assert {uuid.UUID(one).version for one in ids} == {7}
    assert uuid.UUID(ids[0]).int >> 80 == 1_800_000_000_001  # the world has read the clock once
    same = Machine(monkeypatch, FAR_FUTURE).world
    drawn = [same.new_request_id() for _ in range(100)]
    for part in (slice(None), slice(15, 18), slice(20, 23), slice(24, 36)):  # each is random
        assert len({one[part] for one in drawn}) > 80


def test_jitter_is_in_range() -> None:
    """At least 0 and below 1, and not constant."""
    drawn = {SystemWorld().jitter() for _ in range(100)}
    assert len(drawn) > 1
    assert all(0 <= x < 1 for x in drawn)


async def test_monotonic_and_sleep_are_trios(autojump_clock: object) -> None:
    """Under a mock clock, time costs nothing."""
    world = SystemWorld()
    before = world.monotonic()
    await world.sleep(1000)
    assert world.monotonic() - before == pytest.approx(1000)


async def test_run_sync_leaves_the_loop_and_carries_results_and_errors() -> None:
    """The call runs in another thread; what it returns or raises comes back."""
    world = SystemWorld()
    limiter = trio.CapacityLimiter(1)
    assert await world.run_sync(threading.get_ident, limiter=limiter) != threading.get_ident()
    assert await world.run_sync(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await world.run_sync(divmod, 7, 0)


async def test_run_sync_is_not_abandoned_on_cancel() -> None:
    """A cancelled caller still waits for the thread: no write goes on behind its back."""
    entered, release = trio.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        trio.from_thread.run_sync(entered.set)
        release.wait(60)
        done.append("done")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(SystemWorld().run_sync, work)
        await entered.wait()
        nursery.cancel_scope.cancel()
        release.set()
    assert done == ["done"]


async def test_worker_is_one_thread() -> None:
    """Its calls run in one thread that is not the loop's."""
    worker = SystemWorld().worker("scribe")
    threads = {await worker.run(threading.get_ident) for _ in range(3)}
    worker.close()
    assert len(threads | {threading.get_ident()}) == 2
