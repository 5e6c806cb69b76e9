"""Messages out of HTTP/1.1."""

import pytest
from wsproto.frame_protocol import FrameProtocol, Opcode

from protocols.capture.messages import Message, messages
from protocols.capture.pcap import CaptureError

HEAD = (
    b"GET /link/v1 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def test_a_request_is_its_body() -> None:
    """Whole; half of one is none."""
    post = b"POST /link/v1/renew HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
    assert list(messages(post)) == [Message("request", "/link/v1/renew", b"body")]
    assert list(messages(post[:-1])) == []
    assert list(messages(b"POST /l")) == []
    with pytest.raises(CaptureError):
        list(messages(b"\0\1\2\r\n\r\n"))


def test_frames_are_unmasked_and_put_together() -> None:
    """Fragments are one message, what is websocket's own is none, half a frame is none."""
    protocol = FrameProtocol(client=True, extensions=[])
    wire = protocol.send_data(b"one", fin=True)
    wire += protocol.ping(b"!")
    wire += protocol.send_data(b"tw", fin=False) + protocol.ping(b"?")
    wire += protocol.send_data(b"o", fin=True)
    large = protocol.send_data(b"x" * 70_000, fin=True)
    wire += large + protocol.close(1000, "")
    expected = [Message("frame", "/link/v1", data) for data in (b"one", b"two", b"x" * 70_000)]
    assert list(messages(HEAD + wire)) == expected
    cut = HEAD + wire[: wire.index(large) + 50]
    assert list(messages(cut)) == expected[:2]
    assert Opcode.BINARY == 2
