"""Agents that are locked or not heard hold up no roll-out (`control.services.rollouts`)."""

import pytest
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.model.agents import Life, Presence
from control.model.policies import Plan, RolloutState
from control.services.policies import Report
from control.services.rollout import order
from control.services.rollouts import LOOK_EVERY
from control.store import agents
from control.store.rows import Tx
from tests.unit.control.services.test_rollouts import VAULTS, answer, having, ready


async def heard(plane: Plane, presence: Presence, *vaults: str) -> None:
    """As `services.presence` stores it."""

    def change(tx: Tx) -> None:
        for row in agents.agents_among(tx, "acme", vaults):
            agents.put_agent(tx, replace(row, presence=presence))

    await plane.store.write(change)


@pytest.mark.parametrize("how", ["offline", "locked", "never heard"])
async def test_who_is_away_holds_up_nobody(plane: Plane, world: FakeWorld, how: str) -> None:
    """It gets the version on coming back; another roll-out can begin meanwhile.

    The one that comes last in the order is away: the steps before do not meet it.
    """
    await ready(plane, world)
    await heard(plane, Presence.ONLINE, *VAULTS)
    plan = Plan(canary=1, percentages=(50,))
    rollout = await plane.rollouts.start("acme", "p", 1, plan, "ann")
    away = order(rollout.id, VAULTS)[-1]
    for _ in range(2):
        await answer(plane, world)
        await plane.rollouts.tick()
    if how == "locked":
        await plane.registry.move("acme", away, Life.LOCKED, "stolen")
    else:
        silent = Presence.OFFLINE if how == "offline" else Presence.UNKNOWN
        await heard(plane, silent, away)
    await plane.policies.catch_up()
    world.advance(LOOK_EVERY)
    await plane.rollouts.tick()
    _, progress = await plane.rollouts.get("acme", rollout.id)
    assert (progress.applied, progress.wanted, progress.away) == (2, 2, 1)
    third = order(rollout.id, VAULTS)[2]
    [row] = [row for row in await plane.policies.status("acme") if row.vault == third]
    told = Report(row.version, applied=True, reason="", now=world.now())
    await plane.store.write(lambda tx: plane.policies.report(tx, "acme", third, told))
    await plane.rollouts.tick()
    done, _ = await plane.rollouts.get("acme", rollout.id)
    assert done.state is RolloutState.DONE
    await plane.rollouts.start("acme", "p", 2, Plan(canary=1), "ann")
    assert (await having(plane))[away] in {1, 2}


async def test_a_canary_that_is_away_proves_nothing(plane: Plane, world: FakeWorld) -> None:
    """The step waits for it, or for a person."""
    await ready(plane, world)
    await heard(plane, Presence.ONLINE, *VAULTS)
    rollout = await plane.rollouts.start("acme", "p", 1, Plan(canary=1), "ann")
    [canary] = await having(plane)
    await heard(plane, Presence.OFFLINE, canary)
    await plane.rollouts.tick()
    waits, progress = await plane.rollouts.get("acme", rollout.id)
    assert (waits.step, waits.state) == (0, RolloutState.RUNNING)
    assert (progress.wanted, progress.away) == (1, 1)
    assert (await plane.rollouts.advance("acme", rollout.id, 0)).step == 1
