"""What a request says as a browser's: its session, and whether our own page sent it.

A session is a cookie and a session key together (`protocols.http.session_key`). The cookie is
HttpOnly and SameSite=Strict. On a developer's machine there are several agents, and a browser
shares cookies between the ports of a host: so the cookie's name holds the port.
"""

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from protocols.http.cookies import cookie_name, is_same_origin, read_cookie
from protocols.http.session_key import HEADER, credential_of, offered_key
from vault.edge.request import Request

_KEY: Final = HEADER.lower()
_HOST: Final = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_UNKNOWN_HOST: Final = "invalid."  # RFC 6761, 6.4: what a malformed Host gets; no page is of it


class BrowserSessions(Struct, frozen=True):
    """`tls`: whether this agent is reached over it."""

    tls: bool

    def read_request(self, request: Request) -> "BrowserRequest":
        """What a request that was read says."""
        headers = _headers(request.headers.items())
        return self._read(headers, headers.get(_KEY, ""))

    def read_websocket(self, headers: Iterable[tuple[bytes, bytes]]) -> "BrowserRequest":
        """What the offer of a websocket says: its key is beside the subprotocol."""
        found = _headers(headers)
        return self._read(found, offered_key(found.get("sec-websocket-protocol", "")))

    def _read(self, headers: dict[str, str], key: str) -> "BrowserRequest":
        host = _HOST.fullmatch(headers.get("host", ""))
        own = f"{'https' if self.tls else 'http'}://{host[0] if host else _UNKNOWN_HOST}"
        port = host[1] if host and host[1] else "443" if self.tls else "80"
        name = cookie_name(own, f"freehold-agent-{port}")
        sent = read_cookie(headers.get("cookie", ""), name)
        return BrowserRequest(
            name=name,
            has_cookie=bool(sent),
            credential=credential_of(sent, key),
            has_origin="origin" in headers,
            same_origin=is_same_origin(headers, own),
        )

    def set_cookie(self, request: "BrowserRequest", value: str) -> tuple[bytes, str]:
        """The header that gives the browser its session; an empty value takes it back."""
        age = "" if value else "; Max-Age=0"
        secure = "; Secure" if self.tls else ""
        return (
            b"set-cookie",
            f"{request.name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}",
        )


class BrowserRequest(Struct, frozen=True, kw_only=True):
    """One request. `name`: of the session's cookie at this port.

    `credential`: of its session, empty unless cookie and session key are both there.
    `same_origin`: a page of ours sent it.
    """

    name: str
    has_cookie: bool
    credential: str
    has_origin: bool
    same_origin: bool

    def __repr__(self) -> str:
        return f"Visit(same_origin={self.same_origin})"


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """HTTP/2 sends cookies in pieces; a header that is there twice is neither of the two."""
    found: dict[str, str] = {}
    for name, value in pairs:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        found[key] = f"{found[key]}; {text}" if key in found else text
    return found
