"""The control plane's durable end of agents' links: outbox and inbox, over the store.

A message's effect and the cursor that says it is applied are one transaction
(`services.agent_messages`); events are published once that is durable.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from actors import World
from control.model.agents import Health
from control.model.links import AgentLink
from control.services import outbox, replays
from control.services.agent_messages import (
    AgentMessages,
    BundleStatusReport,
    Effect,
    ReceivedMessage,
    new_stream_id,
)
from control.services.event_bus import Event, EventBus, Topic
from control.services.organization_batches import run_by_organization
from control.services.presence import health_report, record_health
from control.services.vault_reports import (
    backup_report,
    record_backups,
    record_rotations,
    rotation_report,
)
from control.services.vaults import VaultReport, record_vaults
from control.services.witness import Witness
from control.store import links
from control.store.rows import Tx
from control.store.store import Store
from control.store.writer import GroupedChange
from protocols.link.delivery import OutboxBatch, OutboxState
from protocols.link.messages import (
    Backups,
    Clients,
    Cursor,
    Message,
    Registration,
    ReplayResult,
    Rotations,
)
from protocols.pki.names import AgentName


class LinkStore:
    """The links of all agents; the state of a connection is in its `AgentConnection`."""

    def __init__(
        self, store: Store, bus: EventBus, messages: AgentMessages, witness: Witness, world: World
    ) -> None:
        self._store = store
        self._bus = bus
        self._intake = messages
        self._witness = witness
        self._world = world
        self._epochs: dict[AgentName, int] = {}

    async def open_link(self, name: AgentName) -> AgentLink:
        """The agent's link, with its present bundle offered. Raises `UnavailableError`."""
        return await self._store.write(
            GroupedChange(_begin, ConnectingAgent(name, new_stream_id(self._world)))
        )

    async def claim_link(self, name: AgentName) -> AgentLink | None:
        """Make the connection of this process the active one; the link as it is then.

        Its bundle is offered: changes between `open_link` and this sent no event. None in a single
        process, which needs no claim.
        """
        if not self._store.lease.shared:
            return None
        link = await self._store.write(
            GroupedChange(_claim, ConnectingAgent(name, new_stream_id(self._world)))
        )
        self._epochs[name] = link.epoch
        self._bus.publish(Event(Topic.OWNER, *name, link.epoch))
        return link

    async def restart_stream(self, name: AgentName) -> None:
        """Begin a new stream: the agent has more messages than were ever given."""
        stream = new_stream_id(self._world)
        await self._store.write(
            lambda tx: outbox.restart_stream(tx, outbox.ensure_link(tx, *name, stream), stream)
        )

    async def read_outbox(self, name: AgentName, after: int, limit: int) -> OutboxBatch:
        """Messages behind `after`."""
        sign = self._witness.cosignature_line
        return await self._store.read(
            lambda tx: outbox.read_outbox(tx, *name, after=after, limit=limit, sign=sign)
        )

    async def apply_message(
        self, name: AgentName, stream: bytes, through: int, message: Message | None
    ) -> None:
        """The message's effect and the cursor, both or neither; nothing if it was applied."""
        effect = None if message is None else self._intake.effect_of(message)
        await self._apply(name, stream, through, effect)

    async def record_lost(self, name: AgentName, stream: bytes, first: int, last: int) -> None:
        """Move the cursor over messages that were lost here, and fire an alert."""
        await self._apply(name, stream, last, self._intake.lost_effect(first, last))

    async def record_registration(
        self, name: AgentName, message: Registration, acknowledged: int
    ) -> None:
        """Store the agent's facts; it has acknowledged our messages up to there."""
        epoch = self._epochs.get(name, 0)
        said = self._intake.registration_of(name, message, acknowledged, epoch)
        self._bus.publish(
            *await self._store.write(GroupedChange(self._intake.apply_registrations, said))
        )

    async def record_acknowledged(self, name: AgentName, through: int) -> None:
        """The agent has all messages up to `through`."""
        if epoch := self._epochs.get(name):
            await self._store.write(partial(_acknowledge_once, name, through, epoch))
        else:
            await self._store.write(GroupedChange(_acknowledge, (*name, through)))

    async def record_health(
        self, name: AgentName, health: str, sync: str, codes: frozenset[str] | None
    ) -> Health:
        """Store the agent's health; the health that follows.

        `codes`: the faults of its `Conditions`; None for an agent without that message.
        """
        said = health_report(name, health, sync, codes, self._world)
        events = await self._store.write(GroupedChange(record_health, said))
        self._bus.publish(*events)
        return said.health

    async def record_vault(self, name: AgentName, vault: bytes) -> None:
        """Store which vault the agent serves."""
        report = VaultReport(name, str(UUID(bytes=vault)), self._world.new_id(), self._world.now())
        self._bus.publish(*await self._store.write(GroupedChange(record_vaults, report)))

    async def record_backups(self, name: AgentName, told: Backups) -> None:
        """Store how the backups of the agent's vault do."""
        report = backup_report(name, told, self._world)
        self._bus.publish(*await self._store.write(GroupedChange(record_backups, report)))

    async def record_rotations(
        self, name: AgentName, told: Rotations, clients: Clients | None
    ) -> None:
        """Store how the rotations of the agent's vault do, and its clients."""
        report = rotation_report(name, told, clients, self._world)
        self._bus.publish(*await self._store.write(GroupedChange(record_rotations, report)))

    async def record_replay_result(self, name: AgentName, told: ReplayResult) -> None:
        """Store the agent's answer to a replay."""
        now = self._world.now()
        await self._store.write(lambda tx: replays.record_result(tx, *name, told, now))

    async def _apply(
        self,
        name: AgentName,
        stream: bytes,
        through: int,
        effect: Effect | BundleStatusReport | None,
    ) -> None:
        epoch = self._epochs.get(name, 0)
        arrived = ReceivedMessage(name, new_stream_id(self._world), stream, through, effect, epoch)
        self._bus.publish(
            *await self._store.write(GroupedChange(self._intake.apply_messages, arrived))
        )


class ConnectingAgent(NamedTuple):
    """An agent that has connected, and the stream that it gets if it has none yet."""

    name: AgentName
    new_stream: bytes


def _begin(tx: Tx, newcomers: Sequence[ConnectingAgent]) -> Sequence[AgentLink]:
    def begin(tx: Tx, org: str, places: Sequence[int]) -> Sequence[AgentLink]:
        some = {newcomers[place].name.vault: newcomers[place].new_stream for place in places}
        found = outbox.ensure_links(tx, org, some)
        offered = {link.vault: link for link, _ in outbox.enqueue_bundles(tx, org, list(some))}
        return [(found | offered)[vault] for vault in some]

    return run_by_organization(tx, [newcomer.name for newcomer in newcomers], begin)


def _claim(tx: Tx, newcomers: Sequence[ConnectingAgent]) -> Sequence[AgentLink]:
    claimed = [replace(link, epoch=link.epoch + 1) for link in _begin(tx, newcomers)]
    links.put_epochs(tx, *claimed)
    return claimed


def _acknowledge_once(name: AgentName, through: int, epoch: int, tx: Tx) -> None:
    link = links.get_link(tx, *name)
    if link is not None:
        outbox.require_current_epoch(link, epoch)
        links.acknowledge_outgoing(tx, [(*name, through)])


def _acknowledge(tx: Tx, received: Sequence[tuple[str, str, int]]) -> Sequence[None]:
    links.acknowledge_outgoing(tx, received)
    return [None] * len(received)


def outbox_state(link: AgentLink) -> OutboxState:
    """The outbox as a session takes it."""
    return OutboxState(link.stream, link.newest, link.acknowledged)


def inbox_cursor(link: AgentLink) -> Cursor:
    """The inbox as a session takes it."""
    return Cursor(stream=link.peer, applied=link.applied)
