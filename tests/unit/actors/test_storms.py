"""Promises under storms: what escalates, what it holds, and that no message is served twice."""

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
    Reply,
    RestartPolicy,
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
)


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
                    await sup.ref("b").call(error, 1)
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
            assert await sup.ref("a").call("x", 1) == "x"
            world.advance(10)


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
                sup.ref("b").cast_nowait(error)
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
            sup.ref("b").cast_nowait(CrashError())


async def test_nested_escalation_keeps_the_tree_of_exceptions() -> None:
    """Groups are nested, never flattened: which branch failed stays visible."""
    branch = Branch("br", probes("x", Diary()), policy=STRICT)
    with pytest.RaisesGroup(pytest.RaisesGroup(pytest.RaisesGroup(CrashError))):
        async with supervise(
            "s", [branch], policy=STRICT, world=SystemWorld(), report=quiet
        ) as sup:
            await crash(sup.ref("br/x"))
            await trio.sleep_forever()


async def test_storm_tells_every_asker_before_the_siblings_have_stopped(
    autojump_clock: object,
) -> None:
    """At escalation, queued asks fail at once, not after a slow sibling's on_stop."""
    told: list[float] = []

    class Slow(Probe):
        async def on_stop(self) -> None:
            await trio.sleep(3)

    async def wait(reply: Reply) -> None:
        with pytest.raises(ActorStopped):
            await reply.wait(1000)
        told.append(trio.current_time())

    children = [*probes("a", Diary()), Child("b", lambda: Slow("b", Diary()))]
    async with trio.open_nursery() as askers:
        with pytest.RaisesGroup(pytest.RaisesGroup(CrashError)):
            async with supervise(
                "s", children, policy=STRICT, world=SystemWorld(), report=quiet
            ) as sup:
                sup.ref("a").cast_nowait(CrashError())
                askers.start_soon(wait, sup.ref("a").call_nowait("queued"))
                await trio.sleep_forever()
    assert told == [0.0]
    assert trio.current_time() == 3


@pytest.mark.parametrize(
    ("strategy", "intensity"), [(Strategy.ONE_FOR_ONE, 0), (Strategy.ONE_FOR_ALL, 1)]
)
async def test_sibling_that_fails_to_stop_is_held_too(strategy: Strategy, intensity: int) -> None:
    """Failures while siblings are brought down are kept, and in a group restart they count."""

    class Sore(Probe):
        async def on_stop(self) -> None:
            raise OSError

    children = [*probes("a", Diary()), Child("b", lambda: Sore("b", Diary()))]
    policy = RestartPolicy(intensity, 60, 0, 0)
    with pytest.RaisesGroup(pytest.RaisesGroup(CrashError, pytest.RaisesGroup(OSError))):
        async with supervise(
            "s", children, strategy=strategy, policy=policy, world=SystemWorld(), report=quiet
        ) as sup:
            await crash(sup.ref("a"))
            await trio.sleep_forever()


async def test_storm_holds_only_what_is_within_the_window() -> None:
    """Failures long past are neither counted nor kept in memory."""
    world = FakeWorld()
    policy = RestartPolicy(intensity=1, window=10, backoff_base=0, backoff_cap=0)
    with pytest.RaisesGroup(pytest.RaisesGroup(CrashError, CrashError)):
        async with supervise("s", probes("a", Diary()), policy=policy, world=world) as sup:
            await crash(sup.ref("a"))
            assert await sup.ref("a").call("x", 1) == "x"
            world.advance(10)
            for _ in range(2):
                await crash(sup.ref("a"))
            await trio.sleep_forever()


async def test_branch_begins_each_life_with_a_clean_record() -> None:
    """Failures of the life that escalated do not count against the next."""
    policy = RestartPolicy(intensity=1, window=60, backoff_base=0, backoff_cap=0)
    branch = Branch("br", probes("x", Diary()), policy=policy)
    reports: list[FailureReport] = []
    async with supervise(
        "s", [branch], policy=policy, world=SystemWorld(), report=reports.append
    ) as sup:
        for _ in range(3):
            await crash(sup.ref("br/x"))
        assert await sup.ref("br/x").call("x", 1) == "x"
    assert [r.actor for r in reports].count("s/br") == 1


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
            answers[message] = "ok" if await ref.call(message, 60) == message else "wrong"
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
