"""Each frame in its place: this vault, this session, the next number, about now.

The session id is made from both sides' fresh nonces, so no frame of another connection fits; the
sequence leaves no room to repeat, drop or move a frame within this one. The clock is only a check
that nobody's is far off. Every breach closes the session: on an intact, ordered connection none
of them happens by accident.
"""

from protocols.link.envelope import Envelope
from protocols.link.errors import Fault, RemoteFaultError
from protocols.link.limits import CLOCK_SKEW_MS


class ReplayGuard:
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
