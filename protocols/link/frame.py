"""Frames: an envelope, signed. What comes in is measured, then verified, then decoded."""

from dataclasses import dataclass

from protocols.link import codec
from protocols.link.envelope import EPHEMERAL, Envelope
from protocols.link.errors import Fault, LocalFaultError, RemoteFaultError
from protocols.link.fields import SIGNATURE_SIZE
from protocols.link.limits import FIRST_VERSION, MAX_FRAME
from protocols.link.messages import MESSAGE_SPECS, Delivery, Direction, Message
from protocols.link.signing import Signer, Verifier


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
