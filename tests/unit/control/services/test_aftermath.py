"""Newcomers get their policies, the ended are cut off, and a fault of the store loses neither."""

import pytest

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.ca.ledger import Agent, AgentState, LedgerTx
from control.ca.revocation import REPLACED, STOLEN, Ended
from control.errors import ConflictError, UnavailableError
from control.model.agents import Life
from control.model.documents import Document
from control.model.policies import Plan, Target
from control.services.events import Topic
from control.store.ledger import SqlLedger
from protocols.pki.names import AgentName
from tests.unit.control.fleet import enrolled

NAME = AgentName("acme", "v1")


async def pushed(plane: Plane) -> None:
    """A policy for everybody."""
    await plane.policies.write("acme", "p", Document(), "", "x")
    await plane.policies.point("acme", "p", (Target(all=True),))
    await plane.rollouts.start("acme", "p", 1, Plan(), "x")
    await plane.policies.catch_up()


async def test_a_newcomer_gets_what_is_in_general_use(plane: Plane, world: FakeWorld) -> None:
    """Soon after it was let in."""
    await pushed(plane)
    await enrolled(plane, world, "v1")
    plane.aftermath.admitted("acme")
    await plane.policies.catch_up()
    row = await plane.policies.assignment("acme", "v1")
    assert row is not None
    assert row.contents == {"p": 1}


async def test_a_restart_makes_up_for_what_a_crash_took(plane: Plane, world: FakeWorld) -> None:
    """Every organization with a policy is looked at."""
    await pushed(plane)
    await enrolled(plane, world, "v1")
    await plane.aftermath.load()
    await plane.policies.catch_up()
    assert await plane.policies.assignment("acme", "v1") is not None


async def test_the_end_of_an_agent_is_told_at_once(plane: Plane, world: FakeWorld) -> None:
    """And the alert that was stored with it, if it was a theft; a person's own lock has none."""
    await enrolled(plane, world, "v1")
    with plane.bus.subscribed(Topic.LIFE, Topic.ALERT) as heard:
        plane.aftermath.ended(Ended(NAME, AgentState.LOCKED, STOLEN, "alert-1"))
        plane.aftermath.ended(Ended(NAME, AgentState.LOCKED, "by hand"))
        events, _ = await heard.take()
    told = [(event.topic, event.subject) for event in events]
    assert told == [(Topic.LIFE, "locked"), (Topic.ALERT, "alert-1"), (Topic.LIFE, "locked")]


async def test_who_was_replaced_is_cut_and_the_new_one_expected(
    plane: Plane, world: FakeWorld
) -> None:
    """The name counts on: it is watched, and missed when nobody comes."""
    await enrolled(plane, world, "v1")
    plane.watch.heard(*NAME)
    with plane.bus.subscribed(Topic.LIFE) as heard:
        plane.aftermath.ended(Ended(NAME, REPLACED, "anew"))
        events, _ = await heard.take()
    assert [event.subject for event in events] == ["replaced"]
    assert plane.watch.state(*NAME) is not None
    plane.aftermath.ended(Ended(NAME, AgentState.LOCKED, "by hand"))
    assert plane.watch.state(*NAME) is None


async def test_a_theft_is_stored_with_its_alert(plane: Plane, world: FakeWorld) -> None:
    """A crash right after the lock loses nothing of it."""
    ledger, now = SqlLedger(plane.store), world.now()
    agent = Agent(
        name=NAME, state=AgentState.ACTIVE, generation=1, confirmed=1, link_key=bytes(32),
        enrolled_at=now, changed_at=now,
    )  # fmt: skip
    await ledger.transact(lambda tx: tx.put_agent(agent))
    assert plane.office is not None
    revocation = plane.office.revocation

    async def alerts() -> list[str]:
        found = await plane.alerts.page("acme", vault="", before=0, limit=9)
        return [alert.code for alert in found]

    def failing(tx: LedgerTx) -> None:
        revocation.lock(tx, agent, now)
        raise ConflictError("broken", "no")

    with pytest.raises(ConflictError, match="broken"):
        await ledger.transact(failing)
    assert (await alerts(), (await plane.registry.get("acme", "v1")).life) == ([], Life.ACTIVE)
    await ledger.transact(lambda tx: revocation.lock(tx, agent, now))
    assert await alerts() == ["agent_locked"]
    assert (await plane.registry.get("acme", "v1")).life is Life.LOCKED


async def test_a_store_that_fails_is_asked_again(
    plane: Plane, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newcomer is not forgotten."""
    await pushed(plane)
    await enrolled(plane, world, "v1")
    plane.aftermath.admitted("acme")

    async def broken(_org: str) -> int:
        raise UnavailableError("store_unavailable", "not now")

    with monkeypatch.context() as patched:
        patched.setattr(plane.policies, "refresh", broken)
        with pytest.raises(UnavailableError):
            await plane.policies.catch_up()
    await plane.policies.catch_up()
    assert await plane.policies.assignment("acme", "v1") is not None
