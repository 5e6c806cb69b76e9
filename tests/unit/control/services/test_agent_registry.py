"""Agents and their life, one table for the registry and the CA."""

from functools import partial

import pytest

from actors.testing import FakeWorld
from control.ca.store import AgentState
from control.ca.store import EnrolledAgent as Enrolled
from control.core import Core
from control.errors import ConflictError, NotFoundError, ValidationError
from control.model.agents import AgentFilter, Life, Presence
from control.model.history import SILENT, Aspect
from control.services.event_bus import Topic
from control.store import history
from control.store.agents import record_facts
from control.store.ca_store import SqlCaStore, SqlCaTransaction
from protocols.pki.names import AgentName
from tests.unit.control.fleet import enrolled

NAME = AgentName("acme", "v1")


def certified(now: int, state: AgentState = AgentState.ACTIVE) -> Enrolled:
    """As the CA puts it."""
    return Enrolled(
        name=NAME, state=state, generation=1, confirmed=0, link_key=b"k" * 32, enrolled_at=now,
        changed_at=now,
    )  # fmt: skip


async def test_enrolling_makes_active(core: Core, world: FakeWorld) -> None:
    """With the tags it was expected with, in the CA's own transaction; a stranger joins too."""
    await core.agents.registry.register_agent("acme", "v1", ("prod",))
    await SqlCaStore(core.store).transact(lambda tx: tx.put_agent(certified(world.now())))
    agent = await core.agents.registry.get_agent("acme", "v1")
    assert (agent.life, agent.tags) == (Life.ACTIVE, ("prod",))


async def test_a_lock_holds_for_certificates_too(core: Core, world: FakeWorld) -> None:
    """Both ways: a person's lock reaches the CA, the CA's reaches the registry."""
    ledger = SqlCaStore(core.store)
    await ledger.transact(lambda tx: tx.put_agent(certified(world.now())))
    with core.bus.subscribe(Topic.LIFE) as heard:
        await core.agents.registry.change_life("acme", "v1", Life.LOCKED, "stolen")
        [event], _ = await heard.receive()
    assert (event.vault, event.subject) == ("v1", "locked")
    found = await core.store.read(lambda tx: SqlCaTransaction(tx).agent(NAME))
    assert found is not None
    assert (found.state, found.reason) == (AgentState.LOCKED, "stolen")
    with pytest.raises(ConflictError, match="not_enrolled"):
        await core.agents.registry.change_life("acme", "v1", Life.ACTIVE, "found")
    await ledger.transact(lambda tx: tx.put_agent(certified(world.now())))
    assert (await core.agents.registry.get_agent("acme", "v1")).life is Life.ACTIVE
    await ledger.transact(lambda tx: tx.put_agent(certified(world.now(), AgentState.LOCKED)))
    assert (await core.agents.registry.get_agent("acme", "v1")).life is Life.LOCKED


@pytest.mark.parametrize("by_ca", [False, True])
async def test_who_is_locked_is_not_online(core: Core, world: FakeWorld, by_ca: bool) -> None:
    """From the transaction of the lock on, for every filter and count; unlocked it begins anew."""
    ledger = SqlCaStore(core.store)
    await ledger.transact(lambda tx: tx.put_agent(certified(world.now())))
    await core.presence.load()
    core.presence.record_message("acme", "v1")
    await core.presence.update()
    last = world.now()
    world.advance(5)
    if by_ca:
        await ledger.transact(lambda tx: tx.put_agent(certified(world.now(), AgentState.LOCKED)))
        core.presence.forget("acme", "v1")
    else:
        await core.agents.registry.change_life("acme", "v1", Life.LOCKED, "stolen")
    agent = await core.agents.registry.get_agent("acme", "v1")
    assert (agent.presence, agent.last_seen) == (Presence.UNKNOWN, last)
    assert (
        await core.agents.registry.find_agents("acme", AgentFilter(presence=Presence.ONLINE)) == []
    )
    assert not any(core.presence.count_by_status().values())
    about = partial(history.newest_change, org="acme", aspect=Aspect.PRESENCE, subject="v1")
    turn = await core.store.read(about)
    assert turn is not None
    assert (turn.value, turn.at) == (SILENT, world.now())
    await ledger.transact(lambda tx: tx.put_agent(certified(world.now())))
    assert (await core.agents.registry.get_agent("acme", "v1")).presence is Presence.UNKNOWN
    core.presence.record_message("acme", "v1")
    await core.presence.update()
    assert (await core.agents.registry.get_agent("acme", "v1")).presence is Presence.ONLINE
    [found] = await core.agents.registry.find_agents("acme", AgentFilter(presence=Presence.ONLINE))
    assert found.last_seen == world.now()


@pytest.mark.parametrize("life", [Life.LOCKED, Life.RETIRED])
async def test_a_last_word_that_is_not_stored_yet_stays(
    core: Core, world: FakeWorld, life: Life
) -> None:
    """It is stored with the lock: presence is written now and then, and nobody listens after it."""
    await enrolled(core, world, "v1")
    core.presence.record_message("acme", "v1")
    said = world.now()
    world.advance(1)
    assert (await core.agents.registry.change_life("acme", "v1", life, "lost")).last_seen == said
    assert (await core.agents.registry.get_agent("acme", "v1")).last_seen == said


async def test_life_goes_its_way(core: Core, world: FakeWorld) -> None:
    """Pending does not become active by hand, and retired is for good."""
    await core.agents.registry.register_agent("acme", "v1", ())
    with pytest.raises(ConflictError, match="not_enrolled"):
        await core.agents.registry.change_life("acme", "v1", Life.ACTIVE, "")
    await core.agents.registry.change_life("acme", "v1", Life.RETIRED, "")
    with pytest.raises(ConflictError, match="life_conflict"):
        await core.agents.registry.change_life("acme", "v1", Life.ACTIVE, "")
    with pytest.raises(ConflictError):
        await core.agents.registry.register_agent("acme", "v1", ())
    with pytest.raises(NotFoundError):
        await core.agents.registry.change_life("other", "v1", Life.LOCKED, "")
    with pytest.raises(NotFoundError):
        await core.agents.registry.register_agent("nowhere", "v1", ())


async def test_tags_and_facts(core: Core, world: FakeWorld) -> None:
    """Sorted, each once, bounded in form; facts are what the registration said."""
    await enrolled(core, world, "v1")
    assert (await core.agents.registry.set_tags("acme", "v1", ("b", "a", "b"))).tags == ("a", "b")
    with pytest.raises(ValidationError):
        await core.agents.registry.set_tags("acme", "v1", ("UPPER",))
    await core.store.write(lambda tx: record_facts(tx, "acme", {"v1": {"release": "1.0.0"}}, now=1))
    [found] = await core.agents.registry.find_agents("acme", AgentFilter(tag="a"))
    assert found.facts == {"release": "1.0.0"}
    assert await core.store.write(lambda tx: record_facts(tx, "acme", {"v9": {}}, now=1)) == []
