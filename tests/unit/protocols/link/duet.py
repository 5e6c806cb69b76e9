"""Two ends of a link, their keys and a clock, for the tests beside."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.codec import decode_struct, encode_payload, message_type_of
from protocols.link.delivery import NO_CURSOR, OutboxBatch, OutboxEntry, OutboxState
from protocols.link.envelope import Envelope
from protocols.link.errors import Fault, LocalFaultError, RemoteFaultError
from protocols.link.handshake import ChannelBinding
from protocols.link.messages import Direction
from protocols.link.session import ClockReading, LinkSession, SessionConfig, seal_frame
from protocols.link.session_events import SessionEvent
from protocols.link.signing import LinkKey, Verifier

WALL = 1_790_000_000_000
AGENT_KEY = LinkKey.from_seed(b"a" * 32)
CONTROL_KEY = LinkKey.from_seed(b"c" * 32)
CHANNEL = ChannelBinding(
    org="acme", vault="prod", agent_certificate=b"A" * 32, control_certificate=b"C" * 32
)
UP, DOWN = b"u" * 16, b"d" * 16
"""The streams of the agent's and of the control plane's outbox."""


def fixed(label: str, size: int = 16) -> bytes:
    """Bytes that look random and are the same every time."""
    return hashlib.shake_256(label.encode()).digest(size)


def at(seconds: float) -> ClockReading:
    """So many seconds after the beginning."""
    return ClockReading(1000.0 + seconds, WALL + int(seconds * 1000))


def agent_end(outbox: OutboxState | None = None, cursor: m.Cursor = NO_CURSOR) -> SessionConfig:
    """The agent's, its outbox empty unless given."""
    return SessionConfig(
        channel=CHANNEL,
        signer=AGENT_KEY,
        verifier=Verifier([CONTROL_KEY.public]),
        nonce=fixed("agent nonce"),
        outbox=outbox or OutboxState(UP, 0, 0),
        cursor=cursor,
    )


def control_end(outbox: OutboxState | None = None, cursor: m.Cursor = NO_CURSOR) -> SessionConfig:
    """The control plane's."""
    return replace(
        agent_end(),
        signer=CONTROL_KEY,
        verifier=Verifier([AGENT_KEY.public]),
        nonce=fixed("control nonce"),
        outbox=outbox or OutboxState(DOWN, 0, 0),
        cursor=cursor,
    )


@dataclass
class Duet:
    """Two sessions with nothing between them; `heard` is what each was told, in order."""

    agent: LinkSession
    control: LinkSession
    heard: dict[Direction, list[SessionEvent]] = field(
        default_factory=lambda: {direction: [] for direction in Direction}
    )

    @classmethod
    def of(cls, agent: SessionConfig | None = None, control: SessionConfig | None = None) -> "Duet":
        """Sessions that have not exchanged anything."""
        return cls(
            LinkSession.agent(agent or agent_end(), at(0)),
            LinkSession.control(control or control_end(), at(0)),
        )

    def pump(self, seconds: float = 0) -> None:
        """Carry frames both ways until nobody has any."""
        now = at(seconds)
        moved = True
        while moved:
            moved = False
            for source, sink, direction in (
                (self.agent, self.control, Direction.TO_CONTROL),
                (self.control, self.agent, Direction.TO_AGENT),
            ):
                for frame in source.take_frames(now):
                    moved = True
                    if not sink.is_ended:
                        self.heard[direction] += sink.receive_frame(frame, now)

    @classmethod
    def live(
        cls, agent: SessionConfig | None = None, control: SessionConfig | None = None
    ) -> "Duet":
        """Sessions that have greeted and are live; what they were told is forgotten."""
        duet = cls.of(agent, control)
        duet.pump()
        for events in duet.heard.values():
            events.clear()
        return duet


def heartbeat(number: int = 0) -> m.Heartbeat:
    """An ephemeral message."""
    return m.Heartbeat(
        health=words.Health.SERVING,
        uptime=number,
        policy_version=1,
        audit_size=2,
        secrets=3,
        outbox_messages=4,
        outbox_bytes=5,
    )


def alert(number: int = 1) -> m.Alert:
    """Evidence."""
    return m.Alert(
        alert_id=fixed(f"alert {number}"),
        code=words.AlertCode.LOCKOUT,
        severity=words.Severity.WARNING,
        raised_at=WALL,
        subject=bytes(16),
        count=number,
    )


def metrics(number: int = 0) -> m.Metrics:
    """Droppable."""
    return m.Metrics(
        since=WALL - 1000,
        until=WALL,
        counters=(m.CounterValue(name=words.CounterName.READS, value=number),),
        gauges=(m.GaugeValue(name=words.GaugeName.SECRETS, value=7),),
        histograms=(
            m.HistogramValue(
                name=words.HistogramName.REQUEST_DURATION, counts=(1,) * 15, sum_us=15
            ),
        ),
    )


def command(number: int = 1) -> m.Command:
    """Evidence, downwards."""
    return m.Command(
        command_id=fixed(f"command {number}"),
        command=words.CommandName.SEND_METRICS,
        expires_at=WALL + 60_000,
    )


def batch(after: int, *messages: m.Message) -> OutboxBatch:
    """These messages behind an id."""
    entries = tuple(
        OutboxEntry(id_, message_type_of(message), encode_payload(message))
        for id_, message in enumerate(messages, after + 1)
    )
    return OutboxBatch(after, after + len(messages), entries)


def altered(frame: bytes, direction: Direction, **changes: Any) -> bytes:
    """The frame with changes in its envelope, properly signed by its sender."""
    envelope = msgspec.structs.replace(decode_struct(frame[64:], Envelope), **changes)
    return seal_frame(
        envelope, direction, AGENT_KEY if direction is Direction.TO_CONTROL else CONTROL_KEY
    )


def said(frame: bytes, message: m.Message, direction: Direction, **changes: Any) -> bytes:
    """The frame with another message in its place."""
    payload = Raw(encode_payload(message))
    return altered(
        frame, direction, message_type=message_type_of(message), payload=payload, **changes
    )


def refusal(session: LinkSession, frame: bytes, seconds: float = 0) -> Fault:
    """Why the frame is refused; the session is closed and silent then."""
    with pytest.raises(RemoteFaultError) as caught:
        session.receive_frame(frame, at(seconds))
    assert session.is_ended
    assert session.take_frames(at(seconds)) == []
    with pytest.raises(LocalFaultError):
        session.receive_frame(frame, at(seconds))
    return caught.value.fault
