"""Promises of the test kit: a world that stands still, and crashes where they were ordered."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from actors import Child, SystemWorld, supervise
from actors.testing import (
    EAGER,
    BatchProbe,
    CrashError,
    Diary,
    FakeWorld,
    Probe,
    crash,
    crash_on_nth,
    inject,
    probes,
    quiet,
)


async def test_clock_moves_only_when_told() -> None:
    """Both clocks by the same amount, in their own units."""
    world = FakeWorld(now=5)
    world.advance(1.5)
    assert (world.now(), world.monotonic()) == (1_500_000_005, 1.5)
    with pytest.raises(ValueError, match="backwards"):
        world.advance(-1)


async def test_wall_stepped_back_keeps_the_ratchet() -> None:
    """now() stands still like the real one's, wall() does not, monotonic() does not notice."""
    world = FakeWorld(now=10**9)
    assert world.now() == 10**9
    world.step_wall(-0.5)
    assert (world.now(), world.wall(), world.monotonic()) == (10**9, 5 * 10**8, 0.0)
    world.step_wall(1)
    assert world.now() == 1_500_000_000


async def test_sleepers_wake_when_their_time_has_come() -> None:
    """Not before, each by its own time; a cancelled sleeper is forgotten."""
    world, woken = FakeWorld(), []

    async def sleeper(seconds: float) -> None:
        await world.sleep(seconds)
        woken.append(seconds)

    async with trio.open_nursery() as nursery:
        for seconds in (3.0, 1.0, 2.0, 0.0):
            nursery.start_soon(sleeper, seconds)
        await trio.testing.wait_all_tasks_blocked()
        assert woken == [0.0]
        for _ in range(3):
            world.advance(1)
            await trio.testing.wait_all_tasks_blocked()
        assert woken == [0.0, 1.0, 2.0, 3.0]
    with trio.move_on_after(0):
        await world.sleep(1)
    assert world.sleepers == 0


@pytest.mark.parametrize("batch", [False, True])
async def test_injected_crash_strikes_once_before_the_message_is_served(*, batch: bool) -> None:
    """The n-th message over all incarnations; the others reach the actor."""
    diary = Diary()
    factory = inject(
        BatchProbe if batch else lambda: Probe("a", diary), crash_on_nth(2, CrashError())
    )
    async with supervise(
        "s", [Child("a", factory)], policy=EAGER, world=SystemWorld(), report=quiet
    ) as sup:
        ref = sup.ref("a")
        assert await ref.call(1, 1) == 1
        with pytest.raises(CrashError):
            await ref.call(2, 1)
        assert await ref.call(3, 1) == 3
    if not batch:
        assert diary.entries == [
            "a: start", "a: got 1", "a: stop", "a: start", "a: got 3", "a: stop",
        ]  # fmt: skip


async def test_crash_helper_insists_on_a_crash() -> None:
    """A test that believes it crashed an actor did."""

    class Calm(Probe):
        async def receive(self, message: object) -> object:
            return message

    children = [*probes("a", Diary()), Child("calm", lambda: Calm("calm", Diary()))]
    async with supervise("s", children, policy=EAGER, world=SystemWorld(), report=quiet) as sup:
        await crash(sup.ref("a"))
        with pytest.raises(AssertionError):
            await crash(sup.ref("calm"))
