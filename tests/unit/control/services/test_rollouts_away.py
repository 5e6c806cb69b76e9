"""Agents that are locked or not heard hold up no roll-out (`control.services.rollouts`)."""

import pytest
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.api.control_plane import ControlPlane
from control.model.agents import Life, Presence
from control.model.policies import Plan, Rollout, RolloutState, Target
from control.model.policy_documents import Document
from control.services.desired_state import AWAY_AFTER
from control.services.policies import BundleReport
from control.services.rollout_steps import Progress, rollout_order
from control.services.rollouts import CHECK_INTERVAL
from control.store import agents
from control.store.rows import Tx
from protocols.instant import SECOND
from tests.unit.control.services.test_rollouts import RULE, VAULTS, answer, having, ready


async def heard(plane: ControlPlane, world: FakeWorld, presence: Presence, *vaults: str) -> None:
    """As `services.presence` stores it: the last word is of now if they are online."""
    words = {Presence.ONLINE: world.now(), Presence.UNKNOWN: 0}

    def change(tx: Tx) -> None:
        for row in agents.get_agents(tx, "acme", vaults):
            last = words.get(presence, row.last_seen)
            agents.put_agent(tx, replace(row, presence=presence, last_seen=last))

    await plane.store.write(change)


async def applies(plane: ControlPlane, world: FakeWorld, vault: str) -> None:
    """It says that it enforces its bundle."""
    [row] = [row for row in await plane.policies.list_assignments("acme") if row.vault == vault]
    told = BundleReport(row.version, applied=True, reason="", now=world.now())
    await plane.store.write(lambda tx: plane.policies.record_report(tx, "acme", vault, told))


async def look(plane: ControlPlane, world: FakeWorld, rollout: Rollout) -> tuple[Rollout, Progress]:
    """The roll-out after bundles were made and it was looked at."""
    await plane.policies.refresh_bundles("acme")
    world.advance(CHECK_INTERVAL)
    await plane.rollouts.advance_running()
    return await plane.rollouts.get_rollout("acme", rollout.id)


@pytest.mark.parametrize("how", ["offline", "locked", "never heard"])
async def test_who_is_away_holds_up_nobody(plane: ControlPlane, world: FakeWorld, how: str) -> None:
    """It gets the version on coming back; another roll-out can begin meanwhile.

    The one that comes last in the order is away: the steps before do not meet it.
    """
    await ready(plane, world)
    await heard(plane, world, Presence.ONLINE, *VAULTS)
    plan = Plan(canary=1, percentages=(50,))
    rollout = await plane.rollouts.start_rollout("acme", "p", 1, plan, "acme/ann")
    away = rollout_order(rollout.id, VAULTS)[-1]
    for _ in range(2):
        await answer(plane, world)
        await plane.rollouts.advance_running()
    if how == "locked":
        await plane.agents.change_life("acme", away, Life.LOCKED, "stolen")
    else:
        silent = Presence.OFFLINE if how == "offline" else Presence.UNKNOWN
        await heard(plane, world, silent, away)
        world.advance(AWAY_AFTER // SECOND)
    _, progress = await look(plane, world, rollout)
    assert (progress.applied, progress.wanted, progress.away) == (2, 2, 1)
    assert (progress.added, progress.shown) == (2, 0)
    await applies(plane, world, rollout_order(rollout.id, VAULTS)[2])
    await plane.rollouts.advance_running()
    done, _ = await plane.rollouts.get_rollout("acme", rollout.id)
    assert done.state is RolloutState.DONE
    await plane.rollouts.start_rollout("acme", "p", 2, Plan(canary=1), "acme/ann")
    assert (await having(plane))[away] in {1, 2}


async def test_a_canary_that_is_away_proves_nothing(plane: ControlPlane, world: FakeWorld) -> None:
    """The step waits for it, or for a person."""
    await ready(plane, world)
    await heard(plane, world, Presence.ONLINE, *VAULTS)
    rollout = await plane.rollouts.start_rollout("acme", "p", 1, Plan(canary=1), "acme/ann")
    [canary] = await having(plane)
    await heard(plane, world, Presence.UNKNOWN, canary)
    waits, progress = await look(plane, world, rollout)
    assert (waits.step, waits.state) == (0, RolloutState.RUNNING)
    assert (progress.wanted, progress.away) == (1, 1)
    assert (await plane.rollouts.advance_rollout("acme", rollout.id, 0, by="x")).step == 1


@pytest.mark.parametrize("another", [False, True], ids=["alone", "beside another policy"])
async def test_who_falls_silent_after_the_offer_is_waited_for(
    plane: ControlPlane, world: FakeWorld, *, another: bool
) -> None:
    """It may have died of it, without a word: its last one is older than the offer.

    A newer bundle, for what is none of this roll-out's, makes it no better.
    """
    await ready(plane, world)
    await heard(plane, world, Presence.ONLINE, *VAULTS)
    plan = Plan(canary=1, percentages=(50, 75))
    rollout = await plane.rollouts.start_rollout("acme", "p", 1, plan, "acme/ann")
    await answer(plane, world)
    await plane.rollouts.advance_running()
    await heard(plane, world, Presence.ONLINE, *VAULTS)
    world.advance(AWAY_AFTER // SECOND - 1)
    await plane.policies.refresh_bundles("acme")
    _, dies = rollout_order(rollout.id, list(await having(plane)))
    await heard(plane, world, Presence.OFFLINE, dies)
    if another:
        world.advance(AWAY_AFTER // SECOND)
        await plane.policies.write_version("acme", "q", Document(rules=(RULE,)), "", "ann")
        await plane.policies.set_targets("acme", "q", (Target(all=True),))
        await plane.rollouts.start_rollout("acme", "q", 1, Plan(), "acme/ann")
    for _ in range(3):
        waits, progress = await look(plane, world, rollout)
        world.advance(AWAY_AFTER // SECOND)
    assert (waits.step, waits.state) == (1, RolloutState.RUNNING)
    assert (progress.applied + progress.wanted, progress.away) == (2, 0)
    assert (await plane.rollouts.advance_rollout("acme", rollout.id, 1, by="x")).step == 2


async def test_a_step_at_which_nobody_is_waits_for_a_person(
    plane: ControlPlane, world: FakeWorld
) -> None:
    """What the canary has shown is not shown by those who were cut off before their step came.

    Who comes back and applies it shows it: then the roll-out goes on by itself.
    """
    await ready(plane, world)
    await heard(plane, world, Presence.ONLINE, *VAULTS)
    plan = Plan(canary=1, percentages=(75,))
    rollout = await plane.rollouts.start_rollout("acme", "p", 1, plan, "acme/ann")
    await answer(plane, world)
    await heard(plane, world, Presence.OFFLINE, *VAULTS)
    world.advance(AWAY_AFTER // SECOND)
    await plane.rollouts.advance_running()
    for _ in range(3):
        waits, progress = await look(plane, world, rollout)
    assert (waits.step, waits.state) == (1, RolloutState.RUNNING)
    assert (progress.wanted, progress.away, progress.added, progress.shown) == (2, 2, 2, 0)
    second = rollout_order(rollout.id, VAULTS)[1]
    await heard(plane, world, Presence.ONLINE, second)
    await applies(plane, world, second)
    last, progress = await look(plane, world, rollout)
    assert last.step == 2
    await plane.policies.refresh_bundles("acme")
    last, progress = await plane.rollouts.get_rollout("acme", rollout.id)
    assert (progress.wanted, progress.away, progress.added, progress.shown) == (2, 2, 1, 0)
    for _ in range(2):
        last, _ = await look(plane, world, rollout)
    assert (last.step, last.state) == (2, RolloutState.RUNNING)
    assert (
        await plane.rollouts.advance_rollout("acme", rollout.id, 2, by="x")
    ).state is RolloutState.DONE
