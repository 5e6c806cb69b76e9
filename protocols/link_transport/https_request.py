"""One HTTP request on the link's own port: how agents get certificates (docs/spec/pki.md).

Beside the websocket there is nothing here but `POST` with a small JSON body, one for a connection,
so this is h11 and a bound on everything; it is no web server.
"""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeAlias

import h11
import trio

from protocols.link.errors import TransportError

MAX_REQUEST: Final = 16 * 1024
"""Bytes of line and headers, and of the body; the messages have half of it."""
ANSWER_SECONDS: Final = 40.0
"""For the owner to answer: longer than a database may take to commit."""
WRITE_SECONDS: Final = 10.0
METHOD: Final = b"POST "
"""What a connection begins with that is not a websocket's."""


class HttpRequest(NamedTuple):
    """A request. `certificate`: the client's, verified by TLS; None if it showed none."""

    method: str
    path: str
    certificate: bytes | None
    source: str
    body: bytes


class HttpResponse(NamedTuple):
    """An answer; its length is added."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


RequestHandler: TypeAlias = Callable[[HttpRequest], Awaitable[HttpResponse]]


async def read_request(
    stream: trio.abc.Stream, certificate: bytes | None, source: str
) -> HttpRequest:
    """The request. Raises `TransportError` for what is none (`broken`), or too large."""
    wire = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST)
    request: h11.Request | None = None
    body = bytearray()
    try:
        while True:
            event = wire.next_event()
            if event is h11.NEED_DATA:
                if wire.they_are_waiting_for_100_continue:
                    await stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                wire.receive_data(bytes(await stream.receive_some()))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_REQUEST:
                    raise TransportError("broken", "the request is too large")
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                return _asked(request, bytes(body), certificate, source)
            else:
                raise TransportError("broken", "the request ended early")
    except h11.RemoteProtocolError:
        raise TransportError("broken", "this is not HTTP") from None


async def write_response(stream: trio.abc.SendStream, answered: HttpResponse) -> None:
    """Send the answer, and that the connection ends. Raises `TransportError` (`slow`)."""
    wire = h11.Connection(h11.SERVER)
    length = (b"content-length", str(len(answered.body)).encode())
    close = (b"connection", b"close")
    head = h11.Response(
        status_code=answered.status, headers=[*answered.headers, length, close], http_version=b"1.1"
    )
    parts = [
        wire.send(event) or b""
        for event in (head, h11.Data(data=answered.body), h11.EndOfMessage())
    ]
    with trio.move_on_after(WRITE_SECONDS) as scope:
        await stream.send_all(b"".join(parts))
        await stream.aclose()  # with TLS' own goodbye: the answer is known to be whole
    if scope.cancelled_caught:
        raise TransportError("slow", "the peer does not read")


def _asked(
    request: h11.Request, body: bytes, certificate: bytes | None, source: str
) -> HttpRequest:
    path = request.target.decode("ascii", "replace")
    return HttpRequest(request.method.decode("ascii"), path, certificate, source, body)
