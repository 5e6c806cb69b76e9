"""Who fetched a secret, on each database: agents that share one know it of each other."""

from typing import Final

import pytest

from actors.world import SystemWorld
from protocols.instant import DAY, SECOND
from tests.contract.store.agents import Agent, Agents, call
from vault.handlers import stores
from vault.handlers.adoption import MARGIN, StoredAdoption
from vault.handlers.consumer_recorder import KEPT, ConsumerRecorder, forget_old_consumers
from vault.handlers.stores import ConsumerStore, RotationStore
from vault.model.identity import Identity, Method
from vault.model.payloads import WriteSecret
from vault.model.records import RotationRow
from vault.model.rotation import AdoptionState

NOW: Final = 1_800_000_000 * SECOND
WINDOW: Final = 30 * DAY


class StillWorld(SystemWorld):
    """A clock that the test moves."""

    time = NOW

    def now(self) -> int:
        """As set."""
        return self.time


def identity(name: str) -> Identity:
    """An application with an API key."""
    return Identity(id=f"u-{name}", name=name, method=Method.API_KEY, credential=name)


class Node:
    """What an agent records, and what it knows."""

    def __init__(self, agent: Agent, world: StillWorld, name: str) -> None:
        self.store = ConsumerStore(agent.barrier)
        self.recorder = ConsumerRecorder(self.store, world, name, 0)
        self.rotations = RotationStore(agent.barrier)
        self.adoption = StoredAdoption(self.store)

    def fetch(self, name: str, version: int) -> None:
        """A fetch of the secret."""
        self.recorder.record(identity(name), "s", "m/a", version)


@pytest.fixture
def world() -> StillWorld:
    """Of all agents."""
    return StillWorld()


@pytest.fixture
async def nodes(agents: Agents, world: StillWorld) -> list[Node]:
    """Two that record, on a database without secrets."""
    made = [Node(await agents.open(), world, name) for name in ("a", "b")]
    for node in made:
        await node.recorder.open()
    return made


async def test_consumers_of_all_agents_count(nodes: list[Node], world: StillWorld) -> None:
    """One has fetched here and lags there: both decide alike, in a transaction or without."""
    one, other = nodes
    one.fetch("ann", 1)
    other.fetch("bob", 1)
    for node in nodes:
        await node.recorder.flush()
    rotation = RotationRow(
        secret_id="s", number=1, path="m/a", policy={}, cause="request", previous=1, version=2,
        state="current", next_at=NOW, began_at=NOW, current_at=NOW,
    )  # fmt: skip
    other.fetch("ann", 2)
    one.fetch("bob", 1)
    await other.recorder.flush()
    for node in nodes:
        found = await node.adoption.status(rotation, WINDOW)
        assert (found.laggards, found.fetched) == (["bob"], 1)
    one.fetch("bob", 2)
    world.time += MARGIN
    await one.recorder.close()
    found = await other.adoption.status(rotation, WINDOW)
    assert found.reason == "not_flushed"
    await other.recorder.close()
    for node in nodes:
        found = await node.rotations.transact(
            lambda tx, node=node: node.adoption.status_in(tx, rotation, WINDOW)
        )
        assert found.state is AdoptionState.ADOPTED
    await ConsumerRecorder(one.store, world, "b", 0).open()
    await ConsumerRecorder(other.store, world, "b", 0).open()  # the one before was not closed
    for node in nodes:
        assert (await node.adoption.status(rotation, WINDOW)).reason == "fetches_lost"


async def test_a_secret_that_is_there_before_the_table(agents: Agents, world: StillWorld) -> None:
    """Nobody knows who has it."""
    agent = await agents.open()
    await agent.mount("m/")
    await agent.secrets.write(call("m/a", WriteSecret(value=b'{"a":1}')))
    node = Node(agent, world, "a")
    await node.recorder.open()
    (row,) = await node.store.list_recorders()
    assert row.lost_at == NOW


async def test_consumers_are_found_by_secret_and_by_identity(
    nodes: list[Node], world: StillWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many of a secret at most; old ones go."""
    node, _ = nodes
    monkeypatch.setattr(stores, "MAX_CONSUMERS", 3)
    for name in ("a", "b", "c", "d", "e"):
        node.fetch(name, 1)
    node.recorder.record(identity("a"), "t", "m/t", 7)
    await node.recorder.flush()
    found = await node.store.list_of_secret("s")
    assert [row.consumer for row in found] == ["", "key:a", "key:b", "key:c"]
    first = await node.store.list_of_identity("u-a", None, 1)
    second = await node.store.list_of_identity("u-a", ("s", "key:a"), 9)
    assert [(row.path, row.version) for row in first + second] == [("m/a", 1), ("m/t", 7)]
    await node.store.mark_compromised([("t", "key:a"), ("none", "key:a")], NOW)
    (marked,) = await node.store.list_of_secret("t")
    assert marked.compromised_at == NOW
    world.time += KEPT
    await forget_old_consumers(node.store, world)
    assert await node.store.list_of_secret("s") == []
