"""What control.live.rollouts promises."""

from actors.testing import FakeWorld
from control.core import Core
from control.model.policies import Plan, Target
from control.model.policy_documents import Document, Rule
from control.services.event_bus import Event, Topic
from tests.unit.control.fleet import enrolled
from tests.unit.control.live.conftest import Page


async def test_a_rollout_is_followed_step_by_step(core: Core, world: FakeWorld, page: Page) -> None:
    """From its start to its end, with how the agents fare while it is open."""
    await enrolled(core, world, "v1", "v2")
    page.watch(1, "rollouts")
    await page.until(lambda: 1 in page.rows)
    assert page.rows[1] == {}
    await write(core)
    made = await core.policies.rollouts.start_rollout("acme", "base", 1, Plan(canary=1), "acme/ann")
    core.bus.publish(Event(Topic.TRAIL, "acme", "base", "rollouts.start"))
    await page.until(lambda: made.id in page.rows[1])
    row = page.rows[1][made.id]
    assert (row["policy"], row["state"], row["steps"], row["reached"]) == ("base", "running", 2, 1)
    assert (row["total"], row["automatic"], row["through"]) == (2, True, False)
    await core.policies.rollouts.halt_rollout("acme", made.id, "enough")
    core.bus.publish(Event(Topic.TRAIL, "acme", made.id, "rollouts.halt"))
    await page.until(lambda: page.rows[1][made.id]["state"] == "halted")
    assert page.rows[1][made.id]["reason"] == "enough"
    await core.policies.rollouts.roll_back_rollout("acme", made.id, "")
    core.bus.publish(Event(Topic.TRAIL, "acme", made.id, "rollouts.roll_back"))
    await page.until(lambda: page.rows[1][made.id]["state"] == "rolled_back")
    assert page.rows[1][made.id]["reached"] is None


async def write(core: Core) -> None:
    """A policy for all agents."""
    rules = (Rule(effect="allow", paths=("a/*",), capabilities=("read",)),)
    await core.policies.policies.write_version(
        "acme", "base", Document(rules=rules), "", "acme/ann"
    )
    await core.policies.policies.set_targets("acme", "base", (Target(all=True),))
