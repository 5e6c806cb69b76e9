"""What an end brings to a session: who it talks with, its keys, and where its streams stand."""

from dataclasses import dataclass

from protocols.link.delivery import OutboxState
from protocols.link.handshake import ChannelBinding
from protocols.link.limits import DEAD_SECONDS, VERSIONS
from protocols.link.messages import Cursor
from protocols.link.signing import Signer, Verifier


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
