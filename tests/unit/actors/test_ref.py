"""Promises of Ref: deadlines on Trio's clock, withdrawal, order, names."""

from __future__ import annotations

import math

import pytest
import trio
import trio.testing

from actors import CallTimeout, Child, MailboxFull, Overflow, SystemWorld, supervise
from actors.testing import EAGER, CrashError, Diary, FakeWorld, Probe, crash, probes, quiet


async def test_ask_returns_the_reply() -> None:
    """What receive returns is what ask returns; None is a reply like any other."""
    async with supervise("s", probes("a", Diary()), world=SystemWorld()) as sup:
        assert await sup.ref("a").call("x", 1) == "x"
        assert await sup.ref("a").call(trio.lowlevel.checkpoint, 1) is None
        assert sup.ref("a").name == "s/a"


async def test_ask_times_out_on_trios_clock(autojump_clock: object) -> None:
    """A mute actor costs its asker the deadline, to the second; the actor lives on."""
    release = trio.Event()
    async with supervise("s", probes("a", Diary()), world=SystemWorld()) as sup:
        with pytest.raises(CallTimeout):
            await sup.ref("a").call(release.wait, 5)
        assert trio.current_time() == pytest.approx(5)
        release.set()
        assert await sup.ref("a").call("x", 1) == "x"


async def test_timed_out_message_that_was_not_begun_is_never_served(autojump_clock: object) -> None:
    """Withdrawn from the queue: the effect of a timed-out ask does not happen later."""
    diary = Diary()
    async with supervise("s", probes("a", diary), world=SystemWorld()) as sup:
        ref = sup.ref("a")
        release = trio.Event()
        ref.cast_nowait(release.wait)
        with pytest.raises(CallTimeout):
            await ref.call("late", 1)
        release.set()
        await ref.call("next", 1)
    assert "a: got late" not in diary.entries


async def test_shorter_deadline_behind_a_longer_one(autojump_clock: object) -> None:
    """Each ask fails at its own time, whatever order they came in."""
    ends: dict[float, float] = {}

    async def ask(deadline: float) -> None:
        with pytest.raises(CallTimeout):
            await sup.ref("a").call("x", deadline)
        ends[deadline] = trio.current_time()

    async with supervise("s", probes("a", Diary()), world=SystemWorld()) as sup:
        release = trio.Event()
        sup.ref("a").cast_nowait(release.wait)
        async with trio.open_nursery() as nursery:
            for deadline in (9.0, 3.0, 6.0):
                nursery.start_soon(ask, deadline)
        release.set()
    assert ends == {3.0: 3.0, 6.0: 6.0, 9.0: 9.0}


async def test_deadline_runs_while_the_actor_is_being_restarted(autojump_clock: object) -> None:
    """An ask queued for the next incarnation does not wait longer than it said."""
    async with supervise("s", probes("a", Diary()), world=FakeWorld(), report=quiet) as sup:
        await crash(sup.ref("a"))  # the back-off lasts as long as the fake clock stands
        with pytest.raises(CallTimeout):
            await sup.ref("a").call("x", 2)
        assert trio.current_time() == pytest.approx(2)


@pytest.mark.parametrize("deadline", [0.0, -1.0])
async def test_deadline_in_the_past_fails_at_once(deadline: float) -> None:
    """The message is not left in the mailbox."""
    diary = Diary()
    async with supervise("s", probes("a", diary), world=SystemWorld()) as sup:
        with pytest.raises(CallTimeout):
            await sup.ref("a").call("x", deadline)
    assert diary.entries == ["a: start", "a: stop"]


@pytest.mark.parametrize("deadline", [math.inf, math.nan])
async def test_endless_deadline_is_refused(deadline: float) -> None:
    """An ask needs a deadline that comes."""
    diary = Diary()
    async with supervise("s", probes("a", diary), world=SystemWorld()) as sup:
        with pytest.raises(ValueError, match="finite"):
            await sup.ref("a").call("x", deadline)
    assert diary.entries == ["a: start", "a: stop"]


async def test_cancelled_ask_passes_cancelled_and_withdraws() -> None:
    """Cancelled is never turned into another error, and an unbegun message is taken back."""
    diary = Diary()
    release = trio.Event()
    async with supervise("s", probes("a", diary), world=SystemWorld()) as sup:
        sup.ref("a").cast_nowait(release.wait)
        with trio.move_on_after(0) as scope:
            await sup.ref("a").call("x", 10)
        assert scope.cancelled_caught
        release.set()
    assert "a: got x" not in diary.entries


async def test_cancelled_asker_does_not_disturb_the_actor() -> None:
    """A message in hand is served to the end though its asker has gone."""
    diary = Diary()
    release = trio.Event()

    async def work() -> None:
        await release.wait()
        diary.write("worked")

    async with supervise("s", probes("a", diary), world=SystemWorld()) as sup:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sup.ref("a").call, work, 10)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        release.set()
        await sup.ref("a").call("next", 1)
    assert diary.entries == ["a: start", "worked", "a: got next", "a: stop"]


async def test_tell_waits_for_room_and_keeps_order() -> None:
    """WAIT: tell returns once the message is queued; nothing is lost and nothing overtakes."""
    diary = Diary()
    async with supervise("s", probes("a", diary, mailbox=1), world=SystemWorld()) as sup:
        for n in range(5):
            await sup.ref("a").cast(n)
        release = trio.Event()
        await sup.ref("a").cast(release.wait)
        await trio.testing.wait_all_tasks_blocked()
        await sup.ref("a").cast("last")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sup.ref("a").cast, "no room yet")
            await trio.testing.wait_all_tasks_blocked()
            assert len(nursery.child_tasks) == 1
            release.set()
    assert diary.entries[1:-1] == [f"a: got {n}" for n in (0, 1, 2, 3, 4, "last", "no room yet")]


async def test_cancelled_tell_was_not_sent() -> None:
    """A tell in a cancelled scope raises Cancelled and queues nothing."""
    diary = Diary()
    async with supervise("s", probes("a", diary), world=SystemWorld()) as sup:
        with trio.CancelScope() as scope:
            scope.cancel()
            await sup.ref("a").cast("x")
        assert scope.cancelled_caught
    assert diary.entries == ["a: start", "a: stop"]


async def test_nowait_raises_when_full() -> None:
    """tell_nowait and ask_nowait raise MailboxFull where tell and ask would wait."""
    async with supervise("s", probes("a", Diary(), mailbox=1), world=SystemWorld()) as sup:
        ref = sup.ref("a")
        ref.cast_nowait("x")
        with pytest.raises(MailboxFull):
            ref.cast_nowait("y")
        with pytest.raises(MailboxFull):
            ref.call_nowait("y")


async def test_overflow_reaches_the_asker() -> None:
    """REFUSE raises in the ask that finds no room; DROP_OLDEST in the one that loses it."""
    for overflow, served in ((Overflow.REFUSE, "old"), (Overflow.DROP_OLDEST, "new")):
        diary = Diary()
        child = Child("a", lambda diary=diary: Probe("a", diary), 1, overflow)
        async with supervise("s", [child], world=SystemWorld()) as sup:
            outcomes: dict[str, object] = {}

            async def ask(message: str, outcomes: dict[str, object] = outcomes) -> None:
                try:
                    outcomes[message] = await sup.ref("a").call(message, 1)
                except MailboxFull:
                    outcomes[message] = "full"

            release = trio.Event()
            sup.ref("a").cast_nowait(release.wait)
            async with trio.open_nursery() as nursery:
                for message in ("old", "new"):
                    await trio.testing.wait_all_tasks_blocked()
                    nursery.start_soon(ask, message)
                await trio.testing.wait_all_tasks_blocked()
                release.set()
        assert outcomes.pop(served) == served
        assert list(outcomes.values()) == ["full"]


async def test_told_message_that_crashes_tells_nobody_but_the_supervisor() -> None:
    """Tell has returned long ago; the crash is counted on the tree."""
    async with supervise(
        "s", probes("a", Diary()), policy=EAGER, world=SystemWorld(), report=quiet
    ) as sup:
        await sup.ref("a").cast(CrashError())
        await sup.ref("a").call("x", 1)
        assert sup.snapshot().children[0].last_failure == "CrashError"
