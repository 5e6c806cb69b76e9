"""A version reaches the agents step by step, halts on refusals, and can be taken back."""

import pytest

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.errors import ConflictError, NotFoundError
from control.model.documents import Document, Rule
from control.model.policies import Plan, Rollout, RolloutState, Target
from control.services.events import Topic
from control.services.policies import Report
from control.services.rollouts import LOOK_EVERY
from tests.unit.control.fleet import enrolled

RULE = Rule(effect="allow", paths=("a/*",), capabilities=("read",))
VAULTS = ("v1", "v2", "v3", "v4")


async def ready(plane: Plane, world: FakeWorld) -> None:
    """Four agents, a policy in two versions for all of them."""
    await enrolled(plane, world, *VAULTS)
    for _ in range(2):
        await plane.policies.write("acme", "p", Document(rules=(RULE,)), "", "ann")
    await plane.policies.point("acme", "p", (Target(all=True),))


async def answer(plane: Plane, world: FakeWorld, *, refuse: bool = False) -> int:
    """Every agent that waits for a bundle says what became of it; how many did."""
    await plane.policies.catch_up()
    waiting = [a for a in await plane.policies.status("acme") if a.outcome == "wanted"]
    for row in waiting:
        told = Report(row.version, not refuse, "above_ceiling" if refuse else "", world.now())
        await plane.store.write(
            lambda tx, row=row, told=told: plane.policies.report(tx, "acme", row.vault, told)
        )
    return len(waiting)


async def having(plane: Plane) -> dict[str, int]:
    """Agent to the version of `p` it should have."""
    await plane.policies.catch_up()
    return {a.vault: a.contents["p"] for a in await plane.policies.status("acme", "p")}


async def test_step_by_step_to_everybody(plane: Plane, world: FakeWorld) -> None:
    """One, half, all; then the version is the stable one."""
    await ready(plane, world)
    plan = Plan(canary=1, percentages=(50,))
    rollout = await plane.rollouts.start("acme", "p", 1, plan, "ann")
    sizes = []
    for _ in range(3):
        sizes.append(await answer(plane, world))
        await plane.rollouts.tick()
    assert sizes == [1, 1, 2]
    done, progress = await plane.rollouts.get("acme", rollout.id)
    assert (done.state, progress.applied) == (RolloutState.DONE, 4)
    assert (await plane.policies.get("acme", "p")).stable == 1
    with pytest.raises(NotFoundError):
        await plane.rollouts.get("other", rollout.id)


async def test_refusals_halt_and_a_person_rolls_back(plane: Plane, world: FakeWorld) -> None:
    """Nobody but the canary ever wanted the bad version, and its bundle only goes up."""
    await ready(plane, world)
    await plane.rollouts.start("acme", "p", 1, Plan(), "ann")
    await answer(plane, world)
    await plane.rollouts.tick()
    before = {a.vault: a.version for a in await plane.policies.status("acme")}
    rollout = await plane.rollouts.start("acme", "p", 2, Plan(canary=1), "ann")
    await answer(plane, world, refuse=True)
    await plane.rollouts.tick()
    halted, _ = await plane.rollouts.get("acme", rollout.id)
    assert halted.state is RolloutState.HALTED
    assert sorted((await having(plane)).values()) == [1, 1, 1, 2]
    codes = [a.code for a in await plane.alerts.page(
        "acme", vault="", unacknowledged=True, before=0, limit=9)]  # fmt: skip
    assert codes == ["rollout_halted"]
    await plane.rollouts.roll_back("acme", rollout.id, "bad")
    assert set((await having(plane)).values()) == {1}
    after = {a.vault: a.version for a in await plane.policies.status("acme")}
    assert sorted(after[v] - before[v] for v in VAULTS) == [0, 0, 0, 2]


async def test_done_can_be_taken_back(plane: Plane, world: FakeWorld) -> None:
    """To what was stable before."""
    await ready(plane, world)
    for version in (1, 2):
        rollout = await plane.rollouts.start("acme", "p", version, Plan(), "ann")
        await answer(plane, world)
        await plane.rollouts.tick()
    await plane.rollouts.roll_back("acme", rollout.id, "")
    assert set((await having(plane)).values()) == {1}


async def test_an_answer_does_not_wait_for_the_agents(plane: Plane, world: FakeWorld) -> None:
    """The roll-out is on record; bundles are signed behind it, also in the process' next life."""
    await ready(plane, world)
    await plane.policies.catch_up()
    with plane.bus.subscribed(Topic.POLICY) as heard:
        await plane.rollouts.start("acme", "p", 1, Plan(), "ann")
        assert await plane.policies.status("acme") == []
        await plane.aftermath.load()
        await plane.policies.catch_up()
        events, _ = await heard.take()
    assert {event.vault for event in events} == set(VAULTS)


async def test_nothing_new_is_not_looked_at_twice(plane: Plane, world: FakeWorld) -> None:
    """A tick counts; everything is looked at when counts, steps or a quarter of a minute say so."""
    await ready(plane, world)
    await plane.rollouts.start("acme", "p", 1, Plan(canary=1), "ann")
    await plane.policies.catch_up()
    looks = []
    before = plane.rollouts._step

    async def step(rollout: Rollout, now: int) -> None:
        looks.append(rollout.step)
        await before(rollout, now)

    plane.rollouts._step = step  # type: ignore[method-assign]
    for _ in range(3):
        await plane.rollouts.tick()
    assert looks == [0]
    world.advance(LOOK_EVERY)
    await plane.rollouts.tick()
    assert looks == [0, 0]
    await answer(plane, world)
    await plane.rollouts.tick()
    await plane.rollouts.tick()
    assert looks == [0, 0, 0, 1]


async def test_one_at_a_time_and_only_forward(plane: Plane, world: FakeWorld) -> None:
    """A second one, or a step behind the last, is a conflict."""
    await ready(plane, world)
    rollout = await plane.rollouts.start("acme", "p", 1, Plan(automatic=False), "ann")
    with pytest.raises(ConflictError, match="rollout_open"):
        await plane.rollouts.start("acme", "p", 2, Plan(), "ann")
    with pytest.raises(ConflictError, match="last_step"):
        await plane.rollouts.advance("acme", rollout.id)
    await plane.rollouts.halt("acme", rollout.id, "wait")
    await plane.rollouts.roll_back("acme", rollout.id, "")
    with pytest.raises(ConflictError, match="rollout_over"):
        await plane.rollouts.halt("acme", rollout.id, "")
    assert [r.id for r in await plane.rollouts.of_policy("acme", "p", 9)] == [rollout.id]
