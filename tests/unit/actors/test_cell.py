"""Promises of one actor's life: start, crash, stop, and what becomes of its messages."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from actors import (
    Actor,
    ActorExited,
    ActorStopped,
    Child,
    Reply,
    StartTimeout,
    Stop,
    StopTimeout,
    Strategy,
    Supervisor,
    SystemWorld,
    supervise,
)
from actors.testing import (
    EAGER,
    STRICT,
    CrashError,
    Diary,
    Probe,
    crash,
    probes,
    quiet,
)


async def test_child_counts_as_started_only_when_it_can_serve(autojump_clock: object) -> None:
    """The next child is not begun before the one before it has returned from on_start."""
    diary = Diary()

    class Slow(Probe):
        async def on_start(self) -> None:
            await trio.sleep(10)
            await super().on_start()

    children = [Child("slow", lambda: Slow("slow", diary)), *probes(["next"], diary)]
    async with supervise("s", children, world=SystemWorld()):
        assert diary.entries == ["slow: start", "next: start"]


async def test_failing_start_counts_as_crash() -> None:
    """on_start is retried under the policy; on_stop is not called for a start that failed."""
    diary = Diary()
    faults: list[Exception] = [CrashError(), CrashError()]

    class Fragile(Probe):
        async def on_start(self) -> None:
            await super().on_start()
            if faults:
                raise faults.pop()

    child = Child("a", lambda: Fragile("a", diary))
    async with supervise("s", [child], policy=EAGER, world=SystemWorld(), report=quiet) as sup:
        assert diary.entries == ["a: start"] * 3
        assert sup.snapshot().children[0].restarts == 2
        assert sup.snapshot().children[0].last_failure == "CrashError"


async def test_start_that_never_works_escalates_before_entry() -> None:
    """The block is never entered and siblings that had started are stopped in order."""
    diary = Diary()

    class Broken(Probe):
        async def on_start(self) -> None:
            raise CrashError

    children = [*probes("a", diary), Child("b", lambda: Broken("b", diary)), *probes("c", diary)]
    with pytest.RaisesGroup(pytest.RaisesGroup(CrashError)):
        async with supervise("s", children, policy=STRICT, world=SystemWorld(), report=quiet):
            diary.write("entered")
    assert diary.entries == ["a: start", "a: stop"]


async def test_start_that_hangs_is_cut_off(autojump_clock: object) -> None:
    """on_start is bounded by start_timeout."""

    class Stuck(Actor[str]):
        async def on_start(self) -> None:
            await trio.sleep_forever()

    child = Child("a", Stuck, start_timeout=7)
    with pytest.RaisesGroup(pytest.RaisesGroup(StartTimeout)):
        async with supervise("s", [child], policy=STRICT, world=SystemWorld(), report=quiet):
            pass
    assert trio.current_time() == pytest.approx(7)


async def test_queue_survives_a_crash_in_order() -> None:
    """Messages queued behind the one that crashes are served by the next incarnation."""
    diary = Diary()
    async with supervise(
        "s", probes("abc", diary), policy=EAGER, world=SystemWorld(), report=quiet
    ) as sup:
        ref = sup.ref("a")
        poison = ref.call_nowait(CrashError())
        ref.cast_nowait("told")
        asked = ref.call_nowait("asked")
        with pytest.raises(CrashError):
            await poison.wait(1)
        assert await asked.wait(1) == "asked"
        assert diary.entries[3:] == ["a: stop", "a: start", "a: got told", "a: got asked"]


async def test_message_in_hand_at_a_crash_is_not_retried() -> None:
    """At most once: a poison message crashes one incarnation, not every one."""
    diary = Diary()
    seen = 0

    async def poison() -> None:
        nonlocal seen
        seen += 1
        raise CrashError

    async with supervise(
        "s", probes("abc", diary), policy=EAGER, world=SystemWorld(), report=quiet
    ) as sup:
        sup.ref("a").cast_nowait(poison)
        assert await sup.ref("a").call("after", 1) == "after"
        assert seen == 1
        assert sup.snapshot().children[0].restarts == 1


async def test_escalation_fails_queued_asks_at_once(autojump_clock: object) -> None:
    """At a final crash, those still in the mailbox are told long before their deadline."""
    raised: list[type[BaseException]] = []

    async def wait(reply: Reply) -> None:
        try:
            await reply.wait(1000)
        except (CrashError, ActorStopped) as error:
            raised.append(type(error))

    async with trio.open_nursery() as askers:
        with pytest.RaisesGroup(pytest.RaisesGroup(CrashError)):
            async with supervise(
                "s", probes("abc", Diary()), policy=STRICT, world=SystemWorld(), report=quiet
            ) as sup:
                for message in (CrashError(), "queued"):
                    askers.start_soon(wait, sup.ref("a").call_nowait(message))
                await trio.sleep_forever()
    assert sorted(raised, key=str) == [ActorStopped, CrashError]
    assert trio.current_time() < 1


async def test_ask_after_the_end_fails_at_once() -> None:
    """A ref of a stopped actor answers ActorStopped, for ask and for tell."""
    async with supervise("s", probes("abc", Diary()), world=SystemWorld()) as sup:
        ref = sup.ref("a")
    with pytest.raises(ActorStopped):
        await ref.call("x", 1000)
    with pytest.raises(ActorStopped):
        await ref.cast("x")
    with pytest.raises(ActorStopped):
        ref.cast_nowait("x")


async def test_orderly_stop_drains_the_queue() -> None:
    """What was accepted before the stop is served before on_stop."""
    diary = Diary()
    async with supervise("s", probes("a", diary), world=SystemWorld()) as sup:
        for n in range(3):
            sup.ref("a").cast_nowait(n)
    assert diary.entries == ["a: start", "a: got 0", "a: got 1", "a: got 2", "a: stop"]


async def test_draining_actor_refuses_newcomers() -> None:
    """While an actor serves out its queue, asks fail at once instead of prolonging the stop."""
    diary = Diary()
    outcome: list[type[BaseException]] = []
    refs: list[Supervisor] = []

    async def ask_during_drain() -> None:
        await trio.testing.wait_all_tasks_blocked()  # the stop has come by then
        try:
            await refs[0].ref("a").call("late", 1000)
        except ActorStopped as error:
            outcome.append(type(error))

    async with supervise("s", probes("a", diary), world=SystemWorld()) as sup:
        refs.append(sup)
        sup.ref("a").cast_nowait(ask_during_drain)
    assert outcome == [ActorStopped]


async def test_drain_is_bounded_and_says_so(autojump_clock: object) -> None:
    """A handler that outlasts its grace is cut off; no asker is left waiting; StopTimeout says so.

    on_stop still runs.
    """
    diary = Diary()
    replies = []
    with pytest.RaisesGroup(pytest.RaisesGroup(pytest.RaisesGroup(StopTimeout))):
        async with supervise("s", probes("a", diary, stop_grace=5), world=SystemWorld()) as sup:
            ref = sup.ref("a")
            replies = [ref.call_nowait(trio.sleep_forever), ref.call_nowait("queued")]
            ref.cast_nowait("told")
            await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() == pytest.approx(5)
    assert diary.entries == ["a: start", "a: stop"]
    for reply in replies:
        with pytest.raises(ActorStopped):
            await reply.wait(1)
    assert sup.snapshot().children[0].mailbox is not None
    assert sup.snapshot().children[0].mailbox.lost == 2


async def test_on_stop_is_bounded_and_says_so(autojump_clock: object) -> None:
    """on_stop that hangs is cut off after the grace, and the supervisor raises StopTimeout."""

    class Clinging(Actor[str]):
        async def on_stop(self) -> None:
            await trio.sleep_forever()

    with pytest.RaisesGroup(pytest.RaisesGroup(pytest.RaisesGroup(StopTimeout))):
        async with supervise("s", [Child("a", Clinging, stop_grace=3)], world=SystemWorld()):
            pass
    assert trio.current_time() == pytest.approx(3)


async def test_on_stop_is_shielded(autojump_clock: object) -> None:
    """A cancelled block does not cut on_stop off: it gets its grace."""
    diary = Diary()

    class Tidy(Probe):
        async def on_stop(self) -> None:
            await trio.sleep(2)
            await super().on_stop()

    with trio.CancelScope() as scope:
        async with supervise("s", [Child("a", lambda: Tidy("a", diary))], world=SystemWorld()):
            scope.cancel()
    assert diary.entries == ["a: start", "a: stop"]


async def test_failing_stop_is_raised_and_stops_the_rest() -> None:
    """An exception of on_stop is neither swallowed nor keeps the siblings from stopping."""
    diary = Diary()

    class Sore(Probe):
        async def on_stop(self) -> None:
            raise CrashError

    children = [*probes("a", diary), Child("b", lambda: Sore("b", diary))]
    with pytest.RaisesGroup(pytest.RaisesGroup(pytest.RaisesGroup(CrashError))):
        async with supervise("s", children, world=SystemWorld()):
            pass
    assert diary.entries[-1] == "a: stop"


async def test_crash_and_failing_stop_are_both_kept() -> None:
    """When on_stop fails after a crash, the escalation holds both exceptions."""

    class Sore(Probe):
        async def on_stop(self) -> None:
            raise OSError

    child = Child("a", lambda: Sore("a", Diary()))
    with pytest.RaisesGroup(pytest.RaisesGroup(pytest.RaisesGroup(CrashError, OSError))):
        async with supervise("s", [child], policy=STRICT, world=SystemWorld(), report=quiet) as sup:
            await crash(sup.ref("a"))
            await trio.sleep_forever()


async def test_group_restart_keeps_the_siblings_queue() -> None:
    """ONE_FOR_ALL: a sibling finishes what is in hand; its queue is for the next incarnation."""
    diary = Diary()
    release = trio.Event()

    async def busy() -> str:
        diary.write("busy")
        await release.wait()
        return "done"

    async with supervise(
        "s",
        probes("abc", diary),
        strategy=Strategy.ONE_FOR_ALL,
        policy=EAGER,
        world=SystemWorld(),
        report=quiet,
    ) as sup:
        in_hand = sup.ref("c").call_nowait(busy)
        queued = sup.ref("c").call_nowait("queued")
        await diary.wait_for("busy")
        await crash(sup.ref("a"))
        await trio.testing.wait_all_tasks_blocked()
        release.set()
        assert await in_hand.wait(1) == "done"
        assert await queued.wait(1) == "queued"
        assert diary.entries[-2:] == ["c: start", "c: got queued"]


async def test_permanent_actor_that_ends_counts_as_failure() -> None:
    """An actor that keeps ending by itself is a storm too."""

    async def end() -> Stop:
        return Stop("bye")

    with pytest.RaisesGroup(pytest.RaisesGroup(ActorExited)):
        async with supervise(
            "s", probes("abc", Diary()), policy=STRICT, world=SystemWorld(), report=quiet
        ) as sup:
            assert await sup.ref("a").call(end, 1) == "bye"
            await trio.sleep_forever()


async def test_factory_makes_each_incarnation() -> None:
    """A restart begins with fresh state."""
    made: list[Callable[[], object]] = []
    diary = Diary()

    def factory() -> Probe:
        made.append(factory)
        return Probe("a", diary)

    async with supervise(
        "s", [Child("a", factory)], policy=EAGER, world=SystemWorld(), report=quiet
    ) as sup:
        await crash(sup.ref("a"))
        assert await sup.ref("a").call("x", 1) == "x"
        assert len(made) == 2
