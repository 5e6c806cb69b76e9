"""Keeps the agent linked: connect, talk, after a loss come back with backoff and full jitter."""

import logging
from collections.abc import Callable
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol
from uuid import UUID

import trio

from actors import World
from protocols.link import backoff
from protocols.link.errors import Fault, LinkError, OutboxRolledBackError, RemoteFaultError
from protocols.link.handshake import ChannelBinding
from protocols.link.limits import DEAD_SECONDS
from protocols.link.messages import PolicyReplay
from protocols.link.session import SessionConfig
from protocols.link.signing import Verifier, sha256
from protocols.link.transport import LinkTransport
from protocols.link.vocabulary import AlertCode, ByeReason, Severity, SyncPhase
from vault.control_link.addresses import ControlPlaneAddresses
from vault.control_link.connection import IntakeRates, LinkConnection, wait_event
from vault.control_link.egress_chain import EgressStream
from vault.control_link.egress_ledger import EgressRecorder
from vault.control_link.identity import AgentCredential
from vault.control_link.inbox import MAX_UNANSWERED, SqlInbox
from vault.control_link.outbox import SqlOutbox
from vault.errors import UnavailableError

log: Final = logging.getLogger("freehold.uplink")
NO_TROUBLE: Final = ""
STALL_MESSAGE: Final = (
    f"{MAX_UNANSWERED} commands and bundles are unfinished or unacknowledged: new ones are refused "
    "until the control plane acknowledges some"
)
STEADY_AFTER: Final = 30.0
"""Seconds that a session must have lasted for the next attempt to count as the first: a control
plane that lets agents in and cuts them off at once has them come as seldom as one that is away."""


class Dialer(Protocol):
    """Connects to the control plane: `tls_dialer.TlsDialer`, or a pipe within the process."""

    async def __call__(self, nursery: trio.Nursery, credential: AgentCredential) -> LinkTransport:
        """A transport whose peer is proven to be the control plane. Raises `TransportError`."""
        ...


class LinkTimeouts(NamedTuple):
    """Seconds: of silence until a peer counts as gone, and at most until it is tried again."""

    dead: float = DEAD_SECONDS
    reconnect: float = backoff.CAP_SECONDS


# The agent's own view of its link, as a table: the design's diagram of online and offline.
#
# ```
# online:   syncing ⇄ operating          offline:  local-only ⇄ queueing
# ```
#
# The words are those that the control plane is told (`protocols.link.vocabulary.SyncPhase`):
# `online` is the design's "operating", `offline` its "local-only".


@unique
class PhaseEvent(StrEnum):
    """What moves the view on."""

    OPENED = "opened"
    """Both ends have proven themselves."""
    CAUGHT_UP = "caught_up"
    """What waited on either side is through, and no policy waits to be applied."""
    POLICY = "policy"
    """A bundle has come and is not applied yet."""
    LOST = "lost"
    """The connection is gone."""
    QUEUED = "queued"
    """Something for the control plane has been put into the outbox."""
    EMPTIED = "emptied"
    """Nothing is in the outbox."""


_ONLINE: Final = (SyncPhase.SYNCING, SyncPhase.ONLINE)
_OFFLINE: Final = (SyncPhase.OFFLINE, SyncPhase.QUEUEING)

TRANSITIONS: Final = MappingProxyType(
    {
        **{(phase, PhaseEvent.OPENED): SyncPhase.SYNCING for phase in SyncPhase},
        **{(phase, PhaseEvent.LOST): SyncPhase.OFFLINE for phase in _ONLINE},
        **{(phase, PhaseEvent.LOST): phase for phase in _OFFLINE},
        **{(phase, PhaseEvent.CAUGHT_UP): SyncPhase.ONLINE for phase in _ONLINE},
        **{(phase, PhaseEvent.POLICY): SyncPhase.SYNCING for phase in _ONLINE},
        **{(phase, PhaseEvent.QUEUED): SyncPhase.QUEUEING for phase in _OFFLINE},
        **{(phase, PhaseEvent.EMPTIED): SyncPhase.OFFLINE for phase in _OFFLINE},
    }
)
"""(phase, step) → phase. What is missing changes nothing: an outbox that fills or empties while
online, a policy or a caught-up session that is told after its connection was lost."""


def next_phase(phase: SyncPhase, by: PhaseEvent) -> SyncPhase:
    """The phase that follows."""
    return TRANSITIONS.get((phase, by), phase)


class PhaseTracker:
    """The agent's view of its link, and since when (Unix nanoseconds)."""

    def __init__(self, world: World, moved: Callable[[], None]) -> None:
        """`moved` is called after each change."""
        self._world = world
        self._moved = moved
        self.current = SyncPhase.OFFLINE
        self.since = world.now()

    def advance(self, by: PhaseEvent) -> None:
        """Move on, if that moves anything."""
        found = next_phase(self.current, by)
        if found is not self.current:
            self.current, self.since = found, self._world.now()
            self._moved()


class Connector:
    """One connection at a time, for as long as there is a credential."""

    def __init__(
        self,
        *,
        dial: Dialer,
        outbox: SqlOutbox,
        inbox: SqlInbox,
        egress: EgressRecorder,
        phase: PhaseTracker,
        on_opened: Callable[[LinkConnection], None],
        on_observed: Callable[[], None],
        on_replay_query: Callable[[PolicyReplay], None],
        alert: Callable[[AlertCode, Severity], None],
        timeouts: LinkTimeouts,
        world: World,
        addresses: ControlPlaneAddresses | None = None,
    ) -> None:
        """`addresses`: those that `dial` goes by; told to turn when one does not serve."""
        self._addresses = addresses or ControlPlaneAddresses((), world)
        self._dial = dial
        self._outbox = outbox
        self._inbox = inbox
        self._egress = egress
        self._phase = phase
        self._on_opened = on_opened
        self._on_observed = on_observed
        self._on_replay_query = on_replay_query
        self._alert = alert
        self._timeouts = timeouts
        self._world = world
        self._rates = IntakeRates.unused(world.monotonic())
        self._credential: AgentCredential | None = None
        self._changed = trio.Event()
        self._ended = trio.Event()
        self._over = False
        self._reported_trouble = NO_TROUBLE
        self._served = False
        self.connection: LinkConnection | None = None
        """The one that is open now."""
        self.connected_at = 0
        self.attempts = 0
        """Since the last session was open."""
        self._tries = 0
        """Since the last session that was steady."""
        self._opened_at = float("inf")
        self.faults = 0
        """Sessions that the control plane's breaking of the protocol has ended, since the start."""
        self.trouble = ""
        """Why the last attempt or session ended; empty while one is open."""

    def set_credential(self, credential: AgentCredential) -> None:
        """From now on be this; an open session ends in order and comes back as it."""
        self._credential = credential
        self._changed.set()
        if self.connection is not None:
            self.connection.leave(ByeReason.RENEWED)

    def reconnect(self) -> None:
        """End the open session in order, and begin another one at once."""
        if self.connection is not None:
            self._changed.set()
            self.connection.leave(ByeReason.RESTART)

    def notify_outbox(self) -> None:
        """The outbox has something new."""
        if self.connection is not None:
            self.connection.notify_outbox()

    async def shut_down(self) -> None:
        """End the open session in order, and begin no other. Returns once it is gone."""
        self._over = True
        if self.connection is not None:
            self.connection.leave(ByeReason.SHUTDOWN)
            await self._ended.wait()

    async def run(self) -> None:
        """Stay linked until it is ended or cancelled."""
        while not self._over:
            if self._credential is None:
                await self._changed.wait()
            self._changed = trio.Event()
            if (credential := self._credential) is None:
                continue
            spread = await self._attempt(credential)
            pause = backoff.reconnect_delay(
                self._tries, self._world.jitter(), spread, self._timeouts.reconnect
            )
            self.attempts += 1
            self._tries += 1
            await wait_event(self._changed, pause)

    async def _attempt(self, credential: AgentCredential) -> int:
        """One connection from its beginning to its end; returns the peer's wish to spread."""
        conversation, self._served = None, False
        try:
            async with trio.open_nursery() as nursery:
                pipe = await self._dial(nursery, credential)
                conversation = await self._begin(credential, pipe)
                await conversation.run()
                nursery.cancel_scope.cancel()
            self.trouble = "the session was ended in order"
        except* OutboxRolledBackError:
            log.warning("the outbox is an older copy than the control plane has met: a new stream")
            await self._outbox.restart()
        except* (LinkError, UnavailableError) as group:
            self.faults += any(_is_fault(error) for error in _flat(group))
            self._report_trouble("; ".join(dict.fromkeys(str(error) for error in _flat(group))))
        finally:
            self.connection = None
            if self._world.monotonic() - self._opened_at >= STEADY_AFTER:
                self._tries = 0
            self._opened_at = float("inf")
            self._phase.advance(PhaseEvent.LOST)
            self._ended.set()
        spread = 0 if conversation is None else conversation.spread
        if spread or not self._served:  # its process ends, or does not let us in
            self._addresses.use_next()
        return spread

    async def _begin(self, credential: AgentCredential, pipe: LinkTransport) -> LinkConnection:
        enrolment = credential.enrolment
        await self._switch_peer(credential)
        channel = ChannelBinding(
            org=enrolment.org,
            vault=enrolment.vault,
            agent_certificate=credential.fingerprint,
            control_certificate=sha256(pipe.peer_certificate),
        )
        config = SessionConfig(
            channel=channel,
            signer=credential.signer,
            verifier=Verifier([enrolment.link_key]),
            nonce=UUID(self._world.new_id()).bytes,
            outbox=await self._outbox.state(),
            cursor=await self._inbox.cursor(),
            dead=self._timeouts.dead,
        )
        sending = EgressStream(
            kind="frame",
            peer=self._addresses.address_for(enrolment.endpoint),
            path="/link/v1",
            connection=self._world.new_id(),
        )
        return LinkConnection(
            pipe=pipe,
            config=config,
            outbox=self._outbox,
            inbox=self._inbox,
            egress=self._egress,
            stream=sending,
            observer=self,
            world=self._world,
            rates=self._rates,
        )

    async def _switch_peer(self, credential: AgentCredential) -> None:
        """After enrolling elsewhere: a new stream with what is owed, and nothing of the old peer.

        In this order: repeated after a crash in between, it comes to the same.
        """
        known = await self._inbox.peer()
        if known == credential.peer:
            return
        if known is not None:
            await self._outbox.restart()
        await self._inbox.switch_peer(credential.peer)

    def _report_trouble(self, trouble: str) -> None:
        """Why it is not linked, once for each reason."""
        if trouble != self._reported_trouble:
            self._reported_trouble = trouble
            log.warning("not linked to the control plane: %s", trouble)
        self.trouble = trouble

    # --- what a conversation tells (`ConnectionObserver`) -----------------------------------------

    def on_opened(self, conversation: LinkConnection) -> None:
        """See `ConnectionObserver`."""
        self._phase.advance(
            PhaseEvent.OPENED
        )  # before anything can be said: a registration comes first
        self.connection, self._ended = conversation, trio.Event()
        self._served = True
        self.connected_at, self._opened_at = self._world.now(), self._world.monotonic()
        self.attempts, self.trouble, self._reported_trouble = 0, NO_TROUBLE, NO_TROUBLE
        log.info("linked to the control plane")
        self._on_opened(conversation)

    def on_caught_up(self) -> None:
        """See `ConnectionObserver`."""
        self._phase.advance(PhaseEvent.CAUGHT_UP)

    def on_observed(self) -> None:
        """See `ConnectionObserver`."""
        self._on_observed()

    def on_replay_query(self, question: PolicyReplay) -> None:
        """See `ConnectionObserver`."""
        self._on_replay_query(question)

    async def on_acknowledged(self) -> None:
        """See `ConnectionObserver`."""
        if not (await self._outbox.backlog()).messages:
            self._phase.advance(PhaseEvent.EMPTIED)

    async def on_data_loss(self) -> None:
        """See `ConnectionObserver`."""
        log.error("the control plane has lost what it had acknowledged, or we have")
        self._alert(AlertCode.STORE_ROLLED_BACK, Severity.CRITICAL)

    def on_stalled(self) -> None:
        """See `ConnectionObserver`."""
        self.trouble = STALL_MESSAGE
        log.error(STALL_MESSAGE)

    def on_resumed(self) -> None:
        """See `ConnectionObserver`."""
        self.trouble = NO_TROUBLE
        log.info("the control plane's messages are taken again")


def _is_fault(error: BaseException) -> bool:
    """Whether the peer broke the protocol; silence is none of that."""
    return isinstance(error, RemoteFaultError) and error.fault is not Fault.TIMEOUT


def _flat(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _flat(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
