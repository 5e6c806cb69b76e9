"""Agents and their life, one table for the registry and the CA."""

import pytest

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.ca.ledger import Agent as Enrolled
from control.ca.ledger import AgentState
from control.errors import ConflictError, NotFoundError, ValidationError
from control.model.agents import AgentFilter, Life
from control.services.events import Topic
from control.services.registry import registered
from control.store.ledger import SqlLedger, SqlLedgerTx
from protocols.pki.names import AgentName
from tests.unit.control.fleet import enrolled

NAME = AgentName("acme", "v1")


def certified(now: int, state: AgentState = AgentState.ACTIVE) -> Enrolled:
    """As the CA puts it."""
    return Enrolled(
        name=NAME, state=state, generation=1, confirmed=0, link_key=b"k" * 32, enrolled_at=now,
        changed_at=now,
    )  # fmt: skip


async def test_enrolling_makes_active(plane: Plane, world: FakeWorld) -> None:
    """With the tags it was expected with, in the CA's own transaction; a stranger joins too."""
    await plane.registry.register("acme", "v1", ("prod",))
    await SqlLedger(plane.store).transact(lambda tx: tx.put_agent(certified(world.now())))
    agent = await plane.registry.get("acme", "v1")
    assert (agent.life, agent.tags) == (Life.ACTIVE, ("prod",))


async def test_a_lock_holds_for_certificates_too(plane: Plane, world: FakeWorld) -> None:
    """Both ways: a person's lock reaches the CA, the CA's reaches the registry."""
    ledger = SqlLedger(plane.store)
    await ledger.transact(lambda tx: tx.put_agent(certified(world.now())))
    with plane.bus.subscribed(Topic.LIFE) as heard:
        await plane.registry.move("acme", "v1", Life.LOCKED, "stolen")
        [event], _ = await heard.take()
    assert (event.vault, event.subject) == ("v1", "locked")
    found = await plane.store.read(lambda tx: SqlLedgerTx(tx).agent(NAME))
    assert found is not None
    assert (found.state, found.reason) == (AgentState.LOCKED, "stolen")
    with pytest.raises(ConflictError, match="not_enrolled"):
        await plane.registry.move("acme", "v1", Life.ACTIVE, "found")
    await ledger.transact(lambda tx: tx.put_agent(certified(world.now())))
    assert (await plane.registry.get("acme", "v1")).life is Life.ACTIVE
    await ledger.transact(lambda tx: tx.put_agent(certified(world.now(), AgentState.LOCKED)))
    assert (await plane.registry.get("acme", "v1")).life is Life.LOCKED


async def test_life_goes_its_way(plane: Plane, world: FakeWorld) -> None:
    """Pending does not become active by hand, and retired is for good."""
    await plane.registry.register("acme", "v1", ())
    with pytest.raises(ConflictError, match="not_enrolled"):
        await plane.registry.move("acme", "v1", Life.ACTIVE, "")
    await plane.registry.move("acme", "v1", Life.RETIRED, "")
    with pytest.raises(ConflictError, match="life_conflict"):
        await plane.registry.move("acme", "v1", Life.ACTIVE, "")
    with pytest.raises(ConflictError):
        await plane.registry.register("acme", "v1", ())
    with pytest.raises(NotFoundError):
        await plane.registry.move("other", "v1", Life.LOCKED, "")
    with pytest.raises(NotFoundError):
        await plane.registry.register("nowhere", "v1", ())


async def test_tags_and_facts(plane: Plane, world: FakeWorld) -> None:
    """Sorted, each once, bounded in form; facts are what the registration said."""
    await enrolled(plane, world, "v1")
    assert (await plane.registry.tag("acme", "v1", ("b", "a", "b"))).tags == ("a", "b")
    with pytest.raises(ValidationError):
        await plane.registry.tag("acme", "v1", ("UPPER",))
    await plane.store.write(lambda tx: registered(tx, "acme", {"v1": {"release": "1.0.0"}}, now=1))
    [found] = await plane.registry.find("acme", AgentFilter(tag="a"))
    assert found.facts == {"release": "1.0.0"}
    assert await plane.store.write(lambda tx: registered(tx, "acme", {"v9": {}}, now=1)) == []
