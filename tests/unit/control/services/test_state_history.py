"""How things stood when: begun where nobody wrote it down, and swept."""

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.core import Core
from control.errors import UnavailableError
from control.model.agents import Life, new_agent
from control.model.history import UNKNOWN, Aspect, StateChange
from control.model.people import Membership, Role
from control.model.policies import Plan, Target
from control.model.policy_documents import Document
from control.services.policies import BundleReport
from control.store import agents, history, members
from control.store.rows import Tx
from control.store.tables import bundle_bodies
from control.store.tables import history as table
from protocols.instant import SECOND
from tests.unit.control.conftest import PASSWORD, ROOT
from tests.unit.control.fleet import enrolled


def all_of(tx: Tx) -> list[tuple[str, str, str, int]]:
    """Aspect, subject, value, before of acme's."""
    t = table.c
    chosen = sa.select(t.aspect, t.subject, t.value, t.before).where(t.org == "acme")
    return [tuple(row) for row in tx.execute(chosen.order_by(t.aspect, t.subject, t.at))]  # type: ignore[misc]


async def test_an_upgrade_begins_with_what_is_there(core: Core, world: FakeWorld) -> None:
    """Once; an account that was never changed was always so, of the rest nobody knows."""
    await core.people.users.create_user(None, "platform", "guest", Role.VIEWER, PASSWORD)

    def change(tx: Tx) -> None:
        agents.add_agent(tx, new_agent("acme", "v", Life.ACTIVE, now=world.now()))
        guest = Membership("acme", "platform", "guest", Role.VIEWER, "x", world.now())
        members.put_membership(tx, guest, world.now())
        tx.execute(table.delete())

    await core.store.write(change)
    world.advance(60)
    await core.state_history.record_missing()
    begun = await core.store.read(all_of)
    assert begun == [
        ("life", "v", "active", 0),
        ("presence", "v", "silent", UNKNOWN),
        ("role", "acme/ann", "owner", 0),
        ("role", "platform/guest", "viewer", UNKNOWN),
        ("second_factor", "", "false", UNKNOWN),
    ]
    world.advance(60)
    await core.state_history.record_missing()
    assert await core.store.read(all_of) == begun


async def test_a_start_reads_no_bundle(core: Core, world: FakeWorld) -> None:
    """Those of a large fleet are hundreds of megabytes: where they stand is all that is asked."""
    await enrolled(core, world, "v1")
    await core.policies.policies.write_version(
        "acme", "p", Document(description="x" * 5000), "", "ann"
    )
    await core.policies.policies.set_targets("acme", "p", (Target(all=True),))
    await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "ann")
    await core.policies.policies.refresh_due()
    for each in (table, bundle_bodies):
        await core.store.write(lambda tx, each=each: tx.execute(each.delete()))
    with pytest.raises(UnavailableError, match="store_damaged"):
        await core.policies.policies.get_assignment("acme", "v1")
    await core.state_history.record_missing()
    assert [turn.detail["contents"] for turn in await of_policy(core)] == [{"p": 1}]


async def test_every_change_of_a_role_is_a_turn(core: Core, world: FakeWorld) -> None:
    """Made, changed, disabled, removed; a new password is none."""
    await core.people.users.create_user(None, "acme", "bob", Role.VIEWER, PASSWORD)
    for step in (
        lambda: core.people.users.change_user(ROOT, "acme", "bob", role=Role.ADMIN, disabled=None),
        lambda: core.people.users.set_password(ROOT, "acme", "bob", PASSWORD),
        lambda: core.people.users.change_user(ROOT, "acme", "bob", role=None, disabled=True),
        lambda: core.people.users.change_user(ROOT, "acme", "bob", role=None, disabled=False),
        lambda: core.people.users.delete_user(ROOT, "acme", "bob"),
    ):
        world.advance(60)
        await step()
    found = await core.store.read(
        lambda tx: history.changes_between(tx, "acme", Aspect.ROLE, 0, world.now() + 1)
    )
    assert [turn.value for turn in found["acme/bob"]] == ["viewer", "admin", "", "admin", ""]


async def test_a_disabled_account_is_no_guest_either(core: Core, world: FakeWorld) -> None:
    """It may do nothing anywhere from then on, and again what it may there once it is enabled."""
    await core.people.users.create_user(None, "platform", "guest", Role.VIEWER, PASSWORD)
    as_guest = Membership("acme", "platform", "guest", Role.VIEWER, "x", world.now())

    async def let_in(role: Role) -> None:
        row = replace(as_guest, role=role)
        await core.store.write(lambda tx: members.put_membership(tx, row, world.now()))

    async def disable(*, disabled: bool) -> None:
        await core.people.users.change_user(ROOT, "platform", "guest", role=None, disabled=disabled)

    await core.people.users.create_user(None, "platform", "root", Role.OWNER, PASSWORD)
    for step in (
        lambda: let_in(Role.VIEWER),
        lambda: core.people.users.change_user(
            ROOT, "platform", "guest", role=Role.ADMIN, disabled=None
        ),
        lambda: disable(disabled=True),
        lambda: let_in(Role.OPERATOR),  # while it is disabled
        lambda: disable(disabled=False),
        lambda: disable(disabled=True),
    ):
        world.advance(60)
        await step()
    found = await core.store.read(
        lambda tx: history.changes_between(tx, "acme", Aspect.ROLE, 0, world.now() + 1)
    )
    turns = found["platform/guest"]
    assert [turn.value for turn in turns] == ["viewer", "", "operator", ""]
    assert turns[1].at == world.now() - 180 * SECOND
    await core.store.write(lambda tx: tx.execute(table.delete()))
    await core.state_history.record_missing()
    assert ("role", "platform/guest", "", UNKNOWN) in await core.store.read(all_of)
    # As it was written down before a disabled account was nobody's guest.
    await core.store.write(lambda tx: tx.execute(table.update().values(value="admin")))
    world.advance(60)
    for _ in range(2):
        await core.state_history.record_missing()
    guest = [row[2] for row in await core.store.read(all_of) if row[1] == "platform/guest"]
    assert guest == ["admin", ""]


async def test_what_still_holds_is_not_swept(core: Core, world: FakeWorld) -> None:
    """However old: what it was before goes, what is gone goes too."""
    await core.people.users.create_user(None, "acme", "bob", Role.VIEWER, PASSWORD)
    await core.people.users.create_user(None, "acme", "eve", Role.VIEWER, PASSWORD)
    world.advance(60)
    await core.people.users.change_user(ROOT, "acme", "bob", role=Role.ADMIN, disabled=None)
    await core.people.users.delete_user(ROOT, "acme", "eve")
    world.advance(900 * 86_400)
    await core.state_history.delete_older()
    roles = [row for row in await core.store.read(all_of) if row[0] == "role"]
    first = world.now() - (900 * 86_400 + 60) * SECOND
    assert roles == [("role", "acme/ann", "owner", 0), ("role", "acme/bob", "admin", first)]


async def test_an_agent_that_changes_its_mind_fills_no_disk(core: Core, world: FakeWorld) -> None:
    """Applied, refused, and ahead of us, in turn: so many turns an hour, and its last word stands.

    After that hour each turn is one again.
    """
    await enrolled(core, world, "v1")
    await core.policies.policies.write_version("acme", "p", Document(), "", "ann")
    await core.policies.policies.set_targets("acme", "p", (Target(all=True),))
    await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "ann")
    await core.policies.policies.refresh_due()
    for turn in range(150):
        row = await core.policies.policies.get_assignment_state("acme", "v1")
        assert row is not None
        told = BundleReport(
            row.version + 9 * (turn % 3 == 2), applied=turn % 3 != 1, reason="x", now=world.now()
        )
        await core.store.write(
            lambda tx, row=row, told=told: core.policies.policies.record_reports(tx, [(row, told)])
        )
        world.advance(10)
    most = history.MAX_PER_HOUR[Aspect.POLICY]
    turns = await of_policy(core)
    last = await core.policies.policies.get_assignment_state("acme", "v1")
    assert last is not None
    assert (len(turns), turns[-1].value) == (most, str(last.outcome))
    assert turns[-1].detail["version"] == last.version
    assert [turn.before for turn in turns[1:]] == [turn.at for turn in turns[:-1]]
    world.advance(3600)
    report = BundleReport(last.version, applied=False, reason="x", now=world.now())
    await core.store.write(lambda tx: core.policies.policies.record_reports(tx, [(last, report)]))
    assert len(await of_policy(core)) == most + 1


async def test_what_a_hold_covers_is_not_written_over(core: Core, world: FakeWorld) -> None:
    """However often an agent changes its mind; others' turns still are."""
    most = history.MAX_PER_HOUR[Aspect.KEY]

    def turn(vault: str, value: int) -> StateChange:
        at = world.now()
        return StateChange(org="acme", aspect=Aspect.KEY, subject=vault, at=at, value=str(value))

    await core.compliance.retention.place_hold("acme", "v1", (0, 0), "case", "acme/ann")
    for value in range(2 * most):
        world.advance(1)
        turns = [turn("v1", value), turn("v2", value)]
        await core.store.write(lambda tx, turns=turns: history.record_changes(tx, turns))
    found = await core.store.read(
        lambda tx: history.changes_between(tx, "acme", Aspect.KEY, 0, 2**62)
    )
    assert [one.value for one in found["v1"]] == [str(value) for value in range(2 * most)]
    assert (len(found["v2"]), found["v2"][-1].value) == (most, str(2 * most - 1))


async def of_policy(core: Core) -> list[StateChange]:
    """What is on record of the agent's bundles."""
    found = await core.store.read(
        lambda tx: history.changes_between(tx, "acme", Aspect.POLICY, 0, 2**62)
    )
    return found["v1"]
