"""Serves clients that name this machine, and nobody else's pages.

A browser sends the name in the address bar as `Host`. A page of another site can make its own name
resolve to 127.0.0.1 (DNS rebinding) and is then of the same origin as a server on loopback that
answers to any name.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from protocols.http.asgi import App, MakeRefusal, MakeUnreadRefusal, Receive, Scope, Send
from protocols.http.errors import RefusedError

_LOCAL: Final = re.compile(
    rb"(?:(?:[a-z0-9-]+\.)*localhost\.?|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?",
    re.IGNORECASE,
)
_MESSAGE: Final = (
    "this server is reached without TLS, so only as localhost, 127.0.0.1 or [::1]: "
    "use one of these names, or name the proxy in front of it in server.proxies.addresses"
)


class LocalOnly:
    """An ASGI application that answers 421 (RFC 9110, 15.5.20) to any other `Host`.

    A request without one (HTTP/1.0) is not a browser's and is served.
    """

    def __init__(
        self, app: App, refuse: MakeRefusal, refuse_unread: MakeUnreadRefusal | None = None
    ) -> None:
        self._app = app
        self._refuse = refuse
        self._refuse_unread = refuse_unread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if is_local(scope["headers"]):
            await self._app(scope, receive, send)
            return
        error = RefusedError(421, "host_not_local", _MESSAGE)
        if self._refuse_unread is None:
            headers, body = self._refuse(error.status, error.code, error.message)
            status = error.status
        else:
            status, headers, body = await self._refuse_unread(error, scope.get("client"))
        kind = "websocket.http" if scope["type"] == "websocket" else "http"
        start: dict[str, Any] = {
            "type": f"{kind}.response.start",
            "status": status,
            "headers": headers,
        }
        await send(start)
        await send({"type": f"{kind}.response.body", "body": body})


def is_local(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether every `Host` is a name or address of loopback."""
    return all(_LOCAL.fullmatch(value) for name, value in headers if name == b"host")
