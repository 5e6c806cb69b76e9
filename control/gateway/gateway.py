"""The gateway: admits agents, runs their connections, and sends them what is new.

Fan-out follows the store: agents with a bundle that they were not offered are found there, in
chunks, one transaction for a chunk. An event only says when to look; a lost one costs time, nothing
else.
"""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import Final, NamedTuple, NoReturn, Protocol

import trio
from msgspec.structs import replace

from actors import World
from control.ca.revocation import Revocation
from control.errors import AuthorizationError, ControlError
from control.gateway.agent_connection import AgentConnection, ConnectionContext
from control.gateway.deadlines import Deadlines
from control.gateway.link_observer import LinkObserver, NullLinkObserver
from control.gateway.link_store import LinkStore, inbox_cursor, outbox_state
from control.model.agents import Life
from control.model.records import Severity
from control.model.replays import State
from control.services import outbox, replays
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
from protocols.link.errors import Fault, OutboxRolledBackError, RemoteFaultError, TransportError
from protocols.link.handshake import ChannelBinding
from protocols.link.limits import DEAD_SECONDS, HELLO_SECONDS
from protocols.link.messages import PolicyReplay
from protocols.link.session import ClockReading, LinkSession, SessionConfig
from protocols.link.session_events import SessionOpened
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
ALERT_INTERVAL: Final = 3600.0  # seconds
REMEMBERED: Final = 20_000
"""Agents and kinds; what was told of longest ago is forgotten first."""
MAX_CONNECTIONS_PER_AGENT: Final = 4
"""Connections of one agent: one that counts, one that ends, and two that greet."""
REPLAYS_PER_TRANSACTION: Final = 50
"""Agents whose replay requests are read at once; one has up to 192 KiB of rules."""


class ReplayTarget(Protocol):
    """What it needs of `control.gateway.agent_connection.AgentConnection`."""

    name: AgentName

    def send_replay(self, replay: PolicyReplay) -> bool:
        """See `AgentConnection`."""
        ...


class _Dispatched(NamedTuple):
    """A request that was sent, or that the agent is too old for."""

    vault: str
    id: str
    state: State


class ReplayDispatcher:
    """Sends pending replay requests to the agents that are linked here."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world

    async def dispatch(self, linked: Iterable[ReplayTarget]) -> None:
        """Send these agents their pending requests. While the database is away nothing is sent."""
        by_org = sorted({agent.name: agent for agent in linked}.items())
        for org, group in groupby(by_org, key=lambda item: item[0].org):
            named = {name.vault: agent for name, agent in group}
            vaults = list(named)
            for start in range(0, len(vaults), REPLAYS_PER_TRANSACTION):
                try:
                    await self._dispatch_some(
                        org, vaults[start : start + REPLAYS_PER_TRANSACTION], named
                    )
                except ControlError as error:
                    log.warning("questions wait for the database: %s", error.code)

    async def _dispatch_some(
        self, org: str, vaults: list[str], named: dict[str, ReplayTarget]
    ) -> None:
        now = self._world.now()
        if not await self._store.read(partial(_has_pending, org, vaults, now)):
            return
        asked = await self._store.write(lambda tx: replays.pending_replays(tx, org, vaults, now))
        said = [
            _Dispatched(
                vault,
                question.replay_id.hex(),
                State.ASKED if named[vault].send_replay(question) else State.TOO_OLD,
            )
            for vault, question in asked
        ]
        await self._store.write(partial(_record_dispatched, org, said, now))


def _has_pending(org: str, vaults: Sequence[str], now: int, tx: Tx) -> bool:
    return replays.has_pending(tx, org, vaults, now)


def _record_dispatched(org: str, said: Sequence[_Dispatched], now: int, tx: Tx) -> None:
    for one in said:
        replays.record_state(tx, (org, one.id, one.vault), one.state, now)


class ConnectionSlot:
    """A registered connection, with the generation of the certificate that admitted it."""

    def __init__(self, scope: trio.CancelScope) -> None:
        self.scope = scope
        self.generation = 0


class Connections:
    """The connections of this process, by agent, and the active one of each."""

    def __init__(self) -> None:
        self._slots: dict[AgentName, list[ConnectionSlot]] = {}
        self._live: dict[AgentName, AgentConnection] = {}

    @contextmanager
    def register(self, name: AgentName) -> Iterator[ConnectionSlot]:
        """Register a connection of this agent for the length of the block.

        `disconnect` ends the block. To be entered before the agent is admitted: then the lock of an
        agent meanwhile finds it. Raises `TransportError` (`crowded`) when the agent has too many.
        """
        slots = self._slots.setdefault(name, [])
        if len(slots) >= MAX_CONNECTIONS_PER_AGENT:
            raise TransportError("crowded", "this agent has too many connections")
        with trio.CancelScope() as scope:
            slot = ConnectionSlot(scope)
            slots.append(slot)
            try:
                yield slot
            finally:
                slots.remove(slot)
                if not slots:
                    del self._slots[name]

    def set_active(self, agent: AgentConnection) -> None:
        """This connection has proven itself: it is the active one, and the one before closes."""
        before = self._live.get(agent.name)
        self._live[agent.name] = agent
        if before is not None and before is not agent:
            before.close(ByeReason.REPLACED)

    def remove_active(self, agent: AgentConnection) -> None:
        """This connection has ended."""
        if self._live.get(agent.name) is agent:
            del self._live[agent.name]

    def disconnect(self, name: AgentName, since: int = 0) -> None:
        """End all connections of this agent now; those by a certificate of `since` or later stay.

        0 ends all. Connections that are not admitted yet end, too: they may show an older
        certificate.
        """
        for slot in self._slots.get(name, ()):
            if not 0 < since <= slot.generation:
                slot.scope.cancel()

    def active_connection(self, org: str, vault: str) -> AgentConnection | None:
        """The agent's active connection."""
        return self._live.get(AgentName(org, vault))

    def active_connections(self) -> list[AgentConnection]:
        """The active connections, as of now."""
        return list(self._live.values())

    def __len__(self) -> int:
        return len(self._live)


class _LastAlert(NamedTuple):
    at: float
    """On the monotonic clock."""
    since: int
    """Times that were not told yet."""


class ProtocolAlerts:
    """Alerts about agents that break the protocol, or whose messages show that our database is old.

    At most one of each kind is fired an hour for each agent, with the number of occurrences.
    """

    def __init__(self, alerts: Alerts, world: World) -> None:
        self._alerts = alerts
        self._world = world
        self._last_alerts: OrderedDict[tuple[AgentName, str], _LastAlert] = OrderedDict()

    async def report_fault(self, name: AgentName, fault: Fault) -> None:
        """The connection has ended by this fault. Silence is presence, and no fault.

        Raises what the store raises.
        """
        if fault is Fault.TIMEOUT:
            return
        text = f"{name.vault} broke the link's protocol ({fault}) and was cut off"
        await self._fire(name, "link_fault", Severity.WARNING, text)

    async def report_rollback(self, name: AgentName) -> None:
        """The agent has messages that our outbox never gave: our database is an old copy.

        Raises what the store raises.
        """
        text = (
            f"agent {name.vault} acknowledged messages this database has no record of; "
            "the database was probably restored from a backup. Undelivered messages are sent again."
        )
        await self._fire(name, "link_lost", Severity.CRITICAL, text)

    async def _fire(self, name: AgentName, code: str, severity: Severity, text: str) -> None:
        key = name, code
        now, last = self._world.monotonic(), self._last_alerts.get(key)
        if last is not None and now - last.at < ALERT_INTERVAL:
            self._last_alerts[key] = last._replace(since=last.since + 1)
            return
        before = last.since if last is not None else 0
        self._last_alerts[key] = _LastAlert(now, 0)
        self._last_alerts.move_to_end(key)
        if len(self._last_alerts) > REMEMBERED:
            self._last_alerts.popitem(last=False)
        made = self._alerts.new_alert(*name, code, severity, text)
        await self._alerts.fire_alerts(replace(made, count=before + 1))


async def is_link_key_proven(pipe: LinkTransport, config: SessionConfig, world: World) -> bool:
    """Whether a peer with an older certificate opens a session, and so has the link key.

    The nonce is made after the certificate was found to be outdated, so the proof is new. Nothing
    that the peer sends beyond it is read. Raises `RemoteFaultError` for an invalid proof,
    `TransportError` when the peer is gone.
    """
    session = LinkSession.control(config, _now(world))
    with trio.move_on_after(HELLO_SECONDS):
        while True:
            frame = await pipe.receive()
            events = session.receive_frame(frame, _now(world))
            if any(isinstance(event, SessionOpened) for event in events):
                return True
            for answer in session.take_frames(_now(world)):
                await pipe.send(answer)
    return False


def _now(world: World) -> ClockReading:
    return ClockReading(world.monotonic(), world.wall() // 10**6)


class Gateway:
    """The gateway of a process.

    `serve_connection` runs in a connection's task, `run` in its own.
    """

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
        """`timeout`: seconds of silence after which a connection is closed."""
        self._store = store
        self._bus = bus
        self._presence = presence
        self._revocation = revocation
        self._link_store = link_store
        self._signer = signer
        self._world = world
        self._timeout = timeout
        self._observer = observer or NullLinkObserver()
        self.deadlines = Deadlines(world, timeout)
        self._connection_context = ConnectionContext(
            link_store, presence, world, self._on_opened, self._observer, self.deadlines
        )
        self._protocol_alerts = ProtocolAlerts(Alerts(store, bus, world), world)
        self._closing = False
        self.connections = Connections()
        self.replays = ReplayDispatcher(store, world)
        self.faults = 0
        """Connections that ended by a fault of the agent."""
        self.refused = 0
        """Connections of agents that do not count."""

    async def serve_connection(self, pipe: LinkTransport, peer: Peer, ours: bytes) -> None:
        """Serve one connection until it ends. Raises `TransportError`.

        `peer`: the agent that TLS has verified. `ours`: SHA-256 over the certificate that we
        showed.
        """
        try:
            with self.connections.register(peer.name) as slot:
                await self._serve(pipe, peer, ours, slot)
        except AuthorizationError as error:
            self.refused += 1
            log.warning("agent %s/%s refused: %s", *peer.name, error.code)
            await pipe.aclose(REFUSED)
        except RemoteFaultError as error:
            self.faults += 1
            log.warning("agent %s/%s broke the protocol: %s", *peer.name, error.fault)
            await pipe.aclose(str(error.fault))
            await self._report(
                peer.name, self._protocol_alerts.report_fault(peer.name, error.fault)
            )
        except OutboxRolledBackError:
            log.error("agent %s/%s acknowledged unknown messages: its stream restarts", *peer.name)  # noqa: TRY400
            await pipe.aclose()
            await self._report(peer.name, self._protocol_alerts.report_rollback(peer.name))
        except ControlError as error:
            log.error("agent %s/%s disconnected: %s", *peer.name, error.code)  # noqa: TRY400
            await pipe.aclose()

    async def run(self) -> None:
        """Send what is new, and close connections of ended agents, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_life_events)
            nursery.start_soon(self._follow_changes)
            nursery.start_soon(self._resync_periodically)
            nursery.start_soon(self.deadlines.run)

    def close_all(self) -> None:
        """Close every connection; agents are told over how long to spread their return."""
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
        self, pipe: LinkTransport, peer: Peer, ours: bytes, slot: ConnectionSlot
    ) -> None:
        known, outdated = await self._revocation.admit_peer(peer)
        # Admission confirms what it is shown, unless that is outdated: then it is older than this.
        slot.generation = 0 if outdated else known.confirmed
        link = await self._link_store.open_link(peer.name)
        channel = ChannelBinding(
            org=peer.name.org,
            vault=peer.name.vault,
            agent_certificate=sha256(pipe.peer_certificate),
            control_certificate=ours,
        )
        config = SessionConfig(
            channel=channel,
            signer=self._signer,
            verifier=Verifier([known.link_key]),
            nonce=new_stream_id(self._world),
            outbox=outbox_state(link),
            cursor=inbox_cursor(link),
            dead=self._timeout,
        )
        if outdated:
            await self._handle_outdated(pipe, peer, config)
        agent = AgentConnection(peer, pipe, link, config, self._connection_context)
        try:
            await agent.run()
        finally:
            self.connections.remove_active(agent)
            self._observer.on_unlinked(*agent.name, agent)

    async def _handle_outdated(
        self, pipe: LinkTransport, peer: Peer, config: SessionConfig
    ) -> NoReturn:
        """Handle an older certificate than the agent was seen with: a copy, or an old handshake.

        Raises `AuthorizationError`; the agent is locked if the peer has its link key.
        """
        if await is_link_key_proven(pipe, config, self._world):
            await self._revocation.lock_stolen(peer)
        raise AuthorizationError("certificate_outdated", "its agent was seen with a newer one")

    def _on_opened(self, agent: AgentConnection) -> None:
        self._presence.record_message(*agent.name)
        if self._closing:
            agent.close(ByeReason.RESTART, 1000)
            return
        self.connections.set_active(agent)
        self._observer.on_linked(*agent.name, agent)

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
        await self.offer_new_bundles(due)
        await self.replays.dispatch(questioned)

    async def offer_new_bundles(self, due: Iterable[AgentConnection]) -> None:
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
            found = await self._store.write(partial(_assign_bundle_ids, org, vaults))
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
        """Send every linked agent what the store has for it, whichever process has stored it."""
        await self.offer_new_bundles(self.connections.active_connections())
        await self.replays.dispatch(self.connections.active_connections())
        for org, agents_ in groupby(
            sorted(self.connections.active_connections(), key=_organization_of),
            key=_organization_of,
        ):
            linked = list(agents_)
            for start in range(0, len(linked), AGENTS_PER_TRANSACTION):
                await self._compare_links(org, linked[start : start + AGENTS_PER_TRANSACTION])

    async def _compare_links(self, org: str, linked: Sequence[AgentConnection]) -> None:
        """Waiting commands, and connections that another process has superseded."""
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
        """Close connections that the store does not allow any more, whichever process changed that.

        These are connections of agents that are not active, and of revoked certificates: the agent
        was replaced under its name.
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
                self._presence.forget(*agent.name)
            if not known or agent.serial in revoked:
                self.connections.disconnect(agent.name)


def _organization_of(agent: AgentConnection) -> str:
    return agent.name.org


def _link_states(org: str, vaults: list[str], tx: Tx) -> list[tuple[str, int, int]]:
    return links.link_positions(tx, org, vaults)


def _active_and_revoked(now: int, tx: Tx) -> tuple[frozenset[tuple[str, str]], frozenset[str]]:
    return agents.active_agents(tx), revoked_serials(tx, now)


def _assign_bundle_ids(org: str, vaults: list[str], tx: Tx) -> list[outbox.OfferedBundle]:
    return outbox.enqueue_bundles(tx, org, vaults)


def log_connection_error(error: BaseException) -> None:
    """Log why a connection failed: the wire is the agent's matter, anything else is ours."""
    if isinstance(error, TransportError):
        log.debug("connection ended: %s", error.reason)
    else:
        log.error("connection failed: %s", locate(error))
