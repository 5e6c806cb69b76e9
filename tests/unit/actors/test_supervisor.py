"""Promises of supervision: order, strategies, storms, nesting, what survives a restart."""

from __future__ import annotations

from functools import partial

import pytest
import trio
import trio.testing

from actors import (
    Actor,
    ActorStopped,
    Branch,
    CallTimeout,
    Child,
    FailureReport,
    Restart,
    RestartPolicy,
    Stop,
    Strategy,
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
            assert await sup.ref(name).call("x", 1) == "x"


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
        reply = sup.ref("a").call_nowait(busy)
        await diary.wait_for("busy")
        await crash(sup.ref("b"))
        assert await sup.ref("b").call("again", 1) == "again"
        release.set()
        assert await reply.wait(1) == "done"


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
        for name in "ba":
            await crash(sup.ref(name))
            await trio.testing.wait_all_tasks_blocked()
        assert world.sleepers == 2
        world.advance(2)
        await diary.wait_for("b: start", times=2)
        await trio.testing.wait_all_tasks_blocked()
        assert (state_of(sup, "s/a"), state_of(sup, "s/b")) == ("down", "running")


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


async def test_cancel_before_the_start_ends_the_block(autojump_clock: object) -> None:
    """No child has run yet: the stop that is asked for then is not forgotten."""
    diary = Diary()
    with trio.fail_after(60), trio.CancelScope() as scope:
        scope.cancel()
        async with supervise("s", probes("ab", diary), world=SystemWorld()):
            raise AssertionError("the block is entered")
    assert scope.cancelled_caught


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


async def test_temporary_child_of_a_branch_returns_with_the_branch() -> None:
    """A new life of a branch begins with all its children, reachable by their old refs."""
    diary = Diary()
    children = [*probes("t", diary, restart=Restart.TEMPORARY), *probes("x", diary)]
    branch = Branch("br", children, policy=STRICT)
    async with supervise("s", [branch], policy=EAGER, world=SystemWorld(), report=quiet) as sup:
        await crash(sup.ref("br/t"))
        with pytest.raises(ActorStopped):
            await sup.ref("br/t").call("x", 1)
        await crash(sup.ref("br/x"))
        await diary.wait_for("x: start", times=2)
        assert await sup.ref("br/t").call("x", 1) == "x"


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
            ref.cast_nowait(message or end)
            if returns:
                assert await ref.call("x", 1) == "x"
                assert diary.entries.count("a: start") == 2
            else:
                with pytest.raises(ActorStopped):
                    await ref.call("x", 1)
                assert state_of(sup, "s/a") == "done"


async def test_kinds_in_a_group_restart() -> None:
    """Stopped with its group, a transient child comes back with it; a temporary one does not."""
    diary = Diary()
    children = [
        *probes("a", diary),
        *probes("b", diary, restart=Restart.TRANSIENT),
        *probes("c", diary, restart=Restart.TEMPORARY),
    ]
    async with supervise(
        "s",
        children,
        strategy=Strategy.ONE_FOR_ALL,
        policy=EAGER,
        world=SystemWorld(),
        report=quiet,
    ) as sup:
        await crash(sup.ref("a"))
        await diary.wait_for("b: start", times=2)
        assert await sup.ref("b").call("x", 1) == "x"
        with pytest.raises(ActorStopped):
            await sup.ref("c").call("x", 1)
        assert [n.state for n in sup.snapshot().children] == ["running", "running", "done"]


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
            await ref.call(CrashError(), 1)
        assert await ref.call("x", 1) == "x"
        assert diary.entries[3:6] == ["x: stop", "y: stop", "x: start"]
        assert [(r.actor, r.failure, r.verdict) for r in reports] == [
            ("s/br/x", "CrashError", Verdict.ESCALATE),
            ("s/br", "SupervisorFailed", Verdict.RESTART),
        ]
        assert ref.name == "s/br/x"
    assert diary.entries[-3:] == ["y: stop", "x: stop", "a: stop"]


async def test_branch_drains_at_the_end() -> None:
    """An orderly stop of the root drains the mailboxes of a branch as well."""
    diary = Diary()
    branch = Branch("br", probes("x", diary))
    async with supervise("s", [branch], world=SystemWorld()) as sup:
        sup.ref("br/x").cast_nowait("told")
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


async def test_new_group_restart_replaces_the_back_off_of_its_members() -> None:
    """A child has one time to come back at; an older one is forgotten."""
    world, diary = FakeWorld(), Diary()
    policy = RestartPolicy(intensity=5, window=60, backoff_base=2, backoff_cap=50)
    async with supervise(
        "s",
        probes("abc", diary),
        strategy=Strategy.REST_FOR_ONE,
        policy=policy,
        world=world,
        report=quiet,
    ) as sup:
        for name in "ca":
            await crash(sup.ref(name))
            await trio.testing.wait_all_tasks_blocked()
        assert world.sleepers == 1


async def test_stop_ends_a_back_off_and_fails_its_queue_at_once(autojump_clock: object) -> None:
    """A child that is down at the stop is not waited for, nor is anybody who asked it."""
    outcome: list[float] = []

    class Curious(Actor[str]):
        async def on_stop(self) -> None:
            with pytest.raises(ActorStopped):
                await sup.ref("b").call("x", 4)
            outcome.append(trio.current_time())

    children = [Child("a", Curious), *probes("b", Diary())]
    async with supervise("s", children, world=FakeWorld(), report=quiet) as sup:
        await crash(sup.ref("b"))
        await trio.testing.wait_all_tasks_blocked()
    assert outcome == [0.0]


async def test_deadlines_run_while_a_cancelled_block_stops(autojump_clock: object) -> None:
    """Children may ask each other to the last, and no ask outlasts its deadline."""
    outcome: list[float] = []

    class Curious(Actor[str]):
        async def on_stop(self) -> None:
            with pytest.raises(CallTimeout):
                await sup.ref("a").call("x", 1)
            outcome.append(trio.current_time())
            release.set()

    release = trio.Event()
    children = [*probes("a", Diary()), Child("b", Curious)]
    with trio.CancelScope() as scope:
        async with supervise("s", children, world=SystemWorld()) as sup:
            sup.ref("a").cast_nowait(release.wait)
            scope.cancel()
    assert outcome == [1.0]


class HaltError(BaseException):
    """What no supervisor judges: like KeyboardInterrupt."""


async def test_base_exceptions_pass_and_still_stop_every_actor() -> None:
    """An interrupt is not a crash: it ends the tree and passes on, after each on_stop."""
    diary = Diary()

    class Tidy(Probe):
        async def on_stop(self) -> None:
            await trio.lowlevel.checkpoint()
            await super().on_stop()

    async def halt() -> None:
        raise HaltError

    with pytest.RaisesGroup(HaltError, flatten_subgroups=True):
        async with supervise(
            "s",
            [Child(name, partial(Tidy, name, diary)) for name in "ab"],
            world=SystemWorld(),
        ) as sup:
            with pytest.raises(ActorStopped):
                await sup.ref("a").call(halt, 1)
    assert sorted(diary.entries[2:]) == ["a: stop", "b: stop"]
