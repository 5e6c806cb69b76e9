"""Newcomers get their policies, the ended are cut off, and a fault of the store loses neither."""

import pytest

from actors.testing import FakeWorld
from control.ca.revocation import REPLACED, STOLEN_REASON, AgentEnded
from control.ca.store import AgentState, CaTransaction, EnrolledAgent
from control.core import Core
from control.errors import ConflictError, UnavailableError
from control.model.agents import Life
from control.model.policies import Plan, Target
from control.model.policy_documents import Document
from control.services.event_bus import Topic
from control.store.ca_store import SqlCaStore
from protocols.pki.names import AgentName
from tests.unit.control.fleet import enrolled

NAME = AgentName("acme", "v1")


async def pushed(core: Core) -> None:
    """A policy for everybody."""
    await core.policies.policies.write_version("acme", "p", Document(), "", "x")
    await core.policies.policies.set_targets("acme", "p", (Target(all=True),))
    await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "x")
    await core.policies.policies.refresh_due()


async def test_a_newcomer_gets_what_is_in_general_use(core: Core, world: FakeWorld) -> None:
    """Soon after it was let in."""
    await pushed(core)
    await enrolled(core, world, "v1")
    core.enrolment_hooks.on_admitted("acme")
    await core.policies.policies.refresh_due()
    row = await core.policies.policies.get_assignment("acme", "v1")
    assert row is not None
    assert row.contents == {"p": 1}


async def test_a_restart_makes_up_for_what_a_crash_took(core: Core, world: FakeWorld) -> None:
    """Every organization with a policy is looked at."""
    await pushed(core)
    await enrolled(core, world, "v1")
    await core.enrolment_hooks.mark_all_due()
    await core.policies.policies.refresh_due()
    assert await core.policies.policies.get_assignment("acme", "v1") is not None


async def test_the_end_of_an_agent_is_told_at_once(core: Core, world: FakeWorld) -> None:
    """And the alert that was stored with it, if it was a theft; a person's own lock has none."""
    await enrolled(core, world, "v1")
    with core.bus.subscribe(Topic.LIFE, Topic.ALERT) as heard:
        core.enrolment_hooks.on_ended(AgentEnded(NAME, AgentState.LOCKED, STOLEN_REASON, "alert-1"))
        core.enrolment_hooks.on_ended(AgentEnded(NAME, AgentState.LOCKED, "by hand"))
        events, _ = await heard.receive()
    told = [(event.topic, event.subject) for event in events]
    assert told == [(Topic.LIFE, "locked"), (Topic.ALERT, "alert-1"), (Topic.LIFE, "locked")]


async def test_who_was_replaced_is_cut_and_the_new_one_expected(
    core: Core, world: FakeWorld
) -> None:
    """The name counts on: it is watched, and missed when nobody comes."""
    await enrolled(core, world, "v1")
    core.presence.record_message(*NAME)
    with core.bus.subscribe(Topic.LIFE) as heard:
        core.enrolment_hooks.on_ended(AgentEnded(NAME, REPLACED, "anew"))
        events, _ = await heard.receive()
    assert [event.subject for event in events] == ["replaced"]
    assert core.presence.status_of(*NAME) is not None
    core.enrolment_hooks.on_ended(AgentEnded(NAME, AgentState.LOCKED, "by hand"))
    assert core.presence.status_of(*NAME) is None


async def test_a_theft_is_stored_with_its_alert(core: Core, world: FakeWorld) -> None:
    """A crash right after the lock loses nothing of it."""
    ledger, now = SqlCaStore(core.store), world.now()
    agent = EnrolledAgent(
        name=NAME, state=AgentState.ACTIVE, generation=1, confirmed=1, link_key=bytes(32),
        enrolled_at=now, changed_at=now,
    )  # fmt: skip
    await ledger.transact(lambda tx: tx.put_agent(agent))
    assert core.enrolment.ca is not None
    revocation = core.enrolment.ca.revocation

    async def alerts() -> list[str]:
        found = await core.agents.alerts.list_alerts("acme", vault="", before=0, limit=9)
        return [alert.code for alert in found]

    def failing(tx: CaTransaction) -> None:
        revocation.lock_in_transaction(tx, agent, now)
        raise ConflictError("broken", "no")

    with pytest.raises(ConflictError, match="broken"):
        await ledger.transact(failing)
    assert (await alerts(), (await core.agents.registry.get_agent("acme", "v1")).life) == (
        [],
        Life.ACTIVE,
    )
    await ledger.transact(lambda tx: revocation.lock_in_transaction(tx, agent, now))
    assert await alerts() == ["agent_locked"]
    assert (await core.agents.registry.get_agent("acme", "v1")).life is Life.LOCKED


async def test_a_store_that_fails_is_asked_again(
    core: Core, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newcomer is not forgotten."""
    await pushed(core)
    await enrolled(core, world, "v1")
    core.enrolment_hooks.on_admitted("acme")

    async def broken(_org: str) -> int:
        raise UnavailableError("store_unavailable", "not now")

    with monkeypatch.context() as patched:
        patched.setattr(core.policies.policies, "refresh_bundles", broken)
        with pytest.raises(UnavailableError):
            await core.policies.policies.refresh_due()
    await core.policies.policies.refresh_due()
    assert await core.policies.policies.get_assignment("acme", "v1") is not None
