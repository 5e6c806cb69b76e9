"""Two gateways on one database: one connection of an agent counts, wherever it is."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from actors.testing import FakeWorld
from control.core import Core
from control.errors import ConflictError
from control.key_files import read_signing_key
from control.services.event_bus import EventBus
from control.store.lease import ExclusiveLease
from protocols.link import messages as m
from protocols.link.signing import LinkKey
from protocols.link.vocabulary import ByeReason, CommandName
from tests.unit.control.gateway.wired import Hub, registration


class Shared(ExclusiveLease):
    """As on PostgreSQL with Redis."""

    shared = True


class Two(NamedTuple):
    """Processes: `here` and `there`, and whether they hear each other."""

    here: Hub
    there: Hub

    def deafen(self) -> None:
        """Redis is away."""
        self.there.ends._bus = EventBus()


@pytest.fixture
async def two(core: Core, world: FakeWorld, tmp_path: Path) -> AsyncIterator[Two]:
    """Over one store; what one publishes reaches the other."""
    core.store.lease = Shared()
    key = LinkKey(read_signing_key(tmp_path / "keys", "link"))
    made = Two(Hub(core, world, key), Hub(core, world, key))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.here.gateway.run)
        nursery.start_soon(made.there.gateway.run)
        await trio.testing.wait_all_tasks_blocked()
        yield made
        nursery.cancel_scope.cancel()


async def test_an_agent_that_comes_elsewhere_ends_its_old_connection(two: Two) -> None:
    """At once, and it is told why."""
    one = await two.here.enrolled("one")
    async with two.here.connected(one) as old:
        await two.here.live("one")
        async with two.there.connected(one) as new:
            await two.there.live("one")
            await old.until(lambda: old.ended)
            assert old.left is ByeReason.REPLACED
            assert not new.ended


async def test_an_old_connection_that_does_not_know_it_changes_nothing(two: Two) -> None:
    """Its messages and its acknowledgements are refused by the epoch in the database."""
    one = await two.here.enrolled("one")
    await two.here.ends.open_link(one.peer.name)
    await two.here.ends.claim_link(one.peer.name)
    await two.there.ends.claim_link(one.peer.name)
    ends, name = two.here.ends, one.peer.name
    for attempt in (
        lambda: ends.apply_message(name, bytes(16), 1, None),
        lambda: ends.record_registration(name, registration(one), 0),
        lambda: ends.record_lost(name, bytes(16), 1, 2),
        lambda: ends.record_acknowledged(name, 5),
    ):
        with pytest.raises(ConflictError, match="outdone"):
            await attempt()
    await two.there.ends.apply_message(name, bytes(16), 1, None)


async def test_without_a_word_the_next_look_finds_it(two: Two) -> None:
    """The event may be lost: the database has the epoch."""
    one = await two.here.enrolled("one")
    async with two.here.connected(one) as old:
        await two.here.live("one")
        two.deafen()
        async with two.there.connected(one):
            await two.there.live("one")
            assert not old.ended
            await two.here.gateway.resync_all()
            await old.until(lambda: old.ended)


async def test_a_command_that_nobody_told_of_is_found(two: Two) -> None:
    """As bundles are."""
    one = await two.here.enrolled("one")
    commands = two.here.core.agents.commands
    commands._bus = EventBus()
    async with two.here.connected(one) as talk:
        await two.here.live("one")
        await commands.send_command("acme", "one", CommandName.RUN_BACKUP, "ann")
        await two.here.gateway.resync_all()
        await talk.until(lambda: any(isinstance(x, m.Command) for x in one.heard))


async def test_who_is_deaf_looks_often(two: Two, world: FakeWorld) -> None:
    """While other processes are not heard, what they change waits for two seconds at most."""
    one = await two.here.enrolled("one")
    commands = two.here.core.agents.commands
    commands._bus = EventBus()
    two.here.core.bus.is_connected = lambda: False
    async with two.here.connected(one) as talk:
        await two.here.live("one")
        await commands.send_command("acme", "one", CommandName.RUN_BACKUP, "ann")
        await trio.testing.wait_all_tasks_blocked()
        world.advance(2)
        await talk.until(lambda: any(isinstance(x, m.Command) for x in one.heard))
