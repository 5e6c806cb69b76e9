"""Newcomers get their policies, thefts become alerts, and a fault of the store loses neither."""

import pytest

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.ca.ledger import AgentState
from control.ca.revocation import STOLEN, Ended
from control.errors import UnavailableError
from control.model.documents import Document
from control.model.policies import Plan, Target
from control.services.events import Topic
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


async def test_a_theft_is_an_alert_and_the_end_is_told_at_once(
    plane: Plane, world: FakeWorld
) -> None:
    """A person's own lock is no alert."""
    await enrolled(plane, world, "v1")
    with plane.bus.subscribed(Topic.LIFE) as heard:
        plane.aftermath.ended(Ended(NAME, AgentState.LOCKED, STOLEN))
        plane.aftermath.ended(Ended(NAME, AgentState.LOCKED, "by hand"))
        events, _ = await heard.take()
    assert [event.subject for event in events] == ["locked", "locked"]
    await plane.aftermath.tick()
    await plane.aftermath.tick()
    found = await plane.alerts.page("acme", vault="", unacknowledged=False, before=0, limit=9)
    assert [alert.code for alert in found] == ["agent_locked"]


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
