"""Promises of supervision: order, strategies, storms, nesting, what survives a restart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from actors import (
    Actor,
    ActorExited,
    ActorStopped,
    Branch,
    Child,
    FailureReport,
    Restart,
    RestartPolicy,
    StartTimeout,
    Stop,
    StopTimeout,
    Strategy,
    Supervisor,
    SupervisorFailed,
    SystemWorld,
    Verdict,
    supervise,
)
from actors.testing import Diary, FakeWorld, Probe

EAGER = RestartPolicy(intensity=3, window=60, backoff_base=0, backoff_cap=0)
NEVER = RestartPolicy(intensity=0, window=60, backoff_base=0, backoff_cap=0)


class BoomError(Exception):
    """A crash that tests can tell from others."""


def quiet(report: FailureReport) -> None:
    """Tests look at what happens, not at the log."""


def probe(name: str, diary: Diary, **terms: object) -> Child:
    return Child(name, lambda: Probe(name, diary), **terms)  # type: ignore[arg-type]


def lives(diary: Diary) -> list[str]:
    return [entry for entry in diary.entries if "got" not in entry]


def child_state(supervisor: Supervisor, name: str) -> str:
    return next(n.state for n in supervisor.snapshot().walk() if n.name.endswith("/" + name))


async def crash(supervisor: Supervisor, name: str) -> None:
    with pytest.raises(BoomError):
        await supervisor.ref(name).ask(BoomError(), 1)


def three(diary: Diary) -> list[Child]:
    return [probe(name, diary) for name in "abc"]


async def test_starts_in_order_and_stops_in_reverse() -> None:
    """Children start first to last, all before the block is entered, and stop last to first."""
    diary = Diary()
    async with supervise("s", three(diary), world=SystemWorld()) as sup:
        assert diary.entries == ["a: start", "b: start", "c: start"]
        assert [n.state for n in sup.snapshot().children] == ["running"] * 3
    assert diary.entries[3:] == ["c: stop", "b: stop", "a: stop"]


async def test_child_counts_as_started_only_when_it_can_serve(autojump_clock: object) -> None:
    """The next child is not begun before the one before it has returned from on_start."""
    diary = Diary()

    class Slow(Probe):
        async def on_start(self) -> None:
            await trio.sleep(10)
            await super().on_start()

    children = [Child("slow", lambda: Slow("slow", diary)), probe("next", diary)]
    async with supervise("s", children, world=SystemWorld()):
        assert diary.entries == ["slow: start", "next: start"]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.ONE_FOR_ONE, ["b: stop", "b: start"]),
        (
            Strategy.ONE_FOR_ALL,
            ["b: stop", "c: stop", "a: stop", "a: start", "b: start", "c: start"],
        ),
        (Strategy.REST_FOR_ONE, ["b: stop", "c: stop", "b: start", "c: start"]),
    ],
)
async def test_strategy_decides_who_restarts(strategy: Strategy, expected: list[str]) -> None:
    """Only those the strategy names are stopped (in reverse) and started again (in order)."""
    diary = Diary()
    async with supervise(
        "s", three(diary), strategy=strategy, policy=EAGER, world=SystemWorld(), report=quiet
    ) as sup:
        before = len(diary.entries)
        await crash(sup, "b")
        await diary.wait_for(expected[-1], times=2)
        assert diary.entries[before:] == expected
        for name in "abc":
            assert await sup.ref(name).ask("x", 1) == "x"


async def test_siblings_of_a_crashed_child_serve_on() -> None:
    """ONE_FOR_ONE: a sibling in the middle of a message finishes it while the other restarts."""
    diary = Diary()
    release = trio.Event()

    async def busy() -> str:
        diary.write("busy")
        await release.wait()
        return "done"

    async with supervise("s", three(diary), policy=EAGER, world=SystemWorld(), report=quiet) as sup:
        reply = sup.ref("a").ask_nowait(busy)
        await diary.wait_for("busy")
        await crash(sup, "b")
        assert await sup.ref("b").ask("again", 1) == "again"
        release.set()
        assert await reply.wait(1) == "done"


async def test_storm_escalates_with_the_original_exceptions() -> None:
    """More failures than the intensity fail the supervisor with the very exceptions, typed."""
    raised = [BoomError(str(n)) for n in range(3)]
    policy = RestartPolicy(intensity=2, window=60, backoff_base=0, backoff_cap=0)

    async def storm() -> None:
        async with supervise(
            "s", three(Diary()), policy=policy, world=SystemWorld(), report=quiet
        ) as sup:
            for error in raised:
                with pytest.raises(BoomError):
                    await sup.ref("b").ask(error, 1)
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await storm()
    (failure,) = caught.value.exceptions
    assert isinstance(failure, SupervisorFailed)
    assert all(a is b for a, b in zip(failure.exceptions, raised, strict=True))


async def test_failures_outside_the_window_do_not_count() -> None:
    """A child may crash for ever, if rarely enough."""
    world = FakeWorld()
    policy = RestartPolicy(intensity=1, window=10, backoff_base=0, backoff_cap=0)
    async with supervise("s", three(Diary()), policy=policy, world=world, report=quiet) as sup:
        for _ in range(5):
            await crash(sup, "a")
            assert await sup.ref("a").ask("x", 1) == "x"
            world.advance(10)


async def test_restart_waits_its_backoff() -> None:
    """The new incarnation starts after the delay that the policy says, not before."""
    world, diary = FakeWorld(), Diary()
    policy = RestartPolicy(intensity=5, window=60, backoff_base=4, backoff_cap=4)
    async with supervise("s", [probe("a", diary)], policy=policy, world=world, report=quiet) as sup:
        await crash(sup, "a")
        while not world.sleepers:
            await trio.lowlevel.checkpoint()
        world.advance(1.9)  # jitter takes at most half of 4 s
        await trio.testing.wait_all_tasks_blocked()
        assert child_state(sup, "a") == "down"
        world.advance(2.1)
        await diary.wait_for("a: start", times=2)


async def test_backoff_of_one_child_does_not_hold_up_another() -> None:
    """A sibling that crashes meanwhile is judged and restarted by its own delay."""
    world, diary = FakeWorld(), Diary()
    policy = RestartPolicy(intensity=5, window=60, backoff_base=2, backoff_cap=50)
    async with supervise("s", three(diary), policy=policy, world=world, report=quiet) as sup:
        for name in "ab":
            await crash(sup, name)
            await trio.testing.wait_all_tasks_blocked()
        assert world.sleepers == 2
        world.advance(2)
        await diary.wait_for("a: start", times=2)
        assert child_state(sup, "a") == "running"


async def test_failing_start_counts_as_crash() -> None:
    """on_start is retried under the policy; on_stop is not called for a start that failed."""
    diary = Diary()
    faults: list[Exception] = [BoomError(), BoomError()]

    class Fragile(Probe):
        async def on_start(self) -> None:
            await super().on_start()
            if faults:
                raise faults.pop()

    child = Child("a", lambda: Fragile("a", diary))
    async with supervise("s", [child], policy=EAGER, world=SystemWorld(), report=quiet) as sup:
        assert diary.entries == ["a: start"] * 3
        assert sup.snapshot().children[0].restarts == 2
        assert sup.snapshot().children[0].last_failure == "BoomError"


async def test_start_that_never_works_escalates_before_entry() -> None:
    """The block is never entered and siblings that had started are stopped in order."""
    diary = Diary()

    class Broken(Probe):
        async def on_start(self) -> None:
            raise BoomError

    children = [probe("a", diary), Child("b", lambda: Broken("b", diary)), probe("c", diary)]
    with pytest.RaisesGroup(pytest.RaisesGroup(BoomError)):
        async with supervise("s", children, policy=NEVER, world=SystemWorld(), report=quiet):
            diary.write("entered")
    assert diary.entries == ["a: start", "a: stop"]


async def test_start_that_hangs_is_cut_off(autojump_clock: object) -> None:
    """on_start is bounded by start_timeout."""

    class Stuck(Actor[str]):
        async def on_start(self) -> None:
            await trio.sleep_forever()

    child = Child("a", Stuck, start_timeout=7)
    with pytest.RaisesGroup(pytest.RaisesGroup(StartTimeout)):
        async with supervise("s", [child], policy=NEVER, world=SystemWorld(), report=quiet):
            pass
    assert trio.current_time() == pytest.approx(7)


async def test_cancel_during_start_stops_what_had_started(autojump_clock: object) -> None:
    """A start in progress is cut short by cancellation at once; elders stop in order."""
    diary = Diary()

    class Stuck(Actor[str]):
        async def on_start(self) -> None:
            await trio.sleep_forever()

    with trio.move_on_after(1) as scope:
        async with supervise("s", [probe("a", diary), Child("b", Stuck)], world=SystemWorld()):
            diary.write("entered")
    assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(1)
    assert diary.entries == ["a: start", "a: stop"]


async def test_cancelled_block_stops_in_order_and_cancelled_passes() -> None:
    """Cancelling the block is an orderly stop; Cancelled reaches its scope."""
    diary = Diary()
    with trio.CancelScope() as scope:
        async with supervise("s", three(diary), world=SystemWorld()):
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert diary.entries[3:] == ["c: stop", "b: stop", "a: stop"]


async def test_block_that_raises_stops_in_order() -> None:
    """The block's own exception passes in its group after an orderly stop."""
    diary = Diary()
    with pytest.RaisesGroup(BoomError):
        async with supervise("s", three(diary), world=SystemWorld()):
            raise BoomError
    assert diary.entries[3:] == ["c: stop", "b: stop", "a: stop"]


async def test_queue_survives_a_crash_in_order() -> None:
    """Messages queued behind the one that crashes are served by the next incarnation."""
    diary = Diary()
    async with supervise("s", three(diary), policy=EAGER, world=SystemWorld(), report=quiet) as sup:
        ref = sup.ref("a")
        poison = ref.ask_nowait(BoomError())
        ref.tell_nowait("told")
        asked = ref.ask_nowait("asked")
        with pytest.raises(BoomError):
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
        raise BoomError

    async with supervise("s", three(diary), policy=EAGER, world=SystemWorld(), report=quiet) as sup:
        sup.ref("a").tell_nowait(poison)
        assert await sup.ref("a").ask("after", 1) == "after"
        assert seen == 1
        assert sup.snapshot().children[0].restarts == 1


async def test_escalation_fails_queued_asks_at_once(autojump_clock: object) -> None:
    """At a final crash, those still in the mailbox are told long before their deadline."""
    raised: list[type[BaseException]] = []

    async def ask(sup: Supervisor, message: object) -> None:
        try:
            await sup.ref("a").ask(message, 1000)
        except (BoomError, ActorStopped) as error:
            raised.append(type(error))

    async with trio.open_nursery() as askers:
        with pytest.RaisesGroup(pytest.RaisesGroup(BoomError)):
            async with supervise(
                "s", three(Diary()), policy=NEVER, world=SystemWorld(), report=quiet
            ) as sup:
                askers.start_soon(ask, sup, BoomError())
                askers.start_soon(ask, sup, "queued")
                await trio.sleep_forever()
    assert sorted(raised, key=str) == [ActorStopped, BoomError]
    assert trio.current_time() < 1


async def test_ask_after_the_end_fails_at_once() -> None:
    """A ref of a stopped actor answers ActorStopped, for ask and for tell."""
    async with supervise("s", three(Diary()), world=SystemWorld()) as sup:
        ref = sup.ref("a")
    with pytest.raises(ActorStopped):
        await ref.ask("x", 1000)
    with pytest.raises(ActorStopped):
        await ref.tell("x")
    with pytest.raises(ActorStopped):
        ref.tell_nowait("x")


async def test_orderly_stop_drains_the_queue() -> None:
    """What was accepted before the stop is served before on_stop."""
    diary = Diary()
    async with supervise("s", [probe("a", diary)], world=SystemWorld()) as sup:
        for n in range(3):
            sup.ref("a").tell_nowait(n)
    assert diary.entries == ["a: start", "a: got 0", "a: got 1", "a: got 2", "a: stop"]


async def test_draining_actor_refuses_newcomers() -> None:
    """While an actor serves out its queue, asks fail at once instead of prolonging the stop."""
    diary = Diary()
    outcome: list[type[BaseException]] = []
    refs: list[Supervisor] = []

    async def ask_during_drain() -> None:
        try:
            await refs[0].ref("a").ask("late", 1000)
        except ActorStopped as error:
            outcome.append(type(error))

    async with supervise("s", [probe("a", diary)], world=SystemWorld()) as sup:
        refs.append(sup)
        sup.ref("a").tell_nowait(ask_during_drain)
    assert outcome == [ActorStopped]


async def test_drain_is_bounded_and_says_so(autojump_clock: object) -> None:
    """A handler that outlasts its grace is cut off: its asker and the queue get ActorStopped,

    on_stop still runs, and the supervisor raises StopTimeout.
    """
    diary = Diary()
    replies = []
    with pytest.RaisesGroup(pytest.RaisesGroup(StopTimeout)):
        async with supervise("s", [probe("a", diary, stop_grace=5)], world=SystemWorld()) as sup:
            ref = sup.ref("a")
            replies = [ref.ask_nowait(trio.sleep_forever), ref.ask_nowait("queued")]
            ref.tell_nowait("told")
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

    with pytest.RaisesGroup(pytest.RaisesGroup(StopTimeout)):
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
            raise BoomError

    children = [probe("a", diary), Child("b", lambda: Sore("b", diary))]
    with pytest.RaisesGroup(pytest.RaisesGroup(BoomError)):
        async with supervise("s", children, world=SystemWorld()):
            pass
    assert diary.entries[-1] == "a: stop"


async def test_crash_and_failing_stop_are_both_kept() -> None:
    """When on_stop fails after a crash, the escalation holds both exceptions."""

    class Sore(Probe):
        async def on_stop(self) -> None:
            raise OSError

    child = Child("a", lambda: Sore("a", Diary()))
    with pytest.RaisesGroup(pytest.RaisesGroup(pytest.RaisesGroup(BoomError, OSError))):
        async with supervise("s", [child], policy=NEVER, world=SystemWorld(), report=quiet) as sup:
            await crash(sup, "a")
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
        three(diary),
        strategy=Strategy.ONE_FOR_ALL,
        policy=EAGER,
        world=SystemWorld(),
        report=quiet,
    ) as sup:
        in_hand = sup.ref("c").ask_nowait(busy)
        queued = sup.ref("c").ask_nowait("queued")
        await diary.wait_for("busy")
        await crash(sup, "a")
        await trio.testing.wait_all_tasks_blocked()
        release.set()
        assert await in_hand.wait(1) == "done"
        assert await queued.wait(1) == "queued"
        assert diary.entries[-2:] == ["c: start", "c: got queued"]


@pytest.mark.parametrize(
    ("restart", "crash_restarts", "end_restarts"),
    [
        (Restart.PERMANENT, True, True),
        (Restart.TRANSIENT, True, False),
        (Restart.TEMPORARY, False, False),
    ],
)
async def test_restart_kinds(restart: Restart, crash_restarts: bool, end_restarts: bool) -> None:
    """Permanent: always. Transient: after failures. Temporary: never. Others get ActorStopped."""
    for message, returns in ((BoomError(), crash_restarts), (None, end_restarts)):
        diary = Diary()

        async def end() -> Stop:
            return Stop("bye")

        async with supervise(
            "s",
            [probe("a", diary, restart=restart)],
            policy=EAGER,
            world=SystemWorld(),
            report=quiet,
        ) as sup:
            ref = sup.ref("a")
            ref.tell_nowait(message or end)
            if returns:
                assert await ref.ask("x", 1) == "x"
                assert diary.entries.count("a: start") == 2
            else:
                with pytest.raises(ActorStopped):
                    await ref.ask("x", 1)
                assert child_state(sup, "a") == "done"


async def test_permanent_actor_that_ends_counts_as_failure() -> None:
    """An actor that keeps ending by itself is a storm too."""

    async def end() -> Stop:
        return Stop("bye")

    with pytest.RaisesGroup(pytest.RaisesGroup(ActorExited)):
        async with supervise(
            "s", three(Diary()), policy=NEVER, world=SystemWorld(), report=quiet
        ) as sup:
            assert await sup.ref("a").ask(end, 1) == "bye"
            await trio.sleep_forever()


async def test_branch_restarts_as_a_whole_and_refs_stay() -> None:
    """A branch that gives up is one failure of its parent's; its refs and queues survive."""
    diary = Diary()
    reports: list[FailureReport] = []
    branch = Branch("br", [probe("x", diary), probe("y", diary)], policy=NEVER)
    async with supervise(
        "s", [probe("a", diary), branch], policy=EAGER, world=SystemWorld(), report=reports.append
    ) as sup:
        assert diary.entries == ["a: start", "x: start", "y: start"]
        ref = sup.ref("br/x")
        with pytest.raises(BoomError):
            await ref.ask(BoomError(), 1)
        assert await ref.ask("x", 1) == "x"
        assert lives(diary)[3:6] == ["x: stop", "y: stop", "x: start"]
        assert [(r.actor, r.failure, r.verdict) for r in reports] == [
            ("s/br/x", "BoomError", Verdict.ESCALATE),
            ("s/br", "SupervisorFailed", Verdict.RESTART),
        ]
        assert ref.name == "s/br/x"
    assert diary.entries[-3:] == ["y: stop", "x: stop", "a: stop"]


async def test_nested_escalation_keeps_the_tree_of_exceptions() -> None:
    """Groups are nested, never flattened: which branch failed stays visible."""
    branch = Branch("br", [probe("x", Diary())], policy=NEVER)
    with pytest.RaisesGroup(pytest.RaisesGroup(pytest.RaisesGroup(BoomError))):
        async with supervise("s", [branch], policy=NEVER, world=SystemWorld(), report=quiet) as sup:
            await crash(sup, "br/x")
            await trio.sleep_forever()


async def test_branch_drains_at_the_end() -> None:
    """An orderly stop of the root drains the mailboxes of a branch as well."""
    diary = Diary()
    branch = Branch("br", [probe("x", diary)])
    async with supervise("s", [branch], world=SystemWorld()) as sup:
        sup.ref("br/x").tell_nowait("told")
    assert diary.entries == ["x: start", "x: got told", "x: stop"]


@pytest.mark.parametrize(
    "children",
    [["a", "a"], ["a/b"], [""]],
)
async def test_bad_names_are_refused(children: list[str]) -> None:
    """Names are distinct, not empty, and hold no slash, or paths would be ambiguous."""
    with pytest.raises(ValueError, match="name"):
        async with supervise("s", [probe(n, Diary()) for n in children], world=SystemWorld()):
            pass


@pytest.mark.parametrize("name", ["nobody", "br", "a/x", "br/nobody"])
async def test_unknown_ref_is_a_key_error(name: str) -> None:
    """Only actors have refs."""
    children = [probe("a", Diary()), Branch("br", [probe("x", Diary())])]
    async with supervise("s", children, world=SystemWorld()) as sup:
        with pytest.raises(KeyError):
            sup.ref(name)


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
        await crash(sup, "a")
        assert await sup.ref("a").ask("x", 1) == "x"
        assert len(made) == 2
