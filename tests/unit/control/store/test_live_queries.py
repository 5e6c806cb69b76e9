"""What control.store.live_queries promises, beyond what tests/unit/control/live asks of it."""

from actors.testing import FakeWorld
from control.core import Core
from control.model.policies import Plan, Target
from control.model.policy_documents import Document, Rule
from control.store import live_queries
from tests.unit.control.fleet import enrolled

RULE = Rule(effect="allow", paths=("a/*",), capabilities=("read",))


async def test_agents_are_read_with_and_without_a_bundle(core: Core, world: FakeWorld) -> None:
    """By name, in one look; those that are not there are left out."""
    await enrolled(core, world, "v2", "v1", tags=("prod",))
    await core.policies.policies.write_version("acme", "p", Document(rules=(RULE,)), "", "ann")
    await core.policies.policies.set_targets("acme", "p", (Target(vault="v1"),))
    await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "ann")
    await core.policies.policies.refresh_due()
    one, two = await core.store.read(
        lambda tx: live_queries.list_agent_summaries(tx, "acme", "", 9)
    )
    assert (one.vault, one.tags, one.version, one.outcome) == ("v1", ["prod"], 1, "wanted")
    assert (two.vault, two.version, two.outcome, two.why, two.applied) == ("v2", 0, "", "", 0)
    names = ["v2", "v3", *(f"x{n}" for n in range(2 * live_queries.AGENTS_PER_QUERY))]
    assert await core.store.read(
        lambda tx: live_queries.get_agent_summaries(tx, "acme", names)
    ) == [two]
    assert (
        await core.store.read(lambda tx: live_queries.list_agent_summaries(tx, "platform", "", 9))
        == []
    )


async def test_open_rollouts_come_before_the_newest_others(core: Core, world: FakeWorld) -> None:
    """And no more of these than asked for."""
    for name in ("p", "q", "r"):
        await core.policies.policies.write_version("acme", name, Document(rules=(RULE,)), "", "ann")
        await core.policies.policies.set_targets("acme", name, (Target(vault="v1"),))
        made = await core.policies.rollouts.start_rollout("acme", name, 1, Plan(), "ann")
        if name != "p":
            await core.policies.rollouts.roll_back_rollout("acme", made.id, "")
    found = await core.store.read(lambda tx: live_queries.newest_rollouts(tx, "acme", 1))
    assert found[0].policy == "p"
    assert len(found) == 2
