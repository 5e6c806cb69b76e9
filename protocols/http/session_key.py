"""The session key: what a page needs beside the cookie to act in its browser's session. Pure.

A browser sends a host's cookies to every port of it (RFC 6265, 8.5), so a server on another port
can read them. A session therefore has two independent secrets. The cookie holds one. The page
holds the other, the session key: it is in the answer to signing in and in no other, the page keeps
it in the storage of its origin, port included, and sends it in a header with every request. The
credential is both together, and only a hash of that is stored: the cookie alone finds no session.
"""

from typing import Final

HEADER: Final = "X-Session-Key"
SUBPROTOCOL: Final = "freehold.live"
"""What a live feed speaks. The key is offered beside it: a page cannot set a websocket's headers.
The server chooses this one, so that the key is in no answer."""
_OFFER: Final = "freehold.session-key."
_JOINT: Final = ":"
"""In no secret: a text of another kind cannot be cut in two and shown as a session's."""


def credential_of(cookie: str, key: str) -> str:
    """The credential that a cookie and a session key make; empty unless both are there."""
    if not cookie or not key or _JOINT in cookie or _JOINT in key:
        return ""
    return cookie + _JOINT + key


def parts_of(credential: str) -> tuple[str, str]:
    """The cookie and the session key of a session that was just made."""
    cookie, _, key = credential.partition(_JOINT)
    return cookie, key


def offered_key(subprotocols: str) -> str:
    """The session key in a `Sec-WebSocket-Protocol` header; empty if there is not exactly one."""
    offered = [word.strip() for word in subprotocols.split(",")]
    keys = [word.removeprefix(_OFFER) for word in offered if word.startswith(_OFFER)]
    return keys[0] if len(keys) == 1 and SUBPROTOCOL in offered else ""
