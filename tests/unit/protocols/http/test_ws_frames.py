"""What protocols.http.ws_frames promises; the peer's frames are made by hand."""

import struct

import pytest

from protocols.http.errors import SocketViolationError
from protocols.http.limits import Limits
from protocols.http.ws_frames import CloseReceived, MessageReceived, PingReceived, WebSocketFrames

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
FIN = 0x80
MASK = b"\x01\x02\x03\x04"


def frame(
    kind: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bool = True
) -> bytes:
    """One frame as a client sends it."""
    first = (FIN if fin else 0) | rsv << 4 | kind
    bit = 0x80 if mask else 0
    size = len(payload)
    if size < 126:
        head = bytes([first, bit | size])
    elif size < 65_536:
        head = bytes([first, bit | 126]) + struct.pack("!H", size)
    else:
        head = bytes([first, bit | 127]) + struct.pack("!Q", size)
    if not mask:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))


def frames(**limits: int) -> WebSocketFrames:
    """A fresh websocket."""
    return WebSocketFrames(Limits(**limits), 0.0)


def fed(
    socket: WebSocketFrames, *data: bytes, now: float = 0.0
) -> list[MessageReceived | PingReceived | CloseReceived]:
    """Everything that these bytes give."""
    return [event for piece in data for event in socket.feed(piece, now)]


def code_of(socket: WebSocketFrames, *data: bytes) -> int:
    """With which code this is refused."""
    with pytest.raises(SocketViolationError) as violation:
        fed(socket, *data)
    return violation.value.code


def test_messages_come_whole_whatever_the_cuts() -> None:
    """Fragments, with a ping between them, and each byte by itself."""
    data = (
        frame(TEXT, "grü".encode()[:3], fin=False) + frame(PING, b"p") + frame(0, b"\xbc\xc3\x9f")
    )
    data += frame(BINARY, b"\x00\x01") + frame(TEXT)
    found = [
        PingReceived(b"p"),
        MessageReceived("grüß"),
        MessageReceived(b"\x00\x01"),
        MessageReceived(""),
    ]
    assert fed(frames(), data) == found
    assert fed(frames(), *(data[i : i + 1] for i in range(len(data)))) == found


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"a", mask=False), 1002),
        (frame(TEXT, b"a", rsv=4), 1002),
        (frame(TEXT, b"a", rsv=1), 1002),
        (frame(3, b"a"), 1002),
        (frame(11, b"a"), 1002),
        (frame(0, b"a"), 1002),
        (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
        (frame(PING, b"a", fin=False), 1002),
        (frame(PING, bytes(126)), 1002),
        (b"\x81\xfe\x00\x01" + MASK + b"a", 1002),  # a length that takes more bytes than it needs
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xc3"), 1007),  # cut within a character
        (frame(TEXT, b"\xed\xa0\x80"), 1007),  # a surrogate
        (frame(CLOSE, b"\x03"), 1002),
        (frame(CLOSE, struct.pack("!H", 999)), 1002),
        (frame(CLOSE, struct.pack("!H", 1004)), 1002),
        (frame(CLOSE, struct.pack("!H", 1005)), 1002),
        (frame(CLOSE, struct.pack("!H", 1006)), 1002),
        (frame(CLOSE, struct.pack("!H", 1015)), 1002),
        (frame(CLOSE, struct.pack("!H", 2999)), 1002),
        (frame(CLOSE, struct.pack("!H", 5000)), 1002),
        (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
    ],
)
def test_a_breach_has_the_code_that_the_rfc_gives_it(data: bytes, code: int) -> None:
    """1002 for framing, 1007 for text that is none."""
    assert code_of(frames(), data) == code


@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_a_message_over_the_bound_is_refused_before_it_is_whole(kind: int) -> None:
    """In one frame whose rest is not here, and in fragments."""
    whole = frame(kind, b"a" * 200)
    assert code_of(frames(socket_message=100), whole[:150]) == 1009
    pieces = frame(kind, b"a" * 60, fin=False) + frame(0, b"a" * 41)
    assert code_of(frames(socket_message=100), pieces) == 1009
    assert fed(frames(socket_message=100), frame(kind, b"a" * 100) + frame(kind, b"a" * 100))


def test_characters_count_as_their_bytes() -> None:
    """A text of two-byte characters is not twice as long as it may be."""
    assert code_of(frames(socket_message=100), frame(TEXT, "ü".encode() * 51)) == 1009


@pytest.mark.parametrize(
    "useless",
    [frame(PING), frame(PONG), frame(0, b"", fin=False), frame(0, b"a", fin=False)],
    ids=["ping", "pong", "empty fragment", "tiny fragment"],
)
def test_a_flood_of_frames_without_use_is_refused(useless: bytes) -> None:
    """After a burst; who keeps to the rate is heard for ever."""
    socket = frames(frame_burst=10, frame_rate=5)
    fed(socket, frame(TEXT, b"a" * 64, fin=False))
    assert code_of(socket, useless * 11) == 1008
    patient = frames(frame_burst=10, frame_rate=5)
    fed(patient, frame(TEXT, b"a" * 64, fin=False))
    for second in range(20):
        fed(patient, useless * 5, now=float(second))


def test_the_peers_close_has_its_code_and_reason() -> None:
    """1005 stands for a Close without a code; a private code passes."""
    assert fed(frames(), frame(CLOSE, struct.pack("!H", 4000) + b"bye")) == [
        CloseReceived(4000, "bye")
    ]
    assert fed(frames(), frame(CLOSE)) == [CloseReceived(1005, "")]


def test_what_we_send_is_unmasked_and_whole() -> None:
    """RFC 6455 section 5.1; one frame a message."""
    socket = frames()
    assert socket.encode_message("hé") == b"\x81\x03h\xc3\xa9"
    assert socket.encode_message(b"\x00") == b"\x82\x01\x00"
    assert socket.encode_pong(b"p") == b"\x8a\x01p"
    assert socket.encode_ping() == b"\x89\x00"
    assert socket.encode_close(1012, "later") == b"\x88\x07\x03\xf4later"
