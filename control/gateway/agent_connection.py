"""One connected agent: an actor whose mailbox is its connection and one wake-up event.

Two tasks share the session, which never blocks: one reads frames, has them applied and answers, the
other writes everything else. Most of an agent's traffic is pings, and a ping wakes one task only;
timers are shared by all connections (`deadlines`). A crash ends the connection and nothing else;
the agent reconnects, and everything durable is in the store.

Rate limits bound what one connection can make the writer store though it is not part of a durable
stream (which has its window and cursor; pings have a limit of the session's own). They do not bound
an agent that reconnects for each message. Each connection costs a write by itself; an agent has a
bounded number of them at a time (`gateway.MAX_CONNECTIONS_PER_AGENT`), its address a bounded number
of handshakes (`connection_admission`), and writes are made in batches. Locking the agent ends it.
"""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol, Self

import trio

from actors import World
from control.errors import ControlError
from control.gateway.deadlines import Deadlines
from control.gateway.link_observer import LinkObserver
from control.model.agents import Health
from control.model.conditions import KEY_PROVIDER_FAILED, WORKERS_FAILING
from control.model.links import AgentLink
from control.services.presence import PresenceTracker
from protocols.link import messages as m
from protocols.link import session_events as e
from protocols.link.delivery import OutboxBatch
from protocols.link.errors import LinkError, OutboxRolledBackError, TransportError
from protocols.link.messages import MessageType
from protocols.link.session import ClockReading, LinkSession, SessionConfig, require_token
from protocols.link.states import SENDABLE
from protocols.link.transport import LinkTransport
from protocols.link.vocabulary import (
    ByeReason,
    KeyProvidersState,
    SkipReason,
    SyncPhase,
    WorkersState,
)
from protocols.link.vocabulary import Health as ReportedHealth
from protocols.pki.chain import VerifiedAgent as Peer
from protocols.pki.names import AgentName
from protocols.token_bucket import MINUTE, TokenBucket

_WAITING: Final = frozenset({MessageType.COMMAND, MessageType.NOTIFICATION})
_MILLI: Final = 10**6
REGISTRATIONS_PER_MINUTE: Final = 1
"""Agents register once in a session. With it goes the bundle anew, if the agent has lost it."""
HEALTH_CHANGES_PER_MINUTE: Final = 10
"""Changes of health and phase that are put on record. Those beyond are told with a later heartbeat,
if they last: of the shortest 1 s, most commonly of a minute."""
REPLAY_RESULTS_PER_MINUTE: Final = 80
"""And as many at once. An agent ends a session with more than 60 questions at once and 60 a minute,
and works on 8 more from before."""
VAULTS_PER_MINUTE: Final = 2
"""Agents say their vault once in a session, and again when it is initialized after that."""
REPORTS_PER_MINUTE: Final = 4
"""Reports of backups, and of rotations, that are put on record. Agents send one of each with each
heartbeat; few are news."""


class ConnectionRateLimits(NamedTuple):
    """The limits of one connection; the next one begins with all of them unused."""

    registrations: TokenBucket
    health_changes: TokenBucket
    replay_results: TokenBucket
    vaults: TokenBucket
    backups: TokenBucket
    rotations: TokenBucket

    @classmethod
    def unused(cls, now: float) -> Self:
        """All of them unused."""
        a_minute = (
            *(REGISTRATIONS_PER_MINUTE, HEALTH_CHANGES_PER_MINUTE, REPLAY_RESULTS_PER_MINUTE),
            *(VAULTS_PER_MINUTE, REPORTS_PER_MINUTE, REPORTS_PER_MINUTE),
        )
        return cls(*(TokenBucket(each, each / MINUTE, now) for each in a_minute))


class DurableLink(Protocol):
    """What it needs of `control.gateway.link_store.LinkStore`."""

    async def claim_link(self, name: AgentName) -> AgentLink | None:
        """See `LinkStore`."""
        ...

    async def restart_stream(self, name: AgentName) -> None:
        """See `LinkStore`."""
        ...

    async def read_outbox(self, name: AgentName, after: int, limit: int) -> OutboxBatch:
        """See `LinkStore`."""
        ...

    async def apply_message(
        self, name: AgentName, stream: bytes, through: int, message: m.Message | None
    ) -> None:
        """See `LinkStore`."""
        ...

    async def record_lost(self, name: AgentName, stream: bytes, first: int, last: int) -> None:
        """See `LinkStore`."""
        ...

    async def record_registration(
        self, name: AgentName, message: m.Registration, acknowledged: int
    ) -> None:
        """See `LinkStore`."""
        ...

    async def record_acknowledged(self, name: AgentName, through: int) -> None:
        """See `LinkStore`."""
        ...

    async def record_health(
        self, name: AgentName, health: str, sync: str, codes: frozenset[str] | None
    ) -> Health:
        """See `LinkStore`."""
        ...

    async def record_vault(self, name: AgentName, vault: bytes) -> None:
        """See `LinkStore`."""
        ...

    async def record_backups(self, name: AgentName, told: m.Backups) -> None:
        """See `LinkStore`."""
        ...

    async def record_rotations(
        self, name: AgentName, told: m.Rotations, clients: m.Clients | None
    ) -> None:
        """See `LinkStore`."""
        ...

    async def record_replay_result(self, name: AgentName, told: m.ReplayResult) -> None:
        """See `LinkStore`."""
        ...


class ConnectionContext(NamedTuple):
    """What all connections share."""

    link_store: DurableLink
    presence: PresenceTracker
    world: World
    on_opened: Callable[["AgentConnection"], None]
    """Called when an agent has proven itself."""
    observer: LinkObserver
    deadlines: Deadlines


class AgentConnection:
    """One connection. Attributes without a leading underscore are for reading."""

    __slots__ = (
        *(
            "_context",
            "_sent_replays",
            "_condition_codes",
            "_epoch",
            "_expires",
            "_failure",
            "_newest",
            "_recorded_backups",
            "_recorded_health",
            "_clients",
            "_recorded_rotations",
            "_superseded_by",
            "_over",
        ),
        *(
            "_unacknowledged",
            "_rate_limits",
            "_pipe",
            "_ready",
            "_session",
            "_wake",
            "_watched",
            "_providers_fail",
            "_workers_fail",
            "_writing",
        ),
        *("acknowledged", "bundle", "health", "name", "serial", "since", "sync"),
    )

    def __init__(
        self,
        peer: Peer,
        pipe: LinkTransport,
        link: AgentLink,
        config: SessionConfig,
        context: ConnectionContext,
    ) -> None:
        """`peer` was admitted; `link` and `config` hold the states of its streams."""
        self.name = peer.name
        self.serial = peer.leaf.serial
        self.bundle = link.bundle
        """Version of the bundle that it was offered last."""
        self.health = ""
        self.sync = ""
        self.since = context.world.now()
        self._pipe = pipe
        self._context = context
        self._expires = peer.leaf.not_after
        self._newest = link.newest
        self._ready: OutboxBatch | None = None
        self.acknowledged = link.acknowledged
        self._unacknowledged = link.newest > link.acknowledged
        self._failure: Exception | None = None
        self._epoch = 0
        self._sent_replays: set[bytes] = set()
        self._superseded_by = 0
        self._over = False
        self._wake = trio.Event()
        self._watched = False
        self._writing = False
        self._condition_codes: frozenset[str] | None = None
        self._workers_fail = self._providers_fail = False
        self._recorded_backups: m.Backups | None = None
        self._clients: m.Clients | None = None
        self._recorded_rotations: tuple[m.Rotations, m.Clients | None] | None = None
        self._recorded_health: tuple[str, str, frozenset[str] | None] | None = None
        self._rate_limits = ConnectionRateLimits.unused(context.world.monotonic())
        self._session = LinkSession.control(config, self._now())

    async def run(self) -> None:
        """Until the connection is over.

        Raises `RemoteFaultError` when the agent broke the protocol, `TransportError` when it is
        gone, `ControlError` when the store does not work: what was acknowledged is durable either
        way.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run_guarded, self._write, nursery)
                await self._run_guarded(self._read, nursery)
        finally:
            self._over = True
        if isinstance(self._failure, OutboxRolledBackError):
            await self._context.link_store.restart_stream(self.name)
        if self._failure is not None:
            raise self._failure

    def notify_waiting(self, newest: int, ready: OutboxBatch | None = None) -> None:
        """A message waits for the agent, up to the id `newest`; `ready` if it is at hand."""
        self._newest = max(self._newest, newest)
        self._ready = ready
        self._wake.set()

    def notify_if_newer(self, newest: int) -> None:
        """The newest id by the store: usually nothing new."""
        if newest > self._newest:
            self.notify_waiting(newest)

    @property
    def due(self) -> float:
        """See `TimedConnection`: when it has to be roused, while it is at rest with a session."""
        rests = self._session.state in SENDABLE and not self._over
        return self._next_deadline() if rests else float("inf")

    def wake(self) -> None:
        """See `TimedConnection`."""
        self._wake.set()

    def observe(self, seconds: int) -> None:
        """Have the agent report more of itself for so long, if it is ready for a message."""
        if self._session.state in SENDABLE:
            self._session.send_message(m.Observe(seconds=seconds))
            self._wake.set()

    def send_replay(self, replay: m.PolicyReplay) -> bool:
        """Send the request, once on this connection; False if the agent's version lacks it.

        If the agent is not ready for a message now, the request has to be repeated later.
        """
        if m.spec_of(replay).since > self._session.version:
            return False
        if self._session.window_room and replay.replay_id not in self._sent_replays:
            self._sent_replays.add(replay.replay_id)
            self._session.send_message(replay)
            self._wake.set()
        return True

    def supersede(self, epoch: int) -> None:
        """A connection of this epoch is the active one; an earlier one ends."""
        self._superseded_by = max(self._superseded_by, epoch)
        if self._epoch and self._superseded_by > self._epoch:
            self.close(ByeReason.REPLACED)

    def close(self, reason: ByeReason, spread: int = 0) -> None:
        """Close the session.

        `spread`: milliseconds over which the agent should spread its return.
        """
        self._session.send_bye(reason, self._now(), spread)
        self._wake.set()

    async def _run_guarded(
        self, task: Callable[[], Awaitable[None]], nursery: trio.Nursery
    ) -> None:
        try:
            await task()
        except (LinkError, ControlError) as error:
            self._failure = self._failure or error
        nursery.cancel_scope.cancel()

    # --- writing ----------------------------------------------------------------------------------

    async def _write(self) -> None:
        session = self._session
        while True:
            self._wake = trio.Event()
            await self._send_waiting()
            await self._send()
            if session.is_ended:
                return
            await self._wait_idle()
            session.tick(self._now())

    async def _wait_idle(self) -> None:
        if self._session.state in SENDABLE:
            if not self._watched:
                self._watched = True
                self._context.deadlines.add_connection(self)
            await self._wake.wait()
        else:  # short, and a time that may come closer
            with trio.move_on_after(
                max(0.0, self._next_deadline() - self._context.world.monotonic())
            ):
                await self._wake.wait()
        if self._context.world.wall() >= self._expires:
            raise TransportError("expired", "the agent's certificate has expired")

    def _next_deadline(self) -> float:
        left = (self._expires - self._context.world.wall()) / 1e9
        return min(self._session.deadline, self._context.world.monotonic() + left)

    async def _send_waiting(self) -> None:
        """Have the session send waiting messages, as far as there is room."""
        session = self._session
        while (
            session.state in SENDABLE and session.last_sent < self._newest and session.window_room
        ):
            ready, self._ready = self._ready, None
            if ready is None or ready.after != session.last_sent:
                ready = await self._context.link_store.read_outbox(
                    self.name, session.last_sent, session.window_room
                )
            if ready.through == session.last_sent or session.state not in SENDABLE:
                return
            self._unacknowledged = self._unacknowledged or any(
                x.name in _WAITING for x in ready.entries
            )
            session.send_batch(ready)
            await self._send()

    async def _send(self) -> None:
        """Write all frames that are due, unless the other task is writing: then that one does."""
        if self._writing:
            return
        self._writing = True
        try:
            while frames := self._session.take_frames(self._now()):
                for frame in frames:
                    await self._pipe.send(frame)
        finally:
            self._writing = False

    # --- reading ----------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            frame = await self._pipe.receive()
            if self._session.is_ended:
                await (
                    trio.sleep_forever()
                )  # its last words are being written, then we are cancelled
            for event in self._session.receive_frame(frame, self._now()):
                await self._handle_event(event)
            await self._flush_reply()

    async def _flush_reply(self) -> None:
        """Write what follows, unless it is more than an answer: then the writer does."""
        session = self._session
        if session.state in SENDABLE and session.last_sent >= self._newest:
            await self._send()
        else:
            self._wake.set()

    async def _handle_event(self, event: e.SessionEvent) -> None:
        match event:
            case e.SessionOpened():
                self._context.on_opened(self)
                await self._claim_link()
                self._wake.set()  # the time for greeting is over
            case e.MessageReceived(id=0, message=message):
                await self._handle_transient(message)
            case e.MessageReceived(id=id_, message=message):
                self._record_contact()
                await self._context.link_store.apply_message(
                    self.name, self._session.peer_stream, id_, message
                )
                if isinstance(message, m.Alert):
                    # It may be of long ago: the next heartbeat reports the present.
                    self._recorded_health = None
                self._mark_applied(id_)
                self._context.observer.on_message(*self.name, message)
            case e.MessagesSkipped(first=first, last=last, reason=reason):
                stream = self._session.peer_stream
                if reason is SkipReason.ACKNOWLEDGED:
                    await self._context.link_store.record_lost(self.name, stream, first, last)
                else:
                    await self._context.link_store.apply_message(self.name, stream, last, None)
                self._mark_applied(last)
            case e.MessagesAcknowledged(through=through):
                self.acknowledged = through
                if self._unacknowledged:
                    await self._context.link_store.record_acknowledged(self.name, through)
                    self._unacknowledged = through < self._newest
            case _:
                pass

    async def _claim_link(self) -> None:
        link = await self._context.link_store.claim_link(self.name)
        if link is not None:
            self._epoch, self.bundle = link.epoch, max(self.bundle, link.bundle)
            self.supersede(0)  # what came while we asked
            self.notify_waiting(link.newest)

    async def _handle_transient(self, message: m.Message) -> None:
        """Handle a message that is not part of a stream.

        Raises `RemoteFaultError` (`flood`) for a rate that no agent needs.
        """
        self._record_contact()
        now = self._context.world.monotonic()
        match message:
            case m.Registration():
                require_token(self._rate_limits.registrations, now)
                await self._context.link_store.record_registration(
                    self.name, message, self.acknowledged
                )
            case m.Conditions():
                self._condition_codes = frozenset(map(str, message.codes))
            case m.Workers():
                self._workers_fail = message.state is WorkersState.FAILING
            case m.KeyProviders():
                self._providers_fail = message.state is KeyProvidersState.FAILING
            case m.Heartbeat():
                await self._report_health(str(message.health), self.sync)
            case m.SyncState():
                await self._report_health(self.health, str(message.phase))
            case m.Vault():
                require_token(self._rate_limits.vaults, now)
                await self._context.link_store.record_vault(self.name, message.vault)
            case m.Backups():
                await self._report_backups(message)
            case m.Clients():
                self._clients = message  # a part of the `rotations` that follows
            case m.Rotations():
                await self._report_rotations(message)
            case m.ReplayResult():
                require_token(self._rate_limits.replay_results, now)
                await self._context.link_store.record_replay_result(self.name, message)
            case _:
                pass
        self._context.observer.on_message(*self.name, message)

    async def _report_health(self, health: str, sync: str) -> None:
        """Store the agent's health once it is complete, and synced unless something is wrong.

        Every connection begins by syncing, which is shown while it lasts and not worth a write.
        Changes faster than the limit are not stored either: what lasts is stored with a later
        message.
        """
        self.health, self.sync = health, sync
        codes = self._condition_codes
        if codes is not None and self._workers_fail:
            codes |= {WORKERS_FAILING}
        if codes is not None and self._providers_fail:
            codes |= {KEY_PROVIDER_FAILED}
        state = (health, sync, codes)
        if not (health and sync) or state == self._recorded_health:
            return
        if sync == SyncPhase.SYNCING and health == ReportedHealth.SERVING and not codes:
            return
        if self._rate_limits.health_changes.try_consume(self._context.world.monotonic()):
            self._recorded_health = state
            found = await self._context.link_store.record_health(self.name, health, sync, codes)
            self._context.presence.set_health(*self.name, found)

    async def _report_backups(self, told: m.Backups) -> None:
        """Store a report that is news. One beyond the limit is stored with a later message."""
        limit, now = self._rate_limits.backups, self._context.world.monotonic()
        if told != self._recorded_backups and limit.try_consume(now):
            self._recorded_backups = told
            await self._context.link_store.record_backups(self.name, told)

    async def _report_rotations(self, told: m.Rotations) -> None:
        """The same of rotations."""
        limit, now = self._rate_limits.rotations, self._context.world.monotonic()
        report = told, self._clients
        if report != self._recorded_rotations and limit.try_consume(now):
            self._recorded_rotations = report
            await self._context.link_store.record_rotations(self.name, *report)

    def _mark_applied(self, id_: int) -> None:
        if not self._session.is_ended:
            self._session.mark_applied(id_)

    def _record_contact(self) -> None:
        self._context.presence.record_known_message(*self.name)

    def _now(self) -> ClockReading:
        return ClockReading(self._context.world.monotonic(), self._context.world.wall() // _MILLI)
