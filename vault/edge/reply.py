"""An answer on its way to the wire."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec import Struct

Send = Callable[[Any], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON: Final = b"application/json"  # exactly: a charset parameter breaks hvac and vault-java-driver
NO_CONTENT: Final = 204
NO_STORE: Final = (b"cache-control", b"no-store")
NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")  # whatever it holds, it is not a page


class Reply(Struct, frozen=True):
    """Status, body and what headers it needs beside type and `Cache-Control`.

    Its length is the server's to say.
    """

    status: int
    body: bytes = b""
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    refused: str = ""
    """The code of what could not be done now, to be counted; empty for every other answer."""
    stream: Callable[[Send], Awaitable[None]] | None = None
    """Sends the body instead of `body`, piece by piece, to its end."""

    def with_header(self, name: bytes, value: str) -> "Reply":
        """The reply with this header, in place of one of that name."""
        headers = self.headers and tuple(h for h in self.headers if h[0] != name)
        added = (*headers, (name, value.encode()))
        return Reply(self.status, self.body, self.content_type, added, self.refused, self.stream)


async def send_reply(send: Send, reply: Reply) -> None:
    """Write a reply as two ASGI messages; the server joins them into one write."""
    headers = all_headers(reply)
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if reply.stream is not None:
        await reply.stream(send)
        return
    await send({"type": "http.response.body", "body": reply.body})


def all_headers(reply: Reply) -> Headers:
    """All of a reply's headers."""
    if reply.status == NO_CONTENT:
        return [NO_STORE, *reply.headers]
    return [NO_STORE, *reply.headers, NO_SNIFF, (b"content-type", reply.content_type)]
