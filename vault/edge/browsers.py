"""What a request says as a browser's: the session's cookie, and whether our own page sent it.

The cookie is HttpOnly and SameSite=Strict. A browser shares cookies between the ports of a host,
and on a developer's machine there are several agents: so its name holds the port.
"""

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from protocols.http.cookies import cookie, cookie_name, is_same_origin
from vault.authn.browsing import knows
from vault.edge.request import Request

CSRF: Final = b"x-csrf-token"
SAFE: Final = frozenset({"GET", "HEAD"})
_HOST: Final = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_NOWHERE: Final = "invalid."  # RFC 6761, 6.4: what a malformed Host gets; no page is of it


class Browsers(Struct, frozen=True):
    """`tls`: whether this agent is reached over it."""

    tls: bool

    def told(self, headers: Iterable[tuple[bytes, bytes]], method: str) -> "Visit":
        """What the headers say; HTTP/2 sends cookies in pieces, other headers count once."""
        found: dict[str, str] = {}
        for name, value in headers:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            found[key] = f"{found[key]}; {text}" if key in found else text
        return self._visit(found, method)

    def of(self, request: Request) -> "Visit":
        """The same of a request that was read."""
        return self.told(request.headers.items(), request.method)

    def _visit(self, headers: dict[str, str], method: str) -> "Visit":
        host = _HOST.fullmatch(headers.get("host", ""))
        own = f"{'https' if self.tls else 'http'}://{host[0] if host else _NOWHERE}"
        port = host[1] if host and host[1] else "443" if self.tls else "80"
        name = cookie_name(own, f"freehold-agent-{port}")
        secret = cookie(headers.get("cookie", ""), name)
        ours = is_same_origin(headers, own)
        shown = headers.get(CSRF.decode(), "")
        return Visit(
            name=name,
            secret=secret,
            named="origin" in headers,
            counts=ours and (method in SAFE or knows(shown, secret)),
        )

    def kept(self, visit: "Visit", secret: str) -> tuple[bytes, str]:
        """The header that gives the browser its session; an empty secret takes it back."""
        age = "" if secret else "; Max-Age=0"
        secure = "; Secure" if self.tls else ""
        return (
            b"set-cookie",
            f"{visit.name}={secret}; Path=/; HttpOnly; SameSite=Strict{secure}{age}",
        )


class Visit(Struct, frozen=True, kw_only=True):
    """One request. `named`: it has an `Origin`. `counts`: the session's cookie may be used."""

    name: str
    secret: str
    named: bool
    counts: bool

    def __repr__(self) -> str:
        return f"Visit(counts={self.counts})"
