"""Requests as ASGI sees them: the scope, and the types of its two callables."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from protocols.http.errors import RefusedError

Headers = list[tuple[bytes, bytes]]
Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
MakeRefusal = Callable[[int, str, str], tuple[Headers, bytes]]
Address = tuple[str, int]
MakeUnreadRefusal = Callable[[RefusedError, Address | None], Awaitable[tuple[int, Headers, bytes]]]
"""Status, headers and body for a request of this client that the application will not see."""
MakeOverloadResponse = Callable[[bytes], tuple[Headers, bytes] | None]
"""Headers and body of the 503 for a request target; None for what must get through."""

RESERVATION: Final = "freehold.reservation"
"""Key of a request's scope; the value is an `answers.Reservation`, or None."""
IDLE_REQUEST: Final = "freehold.idle_request"
"""Key of a request's scope; the value is a `response_budget.Suspendable`, or None where the request
cannot wait for anything but its own work."""
ASGI = {"version": "3.0", "spec_version": "2.4"}


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """What all requests of one connection share."""

    client: Address | None
    server: Address | None
    scheme: str
    extensions: dict[str, dict[str, Any]] = field(default_factory=dict)


def build_scope(
    peer: ConnectionInfo,
    http_version: str,
    method: str,
    target: bytes,
    headers: Headers,
    *,
    reservation: object = None,
    idle_request: object = None,
    any_path: bool = False,
) -> dict[str, Any]:
    """Scope of one request; `target` is in origin form (`/path?query`) or `*`.

    `extensions["tls"]` is there on TLS connections: `version`, `cipher`, `peer_certificate` (DER
    or None). Raises RefusedError(400) for a path with a broken percent-escape, or one that is
    not UTF-8 once decoded: two readers of such a path could disagree about what it names. With
    `any_path` the application refuses these itself: it reads `raw_path`.
    """
    raw_path, _, query = target.partition(b"?")
    return {
        "type": "http",
        "asgi": ASGI,
        "http_version": http_version,
        "method": method,
        "scheme": peer.scheme,
        "path": decode_path_leniently(raw_path) if any_path else decode_path(raw_path),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": peer.client,
        "server": peer.server,
        "extensions": peer.extensions,
        RESERVATION: reservation,
        IDLE_REQUEST: idle_request,
    }


def decode_path(raw_path: bytes) -> str:
    """Percent-decode once; RFC 3986 section 2.1."""
    if b"%" not in raw_path:
        return raw_path.decode("ascii")
    for escape in raw_path.split(b"%")[1:]:
        if not _is_hex(escape[:2]):
            raise RefusedError(400, "bad_escape", "path holds a broken percent-escape")
    try:
        return unquote_to_bytes(raw_path).decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedError(400, "bad_utf8", "path is not UTF-8") from None


def decode_path_leniently(raw_path: bytes) -> str:
    """Percent-decode once, whatever it is: for applications that look at `raw_path` too."""
    return unquote_to_bytes(raw_path).decode("utf-8", "replace")


def _is_hex(pair: bytes) -> bool:
    return len(pair) == 2 and all(byte in b"0123456789abcdefABCDEF" for byte in pair)  # noqa: PLR2004 - a pair
