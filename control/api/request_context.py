"""A request's headers as endpoints see them; cookies and headers that they add to the answer."""

import re
from dataclasses import dataclass, field
from typing import Final

from quart import Response, request

from control.authn import cookies
from control.model.operation import BrowserCredentials, Origin
from control.model.people import TokenKind

SESSION_HEADER: Final = "X-Freehold-Session"
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_UNKNOWN_HOST: Final = "invalid."  # RFC 6761, 6.4: what a malformed Host gets; no page is of it
MAX_USER_AGENT: Final = 256  # characters of a User-Agent that are kept


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie to set, always `HttpOnly`; an empty value removes it."""

    name: str
    value: str
    same_site: str = "Strict"
    max_age: int | None = None


@dataclass(slots=True)
class ResponseExtras:
    """What an endpoint adds to its answer."""

    cookies: list[Cookie] = field(default_factory=list)
    location: str = ""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Origin of a request, the origin of ours that it reached (`https://host`), its cookies."""

    origin: Origin
    own_origin: str
    browser: BrowserCredentials
    wants_cookie: bool
    reply: ResponseExtras = field(default_factory=ResponseExtras)

    @property
    def session_kind(self) -> TokenKind:
        """The kind of a session that this request opens."""
        return TokenKind.BROWSER if self.wants_cookie else TokenKind.SESSION

    def set_session_cookie(self, cookie: str) -> None:
        """Set the cookie of the browser's session; the empty string removes it."""
        self.set_cookie(cookies.SESSION, cookie)

    def set_cookie(
        self, name: str, value: str, same_site: str = "Strict", max_age: int | None = None
    ) -> None:
        """Set a cookie."""
        full = cookies.origin_cookie_name(self.own_origin, name)
        self.reply.cookies.append(Cookie(full, value, same_site, max_age))


def request_context(public_url: str) -> RequestContext:
    """The context of the current request."""
    named = _HOST.fullmatch(request.host)
    own = public_url or f"{request.scheme}://{request.host if named else _UNKNOWN_HOST}"
    agent = request.headers.get("User-Agent", "")
    return RequestContext(
        origin=Origin(request.remote_addr or "", _printable(agent)),
        own_origin=own,
        browser=cookies.read_browser(request.headers.items(), own),
        wants_cookie=request.headers.get(SESSION_HEADER, "") == "cookie",
    )


def apply_extras(response: Response, reply: ResponseExtras, own: str) -> Response:
    """Add cookies and headers to a response."""
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
    """Make a User-Agent safe to show and store: bounded, one line, ASCII."""
    return "".join(c if c.isprintable() and c.isascii() else "?" for c in text[:MAX_USER_AGENT])
