"""The cookie that carries a browser's session, and what tells our own pages from others.

`__Host-` (RFC 6265bis, 4.1.3.2): a browser takes such a cookie over TLS alone, for this host and
the whole of it, so that no neighbour under the same domain can plant one. On plain loopback, where
browsers refuse the prefix, the name goes without it.
"""

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from control.crypto import csrf_of, same
from control.errors import AuthorizationError
from control.model.operation import Browser

SESSION: Final = "freehold-session"
HALF: Final = "freehold-half"
"""The challenge of a second factor, for a browser that an identity provider has sent back."""
OIDC: Final = "freehold-oidc"
"""Of a login on its way through a provider; `Lax`, since it comes back from there."""
CSRF_HEADER: Final = "X-CSRF-Token"
_SAME: Final = ("", "same-origin")


def cookie_name(own_origin: str, name: str = SESSION) -> str:
    """The cookie's name at this origin of ours."""
    return f"__Host-{name}" if own_origin.startswith("https://") else name


def cookie(header: str, name: str) -> str:
    """The value of the one cookie of this name, else nothing: of two, one is not from us."""
    pairs = (part.strip().partition("=") for part in header.split(";"))
    found = [value for key, _, value in pairs if key == name]
    return found[0] if len(found) == 1 else ""


def is_same_origin(headers: Mapping[str, str], own_origin: str) -> bool:
    """Whether a browser says that a page of `own_origin` (`https://host[:port]`) asked.

    `headers`: their names in lower case.
    `Origin` is sent with whatever changes something and with every websocket, `Sec-Fetch-Site`
    with everything by browsers that are not old; one of them has to be there, none may differ.
    """
    origin, site = headers.get("origin", ""), headers.get("sec-fetch-site", "")
    return (
        bool(origin or site)
        and site in _SAME
        and (not origin or _normal(origin) == _normal(own_origin))
    )


def from_browser(headers: Iterable[tuple[str, str]], own_origin: str) -> Browser:
    """What the headers say. HTTP/2 sends cookies in pieces; other headers count once."""
    told: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        told[key] = f"{told[key]}; {value}" if key in told else value
    sent = told.get("cookie", "")
    return Browser(
        cookie=cookie(sent, cookie_name(own_origin)),
        half=cookie(sent, cookie_name(own_origin, HALF)),
        oidc=cookie(sent, cookie_name(own_origin, OIDC)),
        csrf=told.get(CSRF_HEADER.lower(), ""),
        same_origin=is_same_origin(told, own_origin),
    )


def check_origin(browser: Browser) -> None:
    """Raises `AuthorizationError` unless a page of ours made this request."""
    if not browser.same_origin:
        raise AuthorizationError("csrf", "a browser may ask for this from our own pages only")


def check_csrf(browser: Browser) -> None:
    """The same, for one that a session's cookie came with: the page has to know the session."""
    check_origin(browser)
    if not same(browser.csrf, csrf_of(browser.cookie)):
        raise AuthorizationError("csrf", f"this needs the session's own {CSRF_HEADER}")


def _normal(origin: str) -> tuple[str, str | None, int | None] | str:
    """Scheme, host, port; an origin that has none of them (`null`) stands for itself."""
    try:
        parts = urlsplit(origin)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return origin
    return (parts.scheme, parts.hostname, port) if parts.hostname else origin
