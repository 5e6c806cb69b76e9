"""The messages in what a client said over HTTP/1.1: bodies of requests, frames of a websocket."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import h11
from wsproto.frame_protocol import FrameProtocol, Opcode

from protocols.capture.pcap import CaptureError


class Message(NamedTuple):
    """One message: a request's whole body, or a whole binary message of a websocket."""

    kind: Literal["request", "frame"]
    path: str
    content: bytes


def messages(said: bytes) -> Iterator[Message]:
    """The messages in it; one that was cut off is none. Raises `CaptureError`."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(said)
    try:
        request = connection.next_event()
        if not isinstance(request, h11.Request):
            return
        path = request.target.decode("ascii")
        if (b"upgrade", b"websocket") in [(n, v.lower()) for n, v in request.headers]:
            yield from _frames(path, said)
        else:
            yield from _body(path, connection)
    except h11.RemoteProtocolError:
        raise CaptureError("this is not HTTP/1.1") from None


def _body(path: str, connection: h11.Connection) -> Iterator[Message]:
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += bytes(event.data)
    if isinstance(event, h11.EndOfMessage):
        yield Message("request", path, body)


def _frames(path: str, said: bytes) -> Iterator[Message]:
    """What follows the upgrade's head: RFC 6455, without extensions."""
    protocol = FrameProtocol(client=False, extensions=[])
    protocol.receive_bytes(said.partition(b"\r\n\r\n")[2])
    whole = b""
    for frame in protocol.received_frames():
        if frame.opcode not in {Opcode.BINARY, Opcode.CONTINUATION}:
            continue
        whole += bytes(frame.payload) if isinstance(frame.payload, bytes | bytearray) else b""
        if frame.message_finished:
            yield Message("frame", path, whole)
            whole = b""
