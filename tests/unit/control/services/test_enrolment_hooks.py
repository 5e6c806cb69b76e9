"""Newcomers get their policies, the ended are cut off, and a fault of the store loses neither."""

import pytest

from actors.testing import FakeWorld
from control.api.control_plane import ControlPlane
from control.ca.revocation import REPLACED, STOLEN_REASON, AgentEnded
from control.ca.store import AgentState, CaTransaction, EnrolledAgent
from control.errors import ConflictError, UnavailableError
from control.model.agents import Life
from control.model.policies import Plan, Target
from control.model.policy_documents import Document
from control.services.event_bus import Topic
from control.store.ca_store import SqlCaStore
from protocols.pki.names import AgentName
from tests.unit.control.fleet import enrolled

NAME = AgentName("acme", "v1")


async def pushed(plane: ControlPlane) -> None:
    """A policy for everybody."""
    await plane.policies.write_version("acme", "p", Document(), "", "x")
    await plane.policies.set_targets("acme", "p", (Target(all=True),))
    await plane.rollouts.start_rollout("acme", "p", 1, Plan(), "x")
    await plane.policies.refresh_due()


async def test_a_newcomer_gets_what_is_in_general_use(
    plane: ControlPlane, world: FakeWorld
) -> None:
    """Soon after it was let in."""
    await pushed(plane)
    await enrolled(plane, world, "v1")
    plane.enrolment_hooks.on_admitted("acme")
    await plane.policies.refresh_due()
    row = await plane.policies.get_assignment("acme", "v1")
    assert row is not None
    assert row.contents == {"p": 1}


async def test_a_restart_makes_up_for_what_a_crash_took(
    plane: ControlPlane, world: FakeWorld
) -> None:
    """Every organization with a policy is looked at."""
    await pushed(plane)
    await enrolled(plane, world, "v1")
    await plane.enrolment_hooks.mark_all_due()
    await plane.policies.refresh_due()
    assert await plane.policies.get_assignment("acme", "v1") is not None


async def test_the_end_of_an_agent_is_told_at_once(plane: ControlPlane, world: FakeWorld) -> None:
    """And the alert that was stored with it, if it was a theft; a person's own lock has none."""
    await enrolled(plane, world, "v1")
    with plane.bus.subscribe(Topic.LIFE, Topic.ALERT) as heard:
        plane.enrolment_hooks.on_ended(
            AgentEnded(NAME, AgentState.LOCKED, STOLEN_REASON, "alert-1")
        )
        plane.enrolment_hooks.on_ended(AgentEnded(NAME, AgentState.LOCKED, "by hand"))
        events, _ = await heard.receive()
    told = [(event.topic, event.subject) for event in events]
    assert told == [(Topic.LIFE, "locked"), (Topic.ALERT, "alert-1"), (Topic.LIFE, "locked")]


async def test_who_was_replaced_is_cut_and_the_new_one_expected(
    plane: ControlPlane, world: FakeWorld
) -> None:
    """The name counts on: it is watched, and missed when nobody comes."""
    await enrolled(plane, world, "v1")
    plane.presence.record_message(*NAME)
    with plane.bus.subscribe(Topic.LIFE) as heard:
        plane.enrolment_hooks.on_ended(AgentEnded(NAME, REPLACED, "anew"))
        events, _ = await heard.receive()
    assert [event.subject for event in events] == ["replaced"]
    assert plane.presence.status_of(*NAME) is not None
    plane.enrolment_hooks.on_ended(AgentEnded(NAME, AgentState.LOCKED, "by hand"))
    assert plane.presence.status_of(*NAME) is None


async def test_a_theft_is_stored_with_its_alert(plane: ControlPlane, world: FakeWorld) -> None:
    """A crash right after the lock loses nothing of it."""
    ledger, now = SqlCaStore(plane.store), world.now()
    agent = EnrolledAgent(
        name=NAME, state=AgentState.ACTIVE, generation=1, confirmed=1, link_key=bytes(32),
        enrolled_at=now, changed_at=now,
    )  # fmt: skip
    await ledger.transact(lambda tx: tx.put_agent(agent))
    assert plane.ca is not None
    revocation = plane.ca.revocation

    async def alerts() -> list[str]:
        found = await plane.alerts.list_alerts("acme", vault="", before=0, limit=9)
        return [alert.code for alert in found]

    def failing(tx: CaTransaction) -> None:
        revocation.lock_in_transaction(tx, agent, now)
        raise ConflictError("broken", "no")

    with pytest.raises(ConflictError, match="broken"):
        await ledger.transact(failing)
    assert (await alerts(), (await plane.agents.get_agent("acme", "v1")).life) == ([], Life.ACTIVE)
    await ledger.transact(lambda tx: revocation.lock_in_transaction(tx, agent, now))
    assert await alerts() == ["agent_locked"]
    assert (await plane.agents.get_agent("acme", "v1")).life is Life.LOCKED


async def test_a_store_that_fails_is_asked_again(
    plane: ControlPlane, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newcomer is not forgotten."""
    await pushed(plane)
    await enrolled(plane, world, "v1")
    plane.enrolment_hooks.on_admitted("acme")

    async def broken(_org: str) -> int:
        raise UnavailableError("store_unavailable", "not now")

    with monkeypatch.context() as patched:
        patched.setattr(plane.policies, "refresh_bundles", broken)
        with pytest.raises(UnavailableError):
            await plane.policies.refresh_due()
    await plane.policies.refresh_due()
    assert await plane.policies.get_assignment("acme", "v1") is not None
