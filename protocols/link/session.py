"""One session of the link, either end, without I/O.

Frames go in, events come out; messages go in, frames come out. The owner brings a connection
(`protocols.link.transport`), an `Outbox` and an `Inbox`, a nonce that was never used, and the time:

    config = SessionConfig(
        channel=…, signer=…, verifier=…, nonce=…,
        outbox=await outbox.state(), cursor=await inbox.cursor(),
    )
    session = LinkSession.agent(config, now())

    for event in session.receive_frame(frame, now()):     # a frame came
        match event:
            case SessionOpened():
                session.send_message(registration)        # no outbox: lost with the connection
            case MessageReceived(id=0, message=message):
                handle(message)
            case MessageReceived(id=id_, message=message):
                # The effect and the cursor are one transaction. Acknowledge after it.
                await inbox.apply(session.peer_stream, id_, message)
                session.mark_applied(id_)
            case MessagesSkipped(last=last):
                await inbox.apply(session.peer_stream, last, None)
                session.mark_applied(last)
            case MessagesAcknowledged(through=through):
                await outbox.acknowledge(through)

    session.tick(now())                                   # at session.deadline at the latest

    while (room := session.window_room):                  # the outbox has something
        batch = await outbox.read(session.last_sent, room)
        if batch.through == session.last_sent:
            break
        session.send_batch(batch)

    for frame in session.take_frames(now()):              # after each of these, from one task
        await pipe.send(frame)
    if session.is_ended:
        await pipe.aclose()

`RemoteFaultError` (from `receive_frame` and `tick`): close the connection, take nothing of that
frame, report its `fault`. `LocalFaultError`: our bug, nothing was sent; but
`OutboxRolledBackError` asks for a new stream. Calls are quick and none waits. The control plane's
end is `LinkSession.control`, used alike. Two sessions of one vault can overlap: `Inbox.apply`
refuses what is applied already.
"""

from collections import deque
from dataclasses import dataclass
from typing import Self

from msgspec import Raw

from protocols.link import codec, handshake
from protocols.link import messages as m
from protocols.link.delivery import (
    DurableReceiver,
    DurableSender,
    OutboxBatch,
    OutboxEntry,
    OutboxState,
)
from protocols.link.envelope import EPHEMERAL, NO_SESSION, Envelope
from protocols.link.errors import Fault, LinkError, LocalFaultError, RemoteFaultError
from protocols.link.fields import SIGNATURE_SIZE
from protocols.link.handshake import ChannelBinding
from protocols.link.limits import (
    CLOCK_SKEW_MS,
    CONTROL_PING_SECONDS,
    DEAD_SECONDS,
    DRAIN_SECONDS,
    FIRST_VERSION,
    HELLO_SECONDS,
    MAX_FRAME,
    MAX_QUEUED,
    PING_SECONDS,
    PINGS_A_MINUTE,
    VERSIONS,
)
from protocols.link.messages import MESSAGE_SPECS, Cursor, Delivery, Direction, Message, MessageType
from protocols.link.session_events import (
    MessageReceived,
    MessagesAcknowledged,
    MessagesSkipped,
    PeerLeaving,
    SessionCaughtUp,
    SessionEvent,
    SessionOpened,
)
from protocols.link.signing import Signer, Verifier
from protocols.link.states import (
    RECEIVABLE,
    RECEIVABLE_WHILE_DRAINING,
    SENDABLE,
    SessionState,
    Transition,
    next_state,
)
from protocols.link.vocabulary import ByeReason
from protocols.token_bucket import MINUTE, TokenBucket


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The time: seconds of a clock that only moves forward, and Unix milliseconds."""

    monotonic: float
    wall_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig:
    """One end of a connection that is about to begin a session."""

    channel: ChannelBinding
    """What TLS has proven about both."""
    signer: Signer
    """Our link key."""
    verifier: Verifier
    """The peer's: the agent's is on record at its enrolment, the control plane's came with it."""
    nonce: bytes
    """16 bytes that were never used before and that nobody can guess."""
    outbox: OutboxState
    cursor: Cursor
    """How far we have applied the peer's stream."""
    versions: tuple[int, ...] = VERSIONS
    """Of the link, that this end speaks."""
    dead: float = DEAD_SECONDS
    """Seconds of silence after which we hold the peer for gone; our pings keep its pace."""


class LinkSession:
    """See the module. Attributes without a leading underscore are for reading."""

    def __init__(self, direction: Direction, config: SessionConfig, now: ClockReading) -> None:
        """Use `agent` or `control`. `direction`: the way of our own frames."""
        self.state = SessionState.CONNECTING
        self.id = NO_SESSION
        self.version = FIRST_VERSION
        """That both ends speak, from `SessionOpened` on."""
        self.round_trip: float | None = None
        """Seconds from our last ping to its answer."""
        self._out = direction
        self._channel = config.channel
        self._config = config
        self._nonce = handshake.check_nonce(config.nonce)
        self._sender: DurableSender | None = None
        self._receiver: DurableReceiver | None = None
        self._guard = SequenceGuard(config.channel.vault, NO_SESSION, 0)
        agent = direction is Direction.TO_CONTROL
        self._dead_seconds = config.dead
        self._ping_seconds = (
            (PING_SECONDS if agent else CONTROL_PING_SECONDS) * config.dead / DEAD_SECONDS
        )
        self._seq = 0 if agent else 1
        self._queue: deque[tuple[MessageType, bytes, int]] = deque()
        self._pong: int | None = None
        self._proof_due = False
        self._peer_newest = 0
        self._peer_left = False
        self._began = self._last_received = self._pinged = now.monotonic
        self._pings = 0
        self._ping_bucket = TokenBucket(PINGS_A_MINUTE, PINGS_A_MINUTE / MINUTE, now.monotonic)
        self._left = 0.0

    @classmethod
    def agent(cls, config: SessionConfig, now: ClockReading) -> Self:
        """The agent's end; its `Hello` is among the first `take_frames`."""
        session = cls(Direction.TO_CONTROL, config, now)
        hello = m.Hello(
            versions=config.versions,
            org=config.channel.org,
            nonce=config.nonce,
            stream=config.outbox.stream,
            newest=config.outbox.newest,
            received=config.cursor,
        )
        session._queue_message(hello)
        session._step(Transition.GREET)
        return session

    @classmethod
    def control(cls, config: SessionConfig, now: ClockReading) -> Self:
        """The control plane's end; it waits for the `Hello` of the agent in `config.channel`."""
        return cls(Direction.TO_AGENT, config, now)

    # --- what the owner looks at ------------------------------------------------------------------

    @property
    def is_ended(self) -> bool:
        """Whether nothing more will come: after the last `take_frames`, close the connection."""
        return self.state is SessionState.CLOSED

    @property
    def peer_stream(self) -> bytes:
        """The stream that received ids belong to. Only after `SessionOpened`."""
        return self._handshake_done()[1].stream

    @property
    def last_sent(self) -> int:
        """The highest id that was put on its way: read the outbox behind it."""
        return self._handshake_done()[0].sent

    @property
    def window_room(self) -> int:
        """How many durable messages can be offered now."""
        if self._sender is None or self.state not in SENDABLE:
            return 0
        return max(0, min(self._sender.window_room, MAX_QUEUED - len(self._queue)))

    @property
    def deadline(self) -> float:
        """When `tick` is due, on the monotonic clock, if nothing happens before."""
        match self.state:
            case SessionState.CONNECTING | SessionState.HELLO_SENT:
                return self._began + HELLO_SECONDS
            case SessionState.DRAINING:
                return self._left + DRAIN_SECONDS
            case SessionState.CLOSED:
                return float("inf")
        ping = max(self._last_received, self._pinged) + self._ping_seconds
        return min(ping, self._last_received + self._dead_seconds)

    # --- what the owner does ----------------------------------------------------------------------

    def receive_frame(self, frame: bytes, now: ClockReading) -> list[SessionEvent]:
        """What a received frame means. Raises `RemoteFaultError`, and is closed then."""
        if self.state is SessionState.CLOSED:
            raise LocalFaultError("the session is closed")
        try:
            return self._receive(frame, now)
        except LinkError:
            self._fail()
            raise

    def tick(self, now: ClockReading) -> None:
        """Ping, or give up. Raises `RemoteFaultError` (`timeout`) when the peer is dead."""
        if now.monotonic < self.deadline:
            return
        if self.state is SessionState.DRAINING:
            self._step(Transition.END)
        elif (
            self.state not in SENDABLE or now.monotonic >= self._last_received + self._dead_seconds
        ):
            self._fail()
            raise RemoteFaultError(Fault.TIMEOUT, "the peer has fallen silent")
        else:
            self._pings += 1
            self._pinged = now.monotonic
            self._queue_message(m.Ping(number=self._pings))

    def send_message(self, message: Message) -> None:
        """Queue a message that is not durable. Raises `LocalFaultError`; nothing is queued then."""
        kind = m.MESSAGE_SPECS[codec.message_type_of(message)]
        if kind.session or kind.delivery is not m.Delivery.EPHEMERAL:
            raise LocalFaultError(f"{kind.name} is not a message to send: see its delivery")
        if self._out not in kind.directions:
            raise LocalFaultError(f"{kind.name} does not go this way")
        if kind.since > self.version:
            raise LocalFaultError(f"the peer's version {self.version} has no {kind.name}")
        self._check_sendable()
        self._queue_message(message)

    def send_batch(self, batch: OutboxBatch) -> None:
        """Queue what an outbox has behind `sent`, as far as there is room."""
        self._check_sendable()
        for id_, item in self._handshake_done()[0].frames_for(batch):
            if isinstance(item, OutboxEntry):
                self._queue.append((item.name, item.payload, id_))
            else:
                self._queue_message(item, id_)

    def mark_applied(self, through: int) -> list[SessionEvent]:
        """All received ids up to `through` are applied and durable: acknowledge them."""
        self._handshake_done()[1].mark_applied(through)
        return self._progress()

    def send_bye(self, reason: ByeReason, now: ClockReading, spread: int = 0) -> None:
        """End in order. `spread`: milliseconds over which peers should spread their return."""
        if self.state in SENDABLE:
            self._step(Transition.LEAVE)
            self._left = now.monotonic
            self._queue_message(m.Bye(reason=reason, spread=spread))
        elif self.state is not SessionState.DRAINING:
            self._fail()

    def take_frames(self, now: ClockReading) -> list[bytes]:
        """Everything that is due, signed, in the order in which it must be written."""
        if self._pong is not None:
            self._queue_message(m.Pong(number=self._pong))
            self._pong = None
        receiver = self._receiver
        untold = receiver is not None and receiver.acknowledged != receiver.applied
        if (
            not self._queue
            and self.state is not SessionState.CLOSED
            and (untold or self._proof_due)
        ):
            self._queue_message(m.Ack())
        sealed = [self._seal(*item, now) for item in self._queue]
        self._queue.clear()
        self._close_when_idle()
        return sealed

    # --- receiving --------------------------------------------------------------------------------

    def _receive(self, frame: bytes, now: ClockReading) -> list[SessionEvent]:
        opened = open_frame(frame, self._out.opposite, self._config.verifier, self.version)
        envelope, message = opened.envelope, opened.message
        allowed = RECEIVABLE.get((self.state, self._out.opposite), frozenset())
        if envelope.message_type not in (
            allowed & RECEIVABLE_WHILE_DRAINING if self._peer_left else allowed
        ):
            raise RemoteFaultError(Fault.STATE, f"{envelope.message_type} is out of place")
        match message:
            case m.Hello():
                self._hello(envelope, message, now)
                return []
            case m.Welcome():
                events = self._welcome(envelope, message, now)
            case _:
                self._guard.check_frame(envelope, now.wall_ms)
                events = self._in_session(envelope, message, now)
        self._last_received = now.monotonic
        events += self._progress()
        self._close_when_idle()
        return events

    def _hello(self, envelope: Envelope, hello: m.Hello, now: ClockReading) -> None:
        self._guard.check_frame(envelope, now.wall_ms)
        config, channel = self._config, self._channel
        version = handshake.check_hello(hello, envelope.vault_id, channel, config.versions)
        session = handshake.derive_session_id(channel, hello.nonce, self._nonce, version)
        self._begin(envelope, hello, session, version)
        self._guard = SequenceGuard(self._channel.vault, self.id, 1)
        welcome = m.Welcome(
            version=version,
            agent_nonce=hello.nonce,
            nonce=self._nonce,
            stream=config.outbox.stream,
            newest=config.outbox.newest,
            received=config.cursor,
        )
        self._queue_message(welcome)
        self._step(Transition.GREET)

    def _welcome(
        self, envelope: Envelope, welcome: m.Welcome, now: ClockReading
    ) -> list[SessionEvent]:
        handshake.check_welcome(welcome, self._nonce, self._config.versions)
        version = welcome.version
        session = handshake.derive_session_id(self._channel, self._nonce, welcome.nonce, version)
        self._guard = SequenceGuard(self._channel.vault, session, 1)
        self._guard.check_frame(envelope, now.wall_ms)
        self._begin(envelope, welcome, session, version)
        if welcome.newest < self._handshake_done()[1].applied:
            raise RemoteFaultError(Fault.ROLLBACK, "the peer's outbox is older than our cursor")
        self._proof_due = True
        return self._prove()

    def _begin(
        self, envelope: Envelope, peer: m.Hello | m.Welcome, session: bytes, version: int
    ) -> None:
        if envelope.ack:
            raise RemoteFaultError(Fault.ACK, "a greeting acknowledges by its cursor")
        self._sender = DurableSender(self._config.outbox, peer.received)
        self._receiver = DurableReceiver(peer.stream, self._config.cursor)
        self._peer_newest = peer.newest
        self.id, self.version = session, version

    def _prove(self) -> list[SessionEvent]:
        self._step(Transition.PROVE)
        events: list[SessionEvent] = [SessionOpened(self.id)]
        through = self._handshake_done()[0].acknowledged
        if through > self._config.outbox.acknowledged:
            events.append(MessagesAcknowledged(through))
        return events

    def _in_session(
        self, envelope: Envelope, message: Message, now: ClockReading
    ) -> list[SessionEvent]:
        sender, receiver = self._handshake_done()
        events = self._prove() if self.state is SessionState.HELLO_SENT else []
        if sender.apply_ack(envelope.ack):
            events.append(MessagesAcknowledged(sender.acknowledged))
        if envelope.id != EPHEMERAL:
            receiver.accept_message(envelope.id, message)
        match message:
            case m.Ack():
                pass
            case m.Ping(number=number):
                require_token(self._ping_bucket, now.monotonic)
                self._pong = number
            case m.Pong(number=number):
                self._answered(number, now)
            case m.Bye(reason=reason, spread=spread):
                self._peer_left = True
                self.send_bye(reason, now)
                events.append(PeerLeaving(reason, spread))
            case m.Skipped(first=first, reason=why):
                events.append(MessagesSkipped(first, envelope.id, why))
            case _:
                events.append(MessageReceived(envelope.id, message))
        return events

    def _answered(self, number: int, now: ClockReading) -> None:
        if not 0 < number <= self._pings:
            raise RemoteFaultError(Fault.STATE, "a pong without its ping")
        if number == self._pings:
            self.round_trip = now.monotonic - self._pinged

    # --- moving on --------------------------------------------------------------------------------

    def _progress(self) -> list[SessionEvent]:
        if self.state is not SessionState.SYNCING:
            return []
        sender, receiver = self._handshake_done()
        if sender.acknowledged < self._config.outbox.newest or receiver.applied < self._peer_newest:
            return []
        self._step(Transition.CATCH_UP)
        return [SessionCaughtUp()]

    def _close_when_idle(self) -> None:
        """Close once both have left and nothing is on its way."""
        if self.state is not SessionState.DRAINING or not self._peer_left or self._queue:
            return
        sender, receiver = self._handshake_done()
        if sender.is_idle and receiver.is_idle:
            self._step(Transition.END)

    def _step(self, by: Transition) -> None:
        self.state = next_state(self.state, by)

    def _fail(self) -> None:
        self._queue.clear()
        self._pong = None
        self._step(Transition.END)

    def _handshake_done(self) -> tuple[DurableSender, DurableReceiver]:
        if self._sender is None or self._receiver is None:
            raise LocalFaultError("the peer has not greeted yet")
        return self._sender, self._receiver

    def _check_sendable(self) -> None:
        if self.state not in SENDABLE:
            raise LocalFaultError(f"nothing can be sent while the session is {self.state}")

    # --- sending ----------------------------------------------------------------------------------

    def _queue_message(self, message: Message, id_: int = EPHEMERAL) -> None:
        if len(self._queue) > MAX_QUEUED:
            raise LocalFaultError("nobody writes the frames of this session")
        self._queue.append((codec.message_type_of(message), codec.encode_payload(message), id_))

    def _seal(self, name: MessageType, payload: bytes, id_: int, now: ClockReading) -> bytes:
        greeting = name in {MessageType.HELLO, MessageType.WELCOME}
        envelope = Envelope(
            version=FIRST_VERSION if greeting else self.version,
            timestamp=now.wall_ms,
            vault_id=self._channel.vault,
            session=NO_SESSION if name is MessageType.HELLO else self.id,
            seq=self._seq,
            ack=0 if greeting else self._handshake_done()[1].take_ack(),
            id=id_,
            message_type=name,
            payload=Raw(payload),
        )
        frame = seal_frame(envelope, self._out, self._config.signer)
        self._seq += 1
        self._proof_due &= greeting
        return frame


# Frames: an envelope, signed. What comes in is measured, then verified, then decoded.


@dataclass(frozen=True, slots=True)
class VerifiedFrame:
    """A frame that its peer has signed and that is well formed; not yet in its place."""

    envelope: Envelope
    message: Message


def seal_frame(envelope: Envelope, direction: Direction, signer: Signer) -> bytes:
    """The frame of an envelope whose payload is encoded already. Raises `LocalFaultError`."""
    data = codec.encode_struct(envelope)
    if SIGNATURE_SIZE + len(data) > MAX_FRAME:
        raise LocalFaultError(f"a frame has at most {MAX_FRAME} bytes")
    return signer.sign(direction, data) + data


def open_frame(
    frame: bytes, direction: Direction, verifier: Verifier, version: int = FIRST_VERSION
) -> VerifiedFrame:
    """What this frame of the peer's says, in this version. Raises `RemoteFaultError`.

    The checks in their order: `frame_size`, `signature`, `malformed`, `not_canonical`, `version`,
    `direction`, `durable_id`, then the payload's `malformed` and `not_canonical`.
    """
    if not SIGNATURE_SIZE < len(frame) <= MAX_FRAME:
        raise RemoteFaultError(Fault.FRAME_SIZE, f"a frame has 65 to {MAX_FRAME} bytes")
    signature, data = frame[:SIGNATURE_SIZE], frame[SIGNATURE_SIZE:]
    if not verifier.verify(direction, data, signature):
        raise RemoteFaultError(Fault.SIGNATURE, "the peer's link key has not signed this frame")
    envelope = codec.decode_struct(data, Envelope)
    _check(envelope, direction, version)
    return VerifiedFrame(envelope, codec.decode_payload(envelope.message_type, envelope.payload))


def _check(envelope: Envelope, direction: Direction, version: int) -> None:
    """What can be said of an envelope alone."""
    if envelope.version != version:
        raise RemoteFaultError(Fault.VERSION, f"version {version} is spoken here")
    kind = MESSAGE_SPECS[envelope.message_type]
    if kind.since > version:
        raise RemoteFaultError(Fault.VERSION, f"version {version} has no {kind.name}")
    if direction not in kind.directions:
        raise RemoteFaultError(Fault.DIRECTION, f"{kind.name} does not go this way")
    ephemeral = kind.delivery is Delivery.EPHEMERAL
    if ephemeral != (envelope.id == EPHEMERAL):
        raise RemoteFaultError(
            Fault.DURABLE_ID, f"{kind.name} has {'no id' if ephemeral else 'an id'}"
        )


# Each frame in its place: this vault, this session, the next number, about now.
#
# The session id is made from both sides' fresh nonces, so no frame of another connection fits;
# the sequence leaves no room to repeat, drop or move a frame within this one. The clock is only a
# check that nobody's is far off. Every breach closes the session: on an intact, ordered
# connection none of them happens by accident.


class SequenceGuard:
    """The receiving end's place in one direction of a session."""

    __slots__ = ("_seq", "_session", "_vault")

    def __init__(self, vault: str, session: bytes, seq: int) -> None:
        """The next frame must be of `session` and have the number `seq`."""
        self._vault = vault
        self._session = session
        self._seq = seq

    def check_frame(self, envelope: Envelope, now_ms: int) -> None:
        """Take the frame's number, or raise `RemoteFaultError` and change nothing.

        Faults, in this order: `vault`, `session`, `sequence`, `clock`.
        """
        if envelope.vault_id != self._vault:
            raise RemoteFaultError(Fault.VAULT, "the frame names another vault")
        if envelope.session != self._session:
            raise RemoteFaultError(Fault.SESSION, "the frame is of another session")
        if envelope.seq != self._seq:
            raise RemoteFaultError(Fault.SEQUENCE, f"frame {self._seq} was expected")
        check_clock(envelope.timestamp, now_ms)
        self._seq += 1


def check_clock(timestamp: int, now_ms: int) -> None:
    """Raise `RemoteFaultError` (`clock`) for a time more than `CLOCK_SKEW_MS` from ours."""
    if abs(timestamp - now_ms) > CLOCK_SKEW_MS:
        raise RemoteFaultError(Fault.CLOCK, "the peer's clock and ours differ by over 5 minutes")


def require_token(bucket: TokenBucket, monotonic: float) -> None:
    """Take a token. Raises `RemoteFaultError` (`flood`) when the bucket is empty."""
    if not bucket.try_consume(monotonic):
        raise RemoteFaultError(Fault.FLOOD, "the peer asks faster than it may")
