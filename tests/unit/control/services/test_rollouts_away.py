"""Agents that are locked or not heard hold up no roll-out (`control.services.rollouts`)."""

import pytest
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.core import Core
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


async def heard(core: Core, world: FakeWorld, presence: Presence, *vaults: str) -> None:
    """As `services.presence` stores it: the last word is of now if they are online."""
    words = {Presence.ONLINE: world.now(), Presence.UNKNOWN: 0}

    def change(tx: Tx) -> None:
        for row in agents.get_agents(tx, "acme", vaults):
            last = words.get(presence, row.last_seen)
            agents.put_agent(tx, replace(row, presence=presence, last_seen=last))

    await core.store.write(change)


async def applies(core: Core, world: FakeWorld, vault: str) -> None:
    """It says that it enforces its bundle."""
    [row] = [
        row for row in await core.policies.policies.list_assignments("acme") if row.vault == vault
    ]
    told = BundleReport(row.version, applied=True, reason="", now=world.now())
    await core.store.write(lambda tx: core.policies.policies.record_report(tx, "acme", vault, told))


async def look(core: Core, world: FakeWorld, rollout: Rollout) -> tuple[Rollout, Progress]:
    """The roll-out after bundles were made and it was looked at."""
    await core.policies.policies.refresh_bundles("acme")
    world.advance(CHECK_INTERVAL)
    await core.policies.rollouts.advance_running()
    return await core.policies.rollouts.get_rollout("acme", rollout.id)


@pytest.mark.parametrize("how", ["offline", "locked", "never heard"])
async def test_who_is_away_holds_up_nobody(core: Core, world: FakeWorld, how: str) -> None:
    """It gets the version on coming back; another roll-out can begin meanwhile.

    The one that comes last in the order is away: the steps before do not meet it.
    """
    await ready(core, world)
    await heard(core, world, Presence.ONLINE, *VAULTS)
    plan = Plan(canary=1, percentages=(50,))
    rollout = await core.policies.rollouts.start_rollout("acme", "p", 1, plan, "acme/ann")
    away = rollout_order(rollout.id, VAULTS)[-1]
    for _ in range(2):
        await answer(core, world)
        await core.policies.rollouts.advance_running()
    if how == "locked":
        await core.agents.registry.change_life("acme", away, Life.LOCKED, "stolen")
    else:
        silent = Presence.OFFLINE if how == "offline" else Presence.UNKNOWN
        await heard(core, world, silent, away)
        world.advance(AWAY_AFTER // SECOND)
    _, progress = await look(core, world, rollout)
    assert (progress.applied, progress.wanted, progress.away) == (2, 2, 1)
    assert (progress.added, progress.shown) == (2, 0)
    await applies(core, world, rollout_order(rollout.id, VAULTS)[2])
    await core.policies.rollouts.advance_running()
    done, _ = await core.policies.rollouts.get_rollout("acme", rollout.id)
    assert done.state is RolloutState.DONE
    await core.policies.rollouts.start_rollout("acme", "p", 2, Plan(canary=1), "acme/ann")
    assert (await having(core))[away] in {1, 2}


async def test_a_canary_that_is_away_proves_nothing(core: Core, world: FakeWorld) -> None:
    """The step waits for it, or for a person."""
    await ready(core, world)
    await heard(core, world, Presence.ONLINE, *VAULTS)
    rollout = await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(canary=1), "acme/ann")
    [canary] = await having(core)
    await heard(core, world, Presence.UNKNOWN, canary)
    waits, progress = await look(core, world, rollout)
    assert (waits.step, waits.state) == (0, RolloutState.RUNNING)
    assert (progress.wanted, progress.away) == (1, 1)
    assert (await core.policies.rollouts.advance_rollout("acme", rollout.id, 0, by="x")).step == 1


@pytest.mark.parametrize("another", [False, True], ids=["alone", "beside another policy"])
async def test_who_falls_silent_after_the_offer_is_waited_for(
    core: Core, world: FakeWorld, *, another: bool
) -> None:
    """It may have died of it, without a word: its last one is older than the offer.

    A newer bundle, for what is none of this roll-out's, makes it no better.
    """
    await ready(core, world)
    await heard(core, world, Presence.ONLINE, *VAULTS)
    plan = Plan(canary=1, percentages=(50, 75))
    rollout = await core.policies.rollouts.start_rollout("acme", "p", 1, plan, "acme/ann")
    await answer(core, world)
    await core.policies.rollouts.advance_running()
    await heard(core, world, Presence.ONLINE, *VAULTS)
    world.advance(AWAY_AFTER // SECOND - 1)
    await core.policies.policies.refresh_bundles("acme")
    _, dies = rollout_order(rollout.id, list(await having(core)))
    await heard(core, world, Presence.OFFLINE, dies)
    if another:
        world.advance(AWAY_AFTER // SECOND)
        await core.policies.policies.write_version("acme", "q", Document(rules=(RULE,)), "", "ann")
        await core.policies.policies.set_targets("acme", "q", (Target(all=True),))
        await core.policies.rollouts.start_rollout("acme", "q", 1, Plan(), "acme/ann")
    for _ in range(3):
        waits, progress = await look(core, world, rollout)
        world.advance(AWAY_AFTER // SECOND)
    assert (waits.step, waits.state) == (1, RolloutState.RUNNING)
    assert (progress.applied + progress.wanted, progress.away) == (2, 0)
    assert (await core.policies.rollouts.advance_rollout("acme", rollout.id, 1, by="x")).step == 2


async def test_a_step_at_which_nobody_is_waits_for_a_person(core: Core, world: FakeWorld) -> None:
    """What the canary has shown is not shown by those who were cut off before their step came.

    Who comes back and applies it shows it: then the roll-out goes on by itself.
    """
    await ready(core, world)
    await heard(core, world, Presence.ONLINE, *VAULTS)
    plan = Plan(canary=1, percentages=(75,))
    rollout = await core.policies.rollouts.start_rollout("acme", "p", 1, plan, "acme/ann")
    await answer(core, world)
    await heard(core, world, Presence.OFFLINE, *VAULTS)
    world.advance(AWAY_AFTER // SECOND)
    await core.policies.rollouts.advance_running()
    for _ in range(3):
        waits, progress = await look(core, world, rollout)
    assert (waits.step, waits.state) == (1, RolloutState.RUNNING)
    assert (progress.wanted, progress.away, progress.added, progress.shown) == (2, 2, 2, 0)
    second = rollout_order(rollout.id, VAULTS)[1]
    await heard(core, world, Presence.ONLINE, second)
    await applies(core, world, second)
    last, progress = await look(core, world, rollout)
    assert last.step == 2
    await core.policies.policies.refresh_bundles("acme")
    last, progress = await core.policies.rollouts.get_rollout("acme", rollout.id)
    assert (progress.wanted, progress.away, progress.added, progress.shown) == (2, 2, 1, 0)
    for _ in range(2):
        last, _ = await look(core, world, rollout)
    assert (last.step, last.state) == (2, RolloutState.RUNNING)
    assert (
        await core.policies.rollouts.advance_rollout("acme", rollout.id, 2, by="x")
    ).state is RolloutState.DONE
