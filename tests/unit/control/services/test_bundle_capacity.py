"""What agents should have and what their bundles hold."""

from collections.abc import Callable
from typing import Any

import pytest
import trio

from actors.testing import FakeWorld
from control.core import Core
from control.errors import ValidationError
from control.model.conditions import BUNDLE_FULL
from control.model.policies import Plan, RolloutState, Target
from control.model.policy_documents import Document
from control.services import rollouts
from control.services.policy_bundles import agents_over_capacity
from control.store.rows import Tx
from protocols.link.limits import MAX_BUNDLE
from tests.unit.control.fleet import enrolled

LARGE = Document(description="x" * (MAX_BUNDLE // 4))
"""Three of them fit into a bundle, the fourth does not."""
SMALL = Document(description="deny")


async def rolled(
    core: Core,
    name: str,
    *documents: Document,
    vaults: tuple[str, ...],
    plan: Plan | None = None,
) -> str:
    """The last version of this policy is on its way to these agents."""
    for document in documents:
        await core.policies.policies.write_version("acme", name, document, "", "ann")
    await core.policies.policies.set_targets(
        "acme", name, tuple(Target(vault=each) for each in vaults)
    )
    made = await core.policies.rollouts.start_rollout(
        "acme", name, len(documents), plan or Plan(), "ann"
    )
    return made.id


async def too_full(core: Core, world: FakeWorld, max_failures: int = 9) -> str:
    """`v1` has three policies and is meant by a fourth, by its targets; that one's roll-out."""
    plan = Plan(max_failures=max_failures)
    await enrolled(core, world, "v1", "v2")
    for name in "abc":
        await rolled(core, name, LARGE, vaults=("v1",))
    await core.policies.policies.refresh_due()
    rollout_id = await rolled(core, "d", LARGE, vaults=("v2",), plan=plan)
    await core.policies.policies.set_targets("acme", "d", (Target(all=True),))
    await core.policies.policies.refresh_due()
    return rollout_id


async def alerted(core: Core) -> list[str]:
    """The agents of whom it was told, the newest alert first."""
    found = await core.agents.alerts.list_alerts("acme", vault="", before=0, limit=9)
    return [alert.vault for alert in found if alert.code == BUNDLE_FULL]


async def test_who_is_too_full_already_stops_no_other_policy(core: Core, world: FakeWorld) -> None:
    """A deny that has to be everywhere goes to all who have room; what would fill one does not."""
    await too_full(core, world)
    await rolled(core, "deny", SMALL, vaults=("v1", "v2"))
    await core.policies.policies.refresh_due()
    having = {
        row.vault: row.contents for row in await core.policies.policies.list_assignments("acme")
    }
    assert having == {"v1": {"a": 1, "b": 1, "c": 1}, "v2": {"d": 1, "deny": 1}}
    for name in "ef":
        await rolled(core, name, LARGE, vaults=("v2",))
    with pytest.raises(ValidationError, match="bundle_too_large"):
        await rolled(core, "g", LARGE, vaults=("v1", "v2"))


async def test_what_is_on_its_way_counts_as_it_is_largest(core: Core, world: FakeWorld) -> None:
    """Also where it has not come yet, and where it may go back to what it was."""
    await enrolled(core, world, "v1", "v2")
    for name in "ab":
        await rolled(core, name, LARGE, vaults=("v1", "v2"))
    await rolled(core, "c", LARGE, vaults=("v1", "v2"), plan=Plan(canary=1))
    for vaults in (("v1",), ("v2",)):
        with pytest.raises(ValidationError, match="bundle_too_large"):
            await rolled(core, "-".join(("d", *vaults)), LARGE, vaults=vaults)
    await rolled(core, "e", SMALL, vaults=("v1", "v2"))


async def test_who_is_too_full_is_told_of_and_counts_as_failed(
    core: Core, world: FakeWorld
) -> None:
    """The roll-out halts and says why; one alert until it fits, however often it is looked at."""
    await too_full(core, world)
    assert await alerted(core) == ["v1"]
    assert await core.store.read(lambda tx: agents_over_capacity(tx, "acme", ["v1", "v2"])) == {
        "v1"
    }
    rollout_id = await rolled(core, "deny", SMALL, vaults=("v1", "v2"))
    await core.policies.policies.refresh_due()
    _, progress = await core.policies.rollouts.get_rollout("acme", rollout_id)
    assert (progress.failed, progress.wanted) == (1, 1)
    await core.policies.rollouts.advance_running()
    halted, _ = await core.policies.rollouts.get_rollout("acme", rollout_id)
    assert halted.state is RolloutState.HALTED
    assert "1 of them should have more than a bundle holds" in halted.reason
    assert await alerted(core) == ["v1"]
    world.advance(2 * 86_400)
    core.policies.policies.mark_due("acme")
    await core.policies.policies.refresh_due()
    assert await alerted(core) == ["v1"]
    await core.policies.policies.set_targets("acme", "d", (Target(vault="v2"),))
    await core.policies.rollouts.roll_back_rollout("acme", rollout_id, "bad")
    await core.policies.policies.refresh_due()
    [over] = await core.agents.alerts.list_alerts("acme", vault="v1", before=0, limit=9)
    assert str(over.state) == "resolved"


async def test_two_who_begin_at_once_have_room_for_one(core: Core, world: FakeWorld) -> None:
    """What the other one has taken meanwhile is seen: the second is refused."""
    await enrolled(core, world, "v1")
    for name in "ab":
        await rolled(core, name, LARGE, vaults=("v1",))
    refused = []

    async def begin(name: str) -> None:
        try:
            await core.policies.rollouts.start_rollout("acme", name, 1, Plan(), "ann")
        except ValidationError as error:
            refused.append(error.code)

    for name in "cd":
        await core.policies.policies.write_version("acme", name, LARGE, "", "ann")
        await core.policies.policies.set_targets("acme", name, (Target(vault="v1"),))
    async with trio.open_nursery() as nursery:
        for name in "cd":
            nursery.start_soon(begin, name)
    assert refused == ["bundle_too_large"]


async def test_the_writer_is_not_held_to_look_for_room(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All agents are looked at in a read; in the write again only if people decided otherwise."""
    looked: list[str] = []
    meanwhile: list[str] = []
    read, me = core.store.read, trio.lowlevel.current_task()
    monkeypatch.setattr(rollouts, "require_capacity", lambda *given: looked.append(given[2].name))

    async def then(work: Callable[[Tx], Any]) -> Any:
        found = await read(work)
        if meanwhile and trio.lowlevel.current_task() is me:
            await core.policies.rollouts.start_rollout("acme", meanwhile.pop(), 1, Plan(), "ann")
        return found

    for name in "abc":
        await core.policies.policies.write_version("acme", name, SMALL, "", "ann")
        await core.policies.policies.set_targets("acme", name, (Target(all=True),))
    monkeypatch.setattr(core.store, "read", then)
    await core.policies.rollouts.start_rollout("acme", "a", 1, Plan(), "ann")
    assert looked == ["a"]
    meanwhile.append("b")
    await core.policies.rollouts.start_rollout("acme", "c", 1, Plan(), "ann")
    assert looked == ["a", "c", "b", "c"]


async def test_a_halted_roll_out_fills_nobody(core: Core, world: FakeWorld) -> None:
    """Whom it has not reached does not get it any more, and has room for another policy."""
    rollout_id = await too_full(core, world, max_failures=0)
    await core.policies.rollouts.advance_running()
    halted, _ = await core.policies.rollouts.get_rollout("acme", rollout_id)
    assert halted.state is RolloutState.HALTED
    assert await core.store.read(lambda tx: agents_over_capacity(tx, "acme", ["v1", "v2"])) == set()
    await rolled(core, "deny", SMALL, vaults=("v1", "v2"))
    await core.policies.policies.refresh_due()
    having = {
        row.vault: row.contents for row in await core.policies.policies.list_assignments("acme")
    }
    assert having == {"v1": {"a": 1, "b": 1, "c": 1, "deny": 1}, "v2": {"d": 1, "deny": 1}}
