"""What a client said over HTTP/1.1: heads and bodies of requests, frames of a websocket."""

from collections.abc import Generator, Iterator
from typing import Final, Literal, NamedTuple

import h11
from wsproto.frame_protocol import CloseReason, Frame, FrameProtocol, Opcode, ParseFailed

from protocols.capture.pcap import CaptureError

MAX_REQUESTS: Final = 100
"""On one connection; each is looked at in what was said from there on."""
_PIECE: Final = 64 * 1024
_CONTROL: Final[dict[Opcode, Literal["ping", "pong", "close"]]] = {
    Opcode.PING: "ping",
    Opcode.PONG: "pong",
    Opcode.CLOSE: "close",
}


class CapturedMessage(NamedTuple):
    """One piece. Those with a meaning of their own, which a ledger has, are `request` and `frame`.

    `request`: a request's body; `frame`: a message of a websocket, binary or text; `head`: of a
    request, as it was sent; `ping`, `pong`, `close`: what is in these frames. One that is not
    `whole` was cut off behind `content`.
    """

    kind: Literal["request", "frame", "head", "ping", "pong", "close"]
    path: str
    content: bytes
    whole: bool = True


def parse_messages(plaintext: bytes) -> Iterator[CapturedMessage]:
    """All pieces in their order; the beginning of a head or of a header is none of them.

    Raises `CaptureError`.
    """
    try:
        for _ in range(MAX_REQUESTS):
            if not plaintext:
                return
            plaintext = yield from _request(plaintext)
    except h11.RemoteProtocolError:
        raise CaptureError("this is not HTTP/1.1") from None
    except ParseFailed:
        raise CaptureError("this is not a websocket") from None
    if plaintext:
        raise CaptureError(f"more than {MAX_REQUESTS} requests on one connection")


def _request(said: bytes) -> Generator[CapturedMessage, None, bytes]:
    """The pieces of one request, and what follows it."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(said)
    request = connection.next_event()
    if not isinstance(request, h11.Request):
        return b""
    path = request.target.decode("ascii")
    yield CapturedMessage("head", path, said[: len(said) - len(connection.trailing_data[0])])
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += bytes(event.data)
    whole = isinstance(event, h11.EndOfMessage)
    upgrades = (b"upgrade", b"websocket") in [(n, v.lower()) for n, v in request.headers]
    if body or (whole and not upgrades):
        yield CapturedMessage("request", path, body, whole)
    behind = connection.trailing_data[0] if whole else b""
    if not upgrades:
        return behind
    yield from _frames(path, behind)
    return b""


def _frames(path: str, said: bytes) -> Iterator[CapturedMessage]:
    """What follows the upgrade: RFC 6455, without extensions."""
    protocol = FrameProtocol(client=False, extensions=[])
    parts: list[bytes] = []
    for at in range(0, len(said), _PIECE):
        protocol.receive_bytes(said[at : at + _PIECE])
        for frame in protocol.received_frames():
            content = _content(frame)
            if frame.opcode in _CONTROL:
                yield CapturedMessage(_CONTROL[frame.opcode], path, content)
                continue
            parts.append(content)
            if frame.message_finished:
                yield CapturedMessage("frame", path, b"".join(parts))
                parts = []
    if any(parts):
        yield CapturedMessage("frame", path, b"".join(parts), whole=False)


def _content(frame: Frame) -> bytes:
    match frame.payload:
        case (CloseReason.NO_STATUS_RCVD, _):
            return b""
        case (int(code), str(reason)):
            return code.to_bytes(2) + reason.encode()
        case str(text):
            return text.encode()
        case found:
            return bytes(found)
