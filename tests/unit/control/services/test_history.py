"""How things stood when: begun where nobody wrote it down, and swept."""

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.errors import UnavailableError
from control.model.agents import Life, newcomer
from control.model.documents import Document
from control.model.history import UNKNOWN, Aspect, Turn
from control.model.people import Membership, Role
from control.model.policies import Plan, Target
from control.services.policies import Report
from control.store import agents, history, members
from control.store.history_tables import history as table
from control.store.rows import Tx
from control.store.tables import bundle_bodies
from protocols.instant import SECOND
from tests.unit.control.conftest import PASSWORD, ROOT
from tests.unit.control.fleet import enrolled


def all_of(tx: Tx) -> list[tuple[str, str, str, int]]:
    """Aspect, subject, value, before of acme's."""
    t = table.c
    chosen = sa.select(t.aspect, t.subject, t.value, t.before).where(t.org == "acme")
    return [tuple(row) for row in tx.execute(chosen.order_by(t.aspect, t.subject, t.at))]  # type: ignore[misc]


async def test_an_upgrade_begins_with_what_is_there(plane: Plane, world: FakeWorld) -> None:
    """Once; an account that was never changed was always so, of the rest nobody knows."""
    await plane.users.create(None, "platform", "guest", Role.VIEWER, PASSWORD)

    def change(tx: Tx) -> None:
        agents.add_agent(tx, newcomer("acme", "v", Life.ACTIVE, now=world.now()))
        guest = Membership("acme", "platform", "guest", Role.VIEWER, "x", world.now())
        members.put_membership(tx, guest, world.now())
        tx.execute(table.delete())

    await plane.store.write(change)
    world.advance(60)
    await plane.history.begin()
    begun = await plane.store.read(all_of)
    assert begun == [
        ("life", "v", "active", 0),
        ("presence", "v", "silent", UNKNOWN),
        ("role", "acme/ann", "owner", 0),
        ("role", "platform/guest", "viewer", UNKNOWN),
        ("second_factor", "", "false", UNKNOWN),
    ]
    world.advance(60)
    await plane.history.begin()
    assert await plane.store.read(all_of) == begun


async def test_a_start_reads_no_bundle(plane: Plane, world: FakeWorld) -> None:
    """Those of a large fleet are hundreds of megabytes: where they stand is all that is asked."""
    await enrolled(plane, world, "v1")
    await plane.policies.write("acme", "p", Document(description="x" * 5000), "", "ann")
    await plane.policies.point("acme", "p", (Target(all=True),))
    await plane.rollouts.start("acme", "p", 1, Plan(), "ann")
    await plane.policies.catch_up()
    for each in (table, bundle_bodies):
        await plane.store.write(lambda tx, each=each: tx.execute(each.delete()))
    with pytest.raises(UnavailableError, match="store_damaged"):
        await plane.policies.assignment("acme", "v1")
    await plane.history.begin()
    assert [turn.detail["contents"] for turn in await of_policy(plane)] == [{"p": 1}]


async def test_every_change_of_a_role_is_a_turn(plane: Plane, world: FakeWorld) -> None:
    """Made, changed, disabled, removed; a new password is none."""
    await plane.users.create(None, "acme", "bob", Role.VIEWER, PASSWORD)
    for step in (
        lambda: plane.users.change(ROOT, "acme", "bob", role=Role.ADMIN, disabled=None),
        lambda: plane.users.set_password(ROOT, "acme", "bob", PASSWORD),
        lambda: plane.users.change(ROOT, "acme", "bob", role=None, disabled=True),
        lambda: plane.users.change(ROOT, "acme", "bob", role=None, disabled=False),
        lambda: plane.users.delete(ROOT, "acme", "bob"),
    ):
        world.advance(60)
        await step()
    found = await plane.store.read(
        lambda tx: history.between(tx, "acme", Aspect.ROLE, 0, world.now() + 1)
    )
    assert [turn.value for turn in found["acme/bob"]] == ["viewer", "admin", "", "admin", ""]


async def test_a_disabled_account_is_no_guest_either(plane: Plane, world: FakeWorld) -> None:
    """It may do nothing anywhere from then on, and again what it may there once it is enabled."""
    await plane.users.create(None, "platform", "guest", Role.VIEWER, PASSWORD)
    as_guest = Membership("acme", "platform", "guest", Role.VIEWER, "x", world.now())

    async def let_in(role: Role) -> None:
        row = replace(as_guest, role=role)
        await plane.store.write(lambda tx: members.put_membership(tx, row, world.now()))

    async def disable(*, disabled: bool) -> None:
        await plane.users.change(ROOT, "platform", "guest", role=None, disabled=disabled)

    await plane.users.create(None, "platform", "root", Role.OWNER, PASSWORD)
    for step in (
        lambda: let_in(Role.VIEWER),
        lambda: plane.users.change(ROOT, "platform", "guest", role=Role.ADMIN, disabled=None),
        lambda: disable(disabled=True),
        lambda: let_in(Role.OPERATOR),  # while it is disabled
        lambda: disable(disabled=False),
        lambda: disable(disabled=True),
    ):
        world.advance(60)
        await step()
    found = await plane.store.read(
        lambda tx: history.between(tx, "acme", Aspect.ROLE, 0, world.now() + 1)
    )
    turns = found["platform/guest"]
    assert [turn.value for turn in turns] == ["viewer", "", "operator", ""]
    assert turns[1].at == world.now() - 180 * SECOND
    await plane.store.write(lambda tx: tx.execute(table.delete()))
    await plane.history.begin()
    assert ("role", "platform/guest", "", UNKNOWN) in await plane.store.read(all_of)
    # As it was written down before a disabled account was nobody's guest.
    await plane.store.write(lambda tx: tx.execute(table.update().values(value="admin")))
    world.advance(60)
    for _ in range(2):
        await plane.history.begin()
    guest = [row[2] for row in await plane.store.read(all_of) if row[1] == "platform/guest"]
    assert guest == ["admin", ""]


async def test_what_still_holds_is_not_swept(plane: Plane, world: FakeWorld) -> None:
    """However old: what it was before goes, what is gone goes too."""
    await plane.users.create(None, "acme", "bob", Role.VIEWER, PASSWORD)
    await plane.users.create(None, "acme", "eve", Role.VIEWER, PASSWORD)
    world.advance(60)
    await plane.users.change(ROOT, "acme", "bob", role=Role.ADMIN, disabled=None)
    await plane.users.delete(ROOT, "acme", "eve")
    world.advance(900 * 86_400)
    await plane.history.sweep()
    roles = [row for row in await plane.store.read(all_of) if row[0] == "role"]
    first = world.now() - (900 * 86_400 + 60) * SECOND
    assert roles == [("role", "acme/ann", "owner", 0), ("role", "acme/bob", "admin", first)]


async def test_an_agent_that_changes_its_mind_fills_no_disk(plane: Plane, world: FakeWorld) -> None:
    """Applied, refused, and ahead of us, in turn: so many turns an hour, and its last word stands.

    After that hour each turn is one again.
    """
    await enrolled(plane, world, "v1")
    await plane.policies.write("acme", "p", Document(), "", "ann")
    await plane.policies.point("acme", "p", (Target(all=True),))
    await plane.rollouts.start("acme", "p", 1, Plan(), "ann")
    await plane.policies.catch_up()
    for turn in range(150):
        row = await plane.policies.standing("acme", "v1")
        assert row is not None
        told = Report(
            row.version + 9 * (turn % 3 == 2), applied=turn % 3 != 1, reason="x", now=world.now()
        )
        await plane.store.write(
            lambda tx, row=row, told=told: plane.policies.reports(tx, [(row, told)])
        )
        world.advance(10)
    most = history.MOST_AN_HOUR[Aspect.POLICY]
    turns = await of_policy(plane)
    last = await plane.policies.standing("acme", "v1")
    assert last is not None
    assert (len(turns), turns[-1].value) == (most, str(last.outcome))
    assert turns[-1].detail["version"] == last.version
    assert [turn.before for turn in turns[1:]] == [turn.at for turn in turns[:-1]]
    world.advance(3600)
    report = Report(last.version, applied=False, reason="x", now=world.now())
    await plane.store.write(lambda tx: plane.policies.reports(tx, [(last, report)]))
    assert len(await of_policy(plane)) == most + 1


async def test_what_a_hold_covers_is_not_written_over(plane: Plane, world: FakeWorld) -> None:
    """However often an agent changes its mind; others' turns still are."""
    most = history.MOST_AN_HOUR[Aspect.KEY]

    def turn(vault: str, value: int) -> Turn:
        at = world.now()
        return Turn(org="acme", aspect=Aspect.KEY, subject=vault, at=at, value=str(value))

    await plane.keeping.hold("acme", "v1", (0, 0), "case", "acme/ann")
    for value in range(2 * most):
        world.advance(1)
        turns = [turn("v1", value), turn("v2", value)]
        await plane.store.write(lambda tx, turns=turns: history.note(tx, turns))
    found = await plane.store.read(lambda tx: history.between(tx, "acme", Aspect.KEY, 0, 2**62))
    assert [one.value for one in found["v1"]] == [str(value) for value in range(2 * most)]
    assert (len(found["v2"]), found["v2"][-1].value) == (most, str(2 * most - 1))


async def of_policy(plane: Plane) -> list[Turn]:
    """What is on record of the agent's bundles."""
    found = await plane.store.read(lambda tx: history.between(tx, "acme", Aspect.POLICY, 0, 2**62))
    return found["v1"]
