"""The gateway: admits agents, runs each connection, and brings what is new to who is connected.

Fan-out is state: who has a bundle that it was not offered is found in the store, in chunks, one
transaction for a chunk. An event only says when to look; losing one costs time, nothing else.
"""

import logging
from collections.abc import Awaitable, Iterable, Sequence
from functools import partial
from itertools import groupby
from typing import Final, NoReturn

import trio

from actors import World
from control.ca.revocation import Revocation
from control.errors import AuthorizationError, ControlError
from control.gateway.agent_connection import AgentConnection, ConnectionContext
from control.gateway.connections import Connections, ConnectionSlot
from control.gateway.deadlines import Deadlines
from control.gateway.link_key_proof import is_link_key_proven
from control.gateway.link_observer import LinkObserver, NullLinkObserver
from control.gateway.link_store import LinkStore, inbox_cursor, outbox_state
from control.gateway.protocol_alerts import ProtocolAlerts
from control.gateway.replay_dispatcher import ReplayDispatcher
from control.model.agents import Life
from control.services import outbox
from control.services.agent_messages import new_stream_id
from control.services.alerts import Alerts
from control.services.event_bus import Event, EventBus, Topic
from control.services.presence import PresenceTracker
from control.store import agents, links
from control.store.ca_store import revoked_serials
from control.store.rows import Tx
from control.store.store import Store
from protocols.errors import locate
from protocols.link.delivery import OutboxBatch
from protocols.link.errors import OutboxRolledBackError, RemoteFaultError, TransportError
from protocols.link.handshake import ChannelBinding
from protocols.link.limits import DEAD_SECONDS
from protocols.link.session_config import SessionConfig
from protocols.link.signing import Signer, Verifier, sha256
from protocols.link.transport import REFUSED, LinkTransport
from protocols.link.vocabulary import ByeReason
from protocols.pki.chain import VerifiedAgent as Peer
from protocols.pki.names import AgentName

AGENTS_PER_TRANSACTION: Final = 250
"""Agents of one fan-out transaction; it holds the writer for some 10 ms."""
RESYNC_INTERVAL: Final = 15.0
"""Seconds; how long what an event would have told may wait, if one was lost unnoticed."""
DISCONNECTED_RESYNC_INTERVAL: Final = 2.0
"""The same while other processes are not heard: a lock made there then takes as long here."""
RECONNECTS_PER_SECOND: Final = 500
"""How many agents we ask to come back in a second when we end."""

log: Final = logging.getLogger("freehold.control.gateway")


class Gateway:
    """One of a process. `serve_connection` is a connection's task, `run` is the gateway's own."""

    def __init__(
        self,
        *,
        store: Store,
        bus: EventBus,
        presence: PresenceTracker,
        revocation: Revocation,
        link_store: LinkStore,
        signer: Signer,
        world: World,
        timeout: float = DEAD_SECONDS,
        observer: LinkObserver | None = None,
    ) -> None:
        """`dead`: seconds of silence after which a connection is over."""
        self._store = store
        self._bus = bus
        self._watch = presence
        self._revocation = revocation
        self._ends = link_store
        self._signer = signer
        self._world = world
        self._dead = timeout
        self._audience = observer or NullLinkObserver()
        self.deadlines = Deadlines(world, timeout)
        self._around = ConnectionContext(
            link_store, presence, world, self._on_opened, self._audience, self.deadlines
        )
        self._alarms = ProtocolAlerts(Alerts(store, bus, world), world)
        self._closing = False
        self.connections = Connections()
        self.replays = ReplayDispatcher(store, world)
        self.faults = 0
        """Connections that ended by a fault of the agent."""
        self.refused = 0
        """Connections of agents that do not count."""

    async def serve_connection(self, pipe: LinkTransport, peer: Peer, ours: bytes) -> None:
        """Serve one connection until it is over. Raises `TransportError`.

        `peer` is what TLS has proven, `ours` SHA-256 over the certificate that we showed.
        """
        try:
            with self.connections.register(peer.name) as seat:
                await self._serve(pipe, peer, ours, seat)
        except AuthorizationError as error:
            self.refused += 1
            log.warning("agent %s/%s refused: %s", *peer.name, error.code)
            await pipe.aclose(REFUSED)
        except RemoteFaultError as error:
            self.faults += 1
            log.warning("agent %s/%s broke the protocol: %s", *peer.name, error.fault)
            await pipe.aclose(str(error.fault))
            await self._report(peer.name, self._alarms.report_fault(peer.name, error.fault))
        except OutboxRolledBackError:
            log.error("agent %s/%s has more of us than we gave: begun anew", *peer.name)  # noqa: TRY400
            await pipe.aclose()
            await self._report(peer.name, self._alarms.report_rollback(peer.name))
        except ControlError as error:
            log.error("agent %s/%s disconnected: %s", *peer.name, error.code)  # noqa: TRY400
            await pipe.aclose()

    async def run(self) -> None:
        """Bring what is new, and cut who no longer counts, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_life_events)
            nursery.start_soon(self._follow_changes)
            nursery.start_soon(self._resync_periodically)
            nursery.start_soon(self.deadlines.run)

    def close_all(self) -> None:
        """Tell every agent that we end, and over how long to spread their return."""
        self._closing = True
        everybody = self.connections.active_connections()
        spread = 1000 + 1000 * len(everybody) // RECONNECTS_PER_SECOND
        for agent in everybody:
            agent.close(ByeReason.RESTART, spread)

    async def _report(self, name: AgentName, raising: Awaitable[None]) -> None:
        try:
            await raising
        except ControlError as error:
            log.error("no alert about %s/%s: %s", *name, error.code)  # noqa: TRY400

    # --- one connection ---------------------------------------------------------------------------

    async def _serve(
        self, pipe: LinkTransport, peer: Peer, ours: bytes, seat: ConnectionSlot
    ) -> None:
        known, outdated = await self._revocation.admit_peer(peer)
        # Admission confirms what it is shown, unless that is outdated: then it is older than this.
        seat.generation = 0 if outdated else known.confirmed
        link = await self._ends.open_link(peer.name)
        channel = ChannelBinding(
            org=peer.name.org,
            vault=peer.name.vault,
            agent_certificate=sha256(pipe.peer_certificate),
            control_certificate=ours,
        )
        end = SessionConfig(
            channel=channel,
            signer=self._signer,
            verifier=Verifier([known.link_key]),
            nonce=new_stream_id(self._world),
            outbox=outbox_state(link),
            cursor=inbox_cursor(link),
            dead=self._dead,
        )
        if outdated:
            await self._handle_outdated(pipe, peer, end)
        agent = AgentConnection(peer, pipe, link, end, self._around)
        try:
            await agent.run()
        finally:
            self.connections.remove_active(agent)
            self._audience.on_unlinked(*agent.name, agent)

    async def _handle_outdated(
        self, pipe: LinkTransport, peer: Peer, end: SessionConfig
    ) -> NoReturn:
        """An older certificate than the agent was seen with: a copy, or a handshake from before.

        Raises `AuthorizationError`; the agent is locked if the peer has its link key.
        """
        if await is_link_key_proven(pipe, end, self._world):
            await self._revocation.lock_stolen(peer)
        raise AuthorizationError("certificate_outdated", "its agent was seen with a newer one")

    def _on_opened(self, agent: AgentConnection) -> None:
        self._watch.record_message(*agent.name)
        if self._closing:
            agent.close(ByeReason.RESTART, 1000)
            return
        self.connections.set_active(agent)
        self._audience.on_linked(*agent.name, agent)

    # --- what is new ------------------------------------------------------------------------------

    async def _follow_life_events(self) -> None:
        with self._bus.subscribe(Topic.LIFE, Topic.OWNER) as lives:
            while True:
                events, lost = await lives.receive()
                for event in events:
                    if event.topic is Topic.OWNER:
                        self._supersede(event)
                    elif event.subject != str(Life.ACTIVE):
                        self.connections.disconnect(
                            AgentName(event.org, event.vault), event.generation
                        )
                if lost:
                    await self.disconnect_inactive()

    async def _follow_changes(self) -> None:
        with self._bus.subscribe(Topic.POLICY, Topic.OUTBOX, Topic.REPLAY) as changes:
            while True:
                events, lost = await changes.receive()
                await self._handle_changes(events)
                if lost:
                    await self.resync_all()

    def _supersede(self, event: Event) -> None:
        agent = self.connections.active_connection(event.org, event.vault)
        if agent is not None and isinstance(event.subject, int):
            agent.supersede(event.subject)

    async def _handle_changes(self, events: Sequence[Event]) -> None:
        due, questioned = [], []
        for event in events:
            agent = self.connections.active_connection(event.org, event.vault)
            if agent is None:
                continue
            if event.topic is Topic.REPLAY:
                questioned.append(agent)
            if not isinstance(event.subject, int):
                continue
            if event.topic is Topic.OUTBOX:
                agent.notify_waiting(event.subject)
            elif event.subject > agent.bundle:
                due.append(agent)
        await self.offer_bundles(due)
        await self.replays.dispatch(questioned)

    async def offer_bundles(self, due: Iterable[AgentConnection]) -> None:
        """Offer these agents the bundles that they were not offered yet."""
        named = {agent.name: agent for agent in due}
        for org, names in groupby(sorted(named), key=lambda name: name.org):
            vaults = [name.vault for name in names]
            for start in range(0, len(vaults), AGENTS_PER_TRANSACTION):
                await self._offer_some(org, vaults[start : start + AGENTS_PER_TRANSACTION], named)

    async def _offer_some(
        self, org: str, vaults: list[str], named: dict[AgentName, AgentConnection]
    ) -> None:
        try:
            found = await self._store.write(partial(_offer_bundles, org, vaults))
        except ControlError as error:
            log.warning("fan-out waits for the database: %s", error.code)
            return  # `_resync_periodically` finds them again
        for link, row in found:
            agent = named[AgentName(org, link.vault)]
            agent.bundle = link.bundle
            entry = outbox.bundle_entry(link, row)
            agent.notify_waiting(link.newest, OutboxBatch(link.newest - 1, link.newest, (entry,)))

    async def _resync_periodically(self) -> None:
        looked = self._world.monotonic()
        while True:
            await self._world.sleep(DISCONNECTED_RESYNC_INTERVAL)
            now = self._world.monotonic()
            if not self._bus.is_connected() or now - looked >= RESYNC_INTERVAL:
                looked = now
                await self.disconnect_inactive()
                await self.resync_all()

    async def resync_all(self) -> None:
        """Bring to everybody what the store has for him, whoever has put it there."""
        await self.offer_bundles(self.connections.active_connections())
        await self.replays.dispatch(self.connections.active_connections())
        for org, agents_ in groupby(
            sorted(self.connections.active_connections(), key=_organization_of),
            key=_organization_of,
        ):
            linked = list(agents_)
            for start in range(0, len(linked), AGENTS_PER_TRANSACTION):
                await self._compare_links(org, linked[start : start + AGENTS_PER_TRANSACTION])

    async def _compare_links(self, org: str, linked: Sequence[AgentConnection]) -> None:
        """Commands that wait, and connections that count at another process."""
        named = {agent.name.vault: agent for agent in linked}
        try:
            found = await self._store.read(partial(_link_states, org, list(named)))
        except ControlError as error:
            log.warning("the database does not answer: %s", error.code)
            return
        for vault, newest, epoch in found:
            named[vault].supersede(epoch)
            named[vault].notify_if_newer(newest)

    async def disconnect_inactive(self) -> None:
        """Cut who no longer counts by the store's word, whoever has changed it.

        That is who is not active, and who came by a certificate that was revoked since: he was
        replaced under his name.
        """
        now = self._world.wall()
        try:
            active, revoked = await self._store.read(partial(_active_and_revoked, now))
        except ControlError as error:
            log.warning("the database does not answer: %s", error.code)
            return
        for agent in self.connections.active_connections():
            known = tuple(agent.name) in active
            if not known:  # it may have been locked between its admission and its first word
                self._watch.forget(*agent.name)
            if not known or agent.serial in revoked:
                self.connections.disconnect(agent.name)


def _organization_of(agent: AgentConnection) -> str:
    return agent.name.org


def _link_states(org: str, vaults: list[str], tx: Tx) -> list[tuple[str, int, int]]:
    return links.link_positions(tx, org, vaults)


def _active_and_revoked(now: int, tx: Tx) -> tuple[frozenset[tuple[str, str]], frozenset[str]]:
    return agents.active_agents(tx), revoked_serials(tx, now)


def _offer_bundles(org: str, vaults: list[str], tx: Tx) -> list[outbox.OfferedBundle]:
    return outbox.offer_bundles(tx, org, vaults)


def log_connection_error(error: BaseException) -> None:
    """What a connection failed of: the wire is the agent's matter, anything else is ours."""
    if isinstance(error, TransportError):
        log.debug("connection ended: %s", error.reason)
    else:
        log.error("connection failed: %s", locate(error))
