"""What can be shown about people."""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from actors.testing import FakeWorld
from control.core import Core
from control.model.compliance import Evidence, Result, StateProof
from control.model.identity import SecondFactor
from control.model.people import Role
from control.store import people, second_factors
from control.store.rows import Tx
from protocols.instant import SECOND
from tests.unit.control.compliance.conftest import noted
from tests.unit.control.conftest import PASSWORD, ROOT

Shown = Callable[[], Awaitable[dict[str, Evidence]]]


async def test_a_second_factor_is_met_only_when_demanded(
    core: Core, world: FakeWorld, shown: Shown
) -> None:
    """Nobody has one: a gap, and who; everybody has one: partly; demanded: met."""
    item = (await shown())["people.second-factor"]
    assert (item.result, item.exceptions) == (Result.GAP, ("acme/ann",))

    def have(tx: Tx) -> None:
        second_factors.put_factor(
            tx, SecondFactor("acme", "ann", b"s", confirmed=True, last_step=0, created_at=1)
        )

    await core.store.write(have)
    item = (await shown())["people.second-factor"]
    assert (item.result, item.figures["having"]) == (Result.PARTLY, 1)

    world.advance(1)

    def demand(tx: Tx) -> None:
        org = people.get_organization(tx, "acme")
        assert org is not None
        people.put_organization(tx, replace(org, second_factor=True), world.now())

    await core.store.write(demand)
    assert (await shown())["people.second-factor"].result is Result.MET


async def test_many_strong_roles_and_unused_accounts_are_named(
    core: Core, world: FakeWorld, shown: Shown
) -> None:
    """More than five owners and admins, and more than a quarter; ninety days of silence."""
    assert (await shown())["people.roles"].result is Result.MET
    for number in range(5):
        await core.people.users.create_user(None, "acme", f"u{number}", Role.ADMIN, PASSWORD)
    item = (await shown())["people.roles"]
    assert (item.result, len(item.exceptions)) == (Result.PARTLY, 6)
    assert (await shown())["people.dormant"].result is Result.MET
    world.advance(91 * 86_400)
    assert (await shown())["people.dormant"].figures == {"accounts": 6, "unused": 6}


async def test_rules_are_told_as_they_are(core: Core, shown: Shown) -> None:
    """Two hours of idleness are not fifteen minutes, a quarter of an hour is not half of one."""
    await noted(core, "sessions.login", "denied")
    found = await shown()
    assert found["people.sessions"].result is Result.MET
    assert found["people.idle"].result is Result.GAP
    assert found["people.lock-time"].result is Result.GAP
    assert found["people.sign-ins"].figures["refused"] == 1
    assert found["people.refusals"].figures["refused"] == 1


async def test_a_second_factor_that_came_late_is_met_partly(
    core: Core, world: FakeWorld, shown: Shown
) -> None:
    """Demanded now, and not for two hours of the period."""
    world.advance(2 * 3600)
    await core.people.users.change_organization("acme", title=None, second_factor=True)
    world.advance(3600)
    item = (await shown())["people.second-factor"]
    assert (item.result, item.figures["hours_without"]) == (Result.PARTLY, 2)


async def test_a_role_of_a_day_is_told_though_it_is_gone(
    core: Core, world: FakeWorld, shown: Shown
) -> None:
    """Six admins for a day, then none: the worst moment counts, and each is named with its time."""
    for number in range(6):
        await core.people.users.create_user(None, "acme", f"u{number}", Role.ADMIN, PASSWORD)
    world.advance(86_400)
    for number in range(6):
        await core.people.users.delete_user(ROOT, "acme", f"u{number}")
    world.advance(86_400)
    item = (await shown())["people.roles"]
    assert (item.result, item.figures["people"]) == (Result.PARTLY, 1)
    assert "acme/u3" in item.exceptions
    [held] = [p for p in item.proofs if isinstance(p, StateProof) and p.subject == "acme/u3"]
    assert held.until - held.since == 86_400 * SECOND
