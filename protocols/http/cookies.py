"""What a browser says of itself: its cookies, and whether a page of our own asks. Pure."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

_SAME: Final = ("", "same-origin")


def cookie_name(own_origin: str, name: str) -> str:
    """The cookie's name at this origin of ours.

    `__Host-` (RFC 6265bis, 4.1.3.2): a browser takes such a cookie over TLS alone, for this host
    and the whole of it, so that no neighbour under the same domain can plant one. On plain
    loopback, where browsers refuse the prefix, the name goes without it.
    """
    return f"__Host-{name}" if own_origin.startswith("https://") else name


def read_cookie(header: str, name: str) -> str:
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


def _normal(origin: str) -> tuple[str, str | None, int | None] | str:
    """Scheme, host, port; an origin that has none of them (`null`) stands for itself."""
    try:
        parts = urlsplit(origin)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return origin
    return (parts.scheme, parts.hostname, port) if parts.hostname else origin
