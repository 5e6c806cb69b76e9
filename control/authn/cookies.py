"""Cookies and headers of a browser's session, and the check for requests of our own pages."""

import re
from collections.abc import Iterable
from typing import Final

from control.errors import AuthorizationError
from control.model.operation import BrowserCredentials
from protocols.http.cookies import cookie_name, is_same_origin, read_cookie
from protocols.http.session_key import HEADER, offered_key

SESSION: Final = "freehold-session"
OIDC: Final = "freehold-oidc"
"""Of a login on its way through a provider; `Lax`, since it comes back from there."""
CONSENT: Final = "freehold-asked"
"""Of a browser that was asked whether a program may sign in."""
_PORT: Final = re.compile(r":([0-9]+)\Z")


def origin_cookie_name(own_origin: str, name: str) -> str:
    """A cookie's name at this origin.

    Browsers share cookies between the ports of a host, so the name contains a port that is not the
    default.
    """
    port = _PORT.search(own_origin)
    return cookie_name(own_origin, f"{name}-{port[1]}" if port else name)


def read_browser(
    headers: Iterable[tuple[str, str]], own_origin: str, *, websocket: bool = False
) -> BrowserCredentials:
    """The session credentials of a request; for a WebSocket the key is in the subprotocol.

    HTTP/2 sends cookies in pieces. Any other header that occurs twice is ignored.
    """
    told: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        told[key] = f"{told[key]}; {value}" if key in told else value
    sent = told.get("cookie", "")
    return BrowserCredentials(
        cookie=read_cookie(sent, origin_cookie_name(own_origin, SESSION)),
        oidc=read_cookie(sent, origin_cookie_name(own_origin, OIDC)),
        asked=read_cookie(sent, origin_cookie_name(own_origin, CONSENT)),
        session_key=offered_key(told.get("sec-websocket-protocol", ""))
        if websocket
        else told.get(HEADER.lower(), ""),
        same_origin=is_same_origin(told, own_origin),
    )


def require_same_origin(browser: BrowserCredentials) -> None:
    """Raise `AuthorizationError` unless one of our pages made this request."""
    if not browser.same_origin:
        raise AuthorizationError(
            "csrf",
            "the request does not come from a page of this control plane: reload the page and "
            "repeat it there, or send a token instead of the session's cookie",
        )
