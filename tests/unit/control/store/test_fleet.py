"""What control.store.fleet promises, beyond what tests/unit/control/live asks of it."""

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.model.documents import Document, Rule
from control.model.policies import Plan, Target
from control.store import fleet
from tests.unit.control.fleet import enrolled

RULE = Rule(effect="allow", paths=("a/*",), capabilities=("read",))


async def test_agents_are_read_with_and_without_a_bundle(plane: Plane, world: FakeWorld) -> None:
    """By name, in one look; those that are not there are left out."""
    await enrolled(plane, world, "v2", "v1", tags=("prod",))
    await plane.policies.write("acme", "p", Document(rules=(RULE,)), "", "ann")
    await plane.policies.point("acme", "p", (Target(vault="v1"),))
    await plane.rollouts.start("acme", "p", 1, Plan(), "ann")
    await plane.policies.catch_up()
    one, two = await plane.store.read(lambda tx: fleet.page(tx, "acme", "", 9))
    assert (one.vault, one.tags, one.version, one.outcome) == ("v1", ["prod"], 1, "wanted")
    assert (two.vault, two.version, two.outcome, two.why, two.applied) == ("v2", 0, "", "", 0)
    names = ["v2", "v3", *(f"x{n}" for n in range(2 * fleet.CHUNK))]
    assert await plane.store.read(lambda tx: fleet.some(tx, "acme", names)) == [two]
    assert await plane.store.read(lambda tx: fleet.page(tx, "platform", "", 9)) == []


async def test_open_rollouts_come_before_the_newest_others(plane: Plane, world: FakeWorld) -> None:
    """And no more of these than asked for."""
    for name in ("p", "q", "r"):
        await plane.policies.write("acme", name, Document(rules=(RULE,)), "", "ann")
        await plane.policies.point("acme", name, (Target(vault="v1"),))
        made = await plane.rollouts.start("acme", name, 1, Plan(), "ann")
        if name != "p":
            await plane.rollouts.roll_back("acme", made.id, "")
    found = await plane.store.read(lambda tx: fleet.newest_rollouts(tx, "acme", 1))
    assert found[0].policy == "p"
    assert len(found) == 2
