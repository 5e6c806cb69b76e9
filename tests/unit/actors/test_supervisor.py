"""Promises of supervision: order, strategies, storms, nesting, what survives a restart."""

from __future__ import annotations

import random

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from actors import (
    Actor,
    ActorStopped,
    Branch,
    Child,
    FailureReport,
    Ref,
    Restart,
    RestartPolicy,
    Stop,
    Strategy,
    SupervisorFailed,
    SystemWorld,
    Verdict,
    supervise,
)
from actors.testing import (
    EAGER,
    STRICT,
    CrashError,
    Diary,
    FakeWorld,
    Probe,
    crash,
    probes,
    quiet,
    state_of,
)


async def test_starts_in_order_and_stops_in_reverse() -> None:
    """Children start first to last, all before the block is entered, and stop last to first."""
    diary = Diary()
    async with supervise("s", probes("abc", diary), world=SystemWorld()) as sup:
        assert diary.entries == ["a: start", "b: start", "c: start"]
        assert [n.state for n in sup.snapshot().children] == ["running"] * 3
    assert diary.entries[3:] == ["c: stop", "b: stop", "a: stop"]


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
        "s",
        probes("abc", diary),
        strategy=strategy,
        policy=EAGER,
        world=SystemWorld(),
        report=quiet,
    ) as sup:
        before = len(diary.entries)
        await crash(sup.ref("b"))
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

    async with supervise(
        "s", probes("abc", diary), policy=EAGER, world=SystemWorld(), report=quiet
    ) as sup:
        reply = sup.ref("a").ask_nowait(busy)
        await diary.wait_for("busy")
        await crash(sup.ref("b"))
        assert await sup.ref("b").ask("again", 1) == "again"
        release.set()
        assert await reply.wait(1) == "done"


async def test_storm_escalates_with_the_original_exceptions() -> None:
    """More failures than the intensity fail the supervisor with the very exceptions, typed."""
    raised = [CrashError(str(n)) for n in range(3)]
    policy = RestartPolicy(intensity=2, window=60, backoff_base=0, backoff_cap=0)

    async def storm() -> None:
        async with supervise(
            "s", probes("abc", Diary()), policy=policy, world=SystemWorld(), report=quiet
        ) as sup:
            for error in raised:
                with pytest.raises(CrashError):
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
    async with supervise(
        "s", probes("abc", Diary()), policy=policy, world=world, report=quiet
    ) as sup:
        for _ in range(5):
            await crash(sup.ref("a"))
            assert await sup.ref("a").ask("x", 1) == "x"
            world.advance(10)


async def test_restart_waits_its_backoff() -> None:
    """The new incarnation starts after the delay that the policy says, not before."""
    world, diary = FakeWorld(), Diary()
    policy = RestartPolicy(intensity=5, window=60, backoff_base=4, backoff_cap=4)
    async with supervise("s", probes("a", diary), policy=policy, world=world, report=quiet) as sup:
        await crash(sup.ref("a"))
        while not world.sleepers:
            await trio.lowlevel.checkpoint()
        world.advance(1.9)  # jitter takes at most half of 4 s
        await trio.testing.wait_all_tasks_blocked()
        assert state_of(sup, "s/a") == "down"
        world.advance(2.1)
        await diary.wait_for("a: start", times=2)


async def test_backoff_of_one_child_does_not_hold_up_another() -> None:
    """A sibling that crashes meanwhile is judged and restarted by its own delay."""
    world, diary = FakeWorld(), Diary()
    policy = RestartPolicy(intensity=5, window=60, backoff_base=2, backoff_cap=50)
    async with supervise(
        "s", probes("abc", diary), policy=policy, world=world, report=quiet
    ) as sup:
        for name in "ab":
            await crash(sup.ref(name))
            await trio.testing.wait_all_tasks_blocked()
        assert world.sleepers == 2
        world.advance(2)
        await diary.wait_for("a: start", times=2)
        assert state_of(sup, "s/a") == "running"


async def test_cancel_during_start_stops_what_had_started(autojump_clock: object) -> None:
    """A start in progress is cut short by cancellation at once; elders stop in order."""
    diary = Diary()

    class Stuck(Actor[str]):
        async def on_start(self) -> None:
            await trio.sleep_forever()

    with trio.move_on_after(1) as scope:
        async with supervise("s", [*probes("a", diary), Child("b", Stuck)], world=SystemWorld()):
            diary.write("entered")
    assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(1)
    assert diary.entries == ["a: start", "a: stop"]


async def test_cancelled_block_stops_in_order_and_cancelled_passes() -> None:
    """Cancelling the block is an orderly stop; Cancelled reaches its scope."""
    diary = Diary()
    with trio.CancelScope() as scope:
        async with supervise("s", probes("abc", diary), world=SystemWorld()):
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert diary.entries[3:] == ["c: stop", "b: stop", "a: stop"]


async def test_block_that_raises_stops_in_order() -> None:
    """The block's own exception passes in its group after an orderly stop."""
    diary = Diary()
    with pytest.RaisesGroup(CrashError):
        async with supervise("s", probes("abc", diary), world=SystemWorld()):
            raise CrashError
    assert diary.entries[3:] == ["c: stop", "b: stop", "a: stop"]


async def test_crash_as_the_block_ends_is_judged_like_any_other() -> None:
    """Within the intensity it is reported, beyond it it is raised: never swallowed."""
    for policy, verdict in ((EAGER, Verdict.DONE), (STRICT, Verdict.ESCALATE)):
        diary, reports = Diary(), list[FailureReport]()
        error = CrashError()
        raised: list[Exception] = []
        try:
            async with supervise(
                "s", probes("ab", diary), policy=policy, world=SystemWorld(), report=reports.append
            ) as sup:
                sup.ref("b").tell_nowait(error)
        except* CrashError as group:
            raised = list(group.exceptions)
        assert diary.entries[2:] == ["b: stop", "a: stop"]
        assert [(r.actor, r.verdict) for r in reports] == [("s/b", verdict)]
        assert bool(raised) is (policy is STRICT)


async def test_late_crash_and_failing_stop_are_both_raised() -> None:
    """A storm at the very end does not hide a child that failed to stop."""

    class Sore(Probe):
        async def on_stop(self) -> None:
            raise OSError

    children = [Child("a", lambda: Sore("a", Diary())), *probes("b", Diary())]
    with pytest.RaisesGroup(
        pytest.RaisesGroup(CrashError, pytest.RaisesGroup(OSError)),
    ):
        async with supervise(
            "s", children, policy=STRICT, world=SystemWorld(), report=quiet
        ) as sup:
            sup.ref("b").tell_nowait(CrashError())


async def test_temporary_child_of_a_branch_returns_with_the_branch() -> None:
    """A new life of a branch begins with all its children, reachable by their old refs."""
    diary = Diary()
    children = [*probes("t", diary, restart=Restart.TEMPORARY), *probes("x", diary)]
    branch = Branch("br", children, policy=STRICT)
    async with supervise("s", [branch], policy=EAGER, world=SystemWorld(), report=quiet) as sup:
        await crash(sup.ref("br/t"))
        with pytest.raises(ActorStopped):
            await sup.ref("br/t").ask("x", 1)
        await crash(sup.ref("br/x"))
        await diary.wait_for("x: start", times=2)
        assert await sup.ref("br/t").ask("x", 1) == "x"


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
    for message, returns in ((CrashError(), crash_restarts), (None, end_restarts)):
        diary = Diary()

        async def end() -> Stop:
            return Stop("bye")

        async with supervise(
            "s",
            probes("a", diary, restart=restart),
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
                assert state_of(sup, "s/a") == "done"


async def test_branch_restarts_as_a_whole_and_refs_stay() -> None:
    """A branch that gives up is one failure of its parent's; its refs and queues survive."""
    diary = Diary()
    reports: list[FailureReport] = []
    branch = Branch("br", probes("xy", diary), policy=STRICT)
    async with supervise(
        "s", [*probes("a", diary), branch], policy=EAGER, world=SystemWorld(), report=reports.append
    ) as sup:
        assert diary.entries == ["a: start", "x: start", "y: start"]
        ref = sup.ref("br/x")
        with pytest.raises(CrashError):
            await ref.ask(CrashError(), 1)
        assert await ref.ask("x", 1) == "x"
        assert diary.entries[3:6] == ["x: stop", "y: stop", "x: start"]
        assert [(r.actor, r.failure, r.verdict) for r in reports] == [
            ("s/br/x", "CrashError", Verdict.ESCALATE),
            ("s/br", "SupervisorFailed", Verdict.RESTART),
        ]
        assert ref.name == "s/br/x"
    assert diary.entries[-3:] == ["y: stop", "x: stop", "a: stop"]


async def test_nested_escalation_keeps_the_tree_of_exceptions() -> None:
    """Groups are nested, never flattened: which branch failed stays visible."""
    branch = Branch("br", probes("x", Diary()), policy=STRICT)
    with pytest.RaisesGroup(pytest.RaisesGroup(pytest.RaisesGroup(CrashError))):
        async with supervise(
            "s", [branch], policy=STRICT, world=SystemWorld(), report=quiet
        ) as sup:
            await crash(sup.ref("br/x"))
            await trio.sleep_forever()


async def test_branch_drains_at_the_end() -> None:
    """An orderly stop of the root drains the mailboxes of a branch as well."""
    diary = Diary()
    branch = Branch("br", probes("x", diary))
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
        async with supervise("s", probes(children, Diary()), world=SystemWorld()):
            pass


@pytest.mark.parametrize("name", ["nobody", "br", "a/x", "br/nobody"])
async def test_unknown_ref_is_a_key_error(name: str) -> None:
    """Only actors have refs."""
    children = [*probes("a", Diary()), Branch("br", probes("x", Diary()))]
    async with supervise("s", children, world=SystemWorld()) as sup:
        with pytest.raises(KeyError):
            sup.ref(name)


@given(
    rng=st.randoms(use_true_random=False),
    strategy=st.sampled_from(Strategy),
    crash_rate=st.floats(0, 0.3),
)
async def test_chaos(rng: random.Random, strategy: Strategy, crash_rate: float) -> None:
    """Under random crashes every ask ends, no message is served twice, nothing is lost silently."""
    served: list[int] = []
    answers: dict[int, str] = {}
    failures = 0

    class Worker(Actor[int]):
        async def receive(self, message: int) -> int:
            served.append(message)
            await trio.lowlevel.checkpoint()
            if rng.random() < crash_rate:
                raise CrashError
            return message

    async def ask(ref: Ref[int], message: int) -> None:
        try:
            answers[message] = "ok" if await ref.ask(message, 60) == message else "wrong"
        except (CrashError, ActorStopped) as error:
            answers[message] = type(error).__name__

    policy = RestartPolicy(intensity=10, window=60, backoff_base=0, backoff_cap=0)
    try:
        async with supervise(
            "s",
            [Child(name, Worker, mailbox=3) for name in "abc"],
            strategy=strategy,
            policy=policy,
            world=SystemWorld(),
            report=quiet,
        ) as sup:
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as nursery:
                    for n in range(60):
                        nursery.start_soon(ask, sup.ref(rng.choice("abc")), n)
    except* CrashError as storm:
        failures = len(leaves(storm))
    assert failures == 0 or failures > policy.intensity
    assert set(answers) == set(range(60))
    assert "wrong" not in answers.values()
    assert len(served) == len(set(served))
    assert {n for n, a in answers.items() if a != "ActorStopped"} == set(served)


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The exceptions of a tree of groups."""
    return [
        leaf
        for error in group.exceptions
        for leaf in (leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]
