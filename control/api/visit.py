"""What a request says beside its body, and what the answer says beside its own."""

import re
from dataclasses import dataclass, field
from typing import Final

from quart import Response, request

from control.authn import cookies
from control.model.operation import Browser, Origin
from control.model.people import TokenKind

WANTED: Final = "X-Freehold-Session"
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_NOWHERE: Final = "invalid."  # RFC 6761, 6.4: what a malformed Host gets; no page is of it
MAX_AGENT: Final = 256  # characters of a User-Agent that are kept


@dataclass(frozen=True, slots=True)
class Cookie:
    """One to be set; an empty value takes it back. Never for scripts (`HttpOnly`)."""

    name: str
    value: str
    same_site: str = "Strict"
    max_age: int | None = None


@dataclass(slots=True)
class Reply:
    """What an endpoint adds to its answer."""

    cookies: list[Cookie] = field(default_factory=list)
    location: str = ""


@dataclass(frozen=True, slots=True)
class Visit:
    """Where it comes from, the origin that it reached (`https://host`), and what a browser says."""

    origin: Origin
    own: str
    browser: Browser
    wants_cookie: bool
    reply: Reply = field(default_factory=Reply)

    @property
    def kind(self) -> TokenKind:
        """Of a session that it opens."""
        return TokenKind.BROWSER if self.wants_cookie else TokenKind.SESSION

    def keep(self, cookie: str) -> None:
        """Give the browser its session's cookie, or with an empty one take it back."""
        self.give(cookies.SESSION, cookie)

    def give(
        self, name: str, value: str, same_site: str = "Strict", max_age: int | None = None
    ) -> None:
        """Give it a cookie."""
        full = cookies.name_at(self.own, name)
        self.reply.cookies.append(Cookie(full, value, same_site, max_age))


def visit(public_url: str) -> Visit:
    """The current request's."""
    named = _HOST.fullmatch(request.host)
    own = public_url or f"{request.scheme}://{request.host if named else _NOWHERE}"
    agent = request.headers.get("User-Agent", "")
    return Visit(
        origin=Origin(request.remote_addr or "", _printable(agent)),
        own=own,
        browser=cookies.from_browser(request.headers.items(), own),
        wants_cookie=request.headers.get(WANTED, "") == "cookie",
    )


def dress(response: Response, reply: Reply, own: str) -> Response:
    """Put on what an endpoint has added."""
    for cookie in reply.cookies:
        response.set_cookie(
            cookie.name,
            cookie.value,
            max_age=cookie.max_age if cookie.value else 0,
            path="/",
            secure=own.startswith("https://"),
            httponly=True,
            samesite=cookie.same_site,
        )
    if reply.location:
        response.headers["Location"] = reply.location
    return response


def _printable(text: str) -> str:
    """What a client calls itself is only ever shown: bounded, one line, storable everywhere."""
    return "".join(c if c.isprintable() and c.isascii() else "?" for c in text[:MAX_AGENT])
