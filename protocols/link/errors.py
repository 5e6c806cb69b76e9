"""Whose fault it was: the peer's (the session closes, the peer may be reported), or ours (a bug).

No text repeats what the peer has sent.
"""

from enum import StrEnum, unique


@unique
class Fault(StrEnum):
    """What a peer did that closes the session; docs/spec/link.md has a row for each."""

    FRAME_SIZE = "frame_size"
    SIGNATURE = "signature"
    MALFORMED = "malformed"
    NOT_CANONICAL = "not_canonical"
    VERSION = "version"
    DIRECTION = "direction"
    VAULT = "vault"
    IDENTITY = "identity"
    NONCE = "nonce"
    SESSION = "session"
    SEQUENCE = "sequence"
    CLOCK = "clock"
    STATE = "state"
    DURABLE_ID = "durable_id"
    GAP = "gap"
    ACK = "ack"
    WINDOW = "window"
    FLOOD = "flood"
    ROLLBACK = "rollback"
    TIMEOUT = "timeout"


class LinkError(Exception):
    """Base of what this package raises."""


class RemoteFaultError(LinkError):
    """The peer broke the protocol: close the connection; nothing of this frame was taken."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(f"{fault}: {message}")
        self.fault = fault
        self.message = message


class LocalFaultError(LinkError):
    """We were about to break the protocol; nothing was sent. A bug in the caller."""


class OutboxRolledBackError(LocalFaultError):
    """The peer has applied ids that our outbox never gave: it was restored from an old copy.

    Begin a new stream (a new stream id) and enqueue in it what is still wanted.
    """


class InboxFullError(LinkError):
    """An inbox has no room for this message now: nothing of it was applied; try again later."""


class TransportError(LinkError):
    """The connection is gone, or never came to be. `reason` is a short stable word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
