"""Messages out of HTTP/1.1."""

import pytest
from wsproto.frame_protocol import FrameProtocol

from protocols.capture.messages import MAX_REQUESTS, CapturedMessage, parse_messages
from protocols.capture.pcap import CaptureError

HEAD = (
    b"GET /link/v1 HTTP/1.1\r\nHost: c\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: freehold-link-v1\r\n\r\n"
)
POST = b"POST /link/v1/renew HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"
RENEW = "/link/v1/renew"


def test_a_request_is_its_head_and_its_body() -> None:
    """Of half of one what there is, marked as such; the beginning of a head is nothing."""
    head = CapturedMessage("head", RENEW, POST)
    assert list(parse_messages(POST + b"body")) == [
        head,
        CapturedMessage("request", RENEW, b"body"),
    ]
    assert list(parse_messages(POST + b"bod")) == [
        head,
        CapturedMessage("request", RENEW, b"bod", whole=False),
    ]
    assert list(parse_messages(POST)) == [head]
    assert list(parse_messages(b"POST /l")) == []
    for wrong in (b"\0\1\2\r\n\r\n", HEAD + b"\xff\xff"):
        with pytest.raises(CaptureError):
            list(parse_messages(wrong))


def test_every_request_of_a_connection() -> None:
    """Without a body, too; so many that it can only be a way to wear the reader out are refused."""
    get = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
    found = list(parse_messages(POST + b"body" + get + POST + b"more"))
    assert [(one.kind, one.content) for one in found] == [
        ("head", POST),
        ("request", b"body"),
        ("head", get),
        ("request", b""),
        ("head", POST),
        ("request", b"more"),
    ]
    assert len(list(parse_messages(get * MAX_REQUESTS))) == 2 * MAX_REQUESTS
    with pytest.raises(CaptureError, match="100"):
        list(parse_messages(get * (MAX_REQUESTS + 1)))


def test_frames_are_unmasked_and_put_together() -> None:
    """Fragments are one message, text is one, too; what is websocket's own is told apart."""
    protocol = FrameProtocol(client=True, extensions=[])
    wire = protocol.send_data(b"one", fin=True)
    wire += protocol.ping(b"!")
    wire += protocol.send_data(b"tw", fin=False) + protocol.pong(b"?")
    wire += protocol.send_data(b"o", fin=True) + protocol.send_data("text \u00e4", fin=True)
    large = protocol.send_data(b"x" * 70_000, fin=True)
    wire += large + protocol.close(1000, "why")
    found = list(parse_messages(HEAD + wire))
    assert {one.path for one in found} == {"/link/v1"}
    whole = [(one.kind, one.content) for one in found]
    assert whole == [
        ("head", HEAD),
        ("frame", b"one"),
        ("ping", b"!"),
        ("pong", b"?"),
        ("frame", b"two"),
        ("frame", "text \u00e4".encode()),
        ("frame", b"x" * 70_000),
        ("close", b"\x03\xe8why"),
    ]
    cut = HEAD + wire[: wire.index(large) + 50]
    assert list(parse_messages(cut)) == [
        *found[:6],
        CapturedMessage("frame", "/link/v1", b"x" * 36, whole=False),
    ]
    assert list(parse_messages(HEAD + protocol.close()))[1:] == [
        CapturedMessage("close", "/link/v1", b"")
    ]
