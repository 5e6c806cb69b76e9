"""Frames: measured, verified, decoded; in that order."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from protocols.link import codec
from protocols.link.envelope import Envelope
from protocols.link.errors import Fault, LocalFaultError, RemoteFaultError
from protocols.link.limits import MAX_FRAME
from protocols.link.messages import Direction, MessageType
from protocols.link.session import open_frame, seal_frame
from protocols.link.signing import Verifier
from tests.unit.protocols.link.duet import AGENT_KEY, CONTROL_KEY, WALL, alert, heartbeat

UP, DOWN = Direction.TO_CONTROL, Direction.TO_AGENT
AGENT = Verifier([AGENT_KEY.public])
BASE = Envelope(
    version=1,
    timestamp=WALL,
    vault_id="prod",
    session=bytes(16),
    seq=1,
    ack=0,
    id=0,
    message_type=MessageType.HEARTBEAT,
    payload=Raw(codec.encode_payload(heartbeat())),
)


def framed(**changes: Any) -> bytes:
    """The agent's frame of `BASE` with these changes."""
    return seal_frame(replace(BASE, **changes), UP, AGENT_KEY)


def refusal(frame: bytes, direction: Direction = UP) -> Fault:
    """Why this frame is not opened."""
    with pytest.raises(RemoteFaultError) as caught:
        open_frame(frame, direction, AGENT)
    return caught.value.fault


def test_a_frame_opens_to_what_was_sealed():
    """Sealing and opening are inverse."""
    opened = open_frame(framed(), UP, AGENT)
    assert opened.message == heartbeat()
    assert opened.envelope.seq == 1


@pytest.mark.parametrize("size", [0, 64, MAX_FRAME + 1])
def test_a_frame_of_another_size_is_not_even_verified(size: int):
    """The size is looked at first, which costs nothing."""
    assert refusal(bytes(size)) == Fault.FRAME_SIZE


def test_what_is_not_signed_is_not_decoded(monkeypatch: pytest.MonkeyPatch):
    """No decoder sees bytes that the peer's key has not signed for this way."""

    def never(*args: object) -> None:
        raise AssertionError("decoded before verification")

    frame = framed()
    other = seal_frame(BASE, UP, CONTROL_KEY)
    monkeypatch.setattr(codec, "decode_struct", never)
    assert refusal(other) == Fault.SIGNATURE
    assert refusal(frame, DOWN) == Fault.SIGNATURE
    assert refusal(frame[:-1]) == Fault.SIGNATURE
    assert refusal(bytes(64) + frame[64:]) == Fault.SIGNATURE


@given(st.integers(0, 8 * len(framed()) - 1))
def test_no_bit_of_a_frame_can_be_turned(bit: int):
    """Every bit is covered by the signature, or is the signature."""
    frame = bytearray(framed())
    frame[bit // 8] ^= 1 << bit % 8
    assert refusal(bytes(frame)) == Fault.SIGNATURE


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"version": 2}, "version"),
        ({"message_type": MessageType.COMMAND, "id": 1}, "direction"),
        ({"message_type": MessageType.WELCOME}, "direction"),
        ({"id": 1}, "durable_id"),
        ({"message_type": MessageType.ALERT}, "durable_id"),
        ({"message_type": MessageType.ALERT, "id": 1}, "malformed"),
        ({"message_type": "root_password"}, "malformed"),
        ({"session": bytes(15)}, "malformed"),
        ({"vault_id": "Prod"}, "malformed"),
        ({"seq": 2**63}, "malformed"),
        ({"payload": Raw(b"\xc1")}, "malformed"),
        ({"payload": Raw(b"\xde\x00\x00")}, "malformed"),
    ],
)
def test_a_signed_frame_can_still_be_wrong(changes: dict[str, Any], fault: str):
    """A peer with the right key that does not keep to the form is refused by name."""
    assert refusal(framed(**changes)) == fault


def test_a_payload_in_another_spelling_is_refused():
    """The form of the payload counts as much as the envelope's."""
    long = b"\xde\x00\x07" + codec.encode_payload(heartbeat())[1:]
    assert refusal(framed(payload=Raw(long))) == Fault.NOT_CANONICAL


def test_a_frame_is_never_larger_than_the_peer_takes():
    """Over the bound, sealing fails: nothing is sent."""
    with pytest.raises(LocalFaultError, match="at most"):
        framed(payload=Raw(bytes(MAX_FRAME)))
    assert (
        open_frame(
            framed(
                message_type=MessageType.ALERT, id=9, payload=Raw(codec.encode_payload(alert()))
            ),
            UP,
            AGENT,
        ).message
        == alert()
    )
