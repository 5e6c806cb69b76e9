"""What the agent's own requests say in their heads, and what one says beyond that. Pure.

A head is in no ledger, so whatever could be told in one must be known: these are all the lines
that the agent's websocket client and its HTTP client send, in their order and spelling, and what
their values can be. Both clients are taken as they are installed here.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httpx2

from protocols.link.limits import PATH, SUBPROTOCOL

_END: Final = b"\r\n"
_HOST: Final = b"Host: "
_LINK: Final = (
    rb"Upgrade: websocket",
    rb"Connection: Upgrade",
    rb"Sec-WebSocket-Key: [A-Za-z0-9+/]{21}[AQgw]==",
    rb"Sec-WebSocket-Version: 13",
    rb"Sec-WebSocket-Protocol: " + re.escape(SUBPROTOCOL.encode()),
)
"""Of the key the last character has two bits: it is 16 random bytes (RFC 6455, 4.1)."""
_POST: Final = (
    rb"Accept: \*/\*",
    rb"Connection: keep-alive",
    rb"User-Agent: " + re.escape(f"python-httpx2/{httpx2.__version__}".encode()),
    rb"Content-Type: application/json",
    rb"Accept-Encoding: identity",
    rb"Content-Length: [1-9]\d{0,6}",
)
_GET_LINE: Final = rf"GET {re.escape(PATH)} HTTP/1\.1".encode()
_POST_LINE: Final = rf"POST {re.escape(PATH)}/(enrol|join|renew|rejoin) HTTP/1\.1".encode()


class HostHeaders(NamedTuple):
    """What `Host` says to the control planes that there are."""

    link: frozenset[bytes]
    """By the websocket client: the name alone."""
    post: frozenset[bytes]
    """By the HTTP client: with the port, unless it is HTTPS' own."""


def expected_hosts(peers: Iterable[str]) -> HostHeaders:
    """Of the control planes at these addresses."""
    known = set(peers)
    return HostHeaders(
        link=frozenset((urlsplit(peer).hostname or "").encode() for peer in known),
        post=frozenset(httpx2.URL(peer).netloc for peer in known),
    )


def excess(head: bytes, hosts: HostHeaders) -> int:
    """Bytes of lines that the agent's own requests do not have; 0 for a head of theirs.

    All of them when one of theirs is lacking, which says something, too.
    """
    first, *lines = head.removesuffix(_END + _END).split(_END)
    if re.fullmatch(_GET_LINE, first):
        left = _expected(hosts.link, _LINK)
    elif re.fullmatch(_POST_LINE, first):
        left = _expected(hosts.post, _POST)
    else:
        return len(head)
    size, lacking = 0, False
    for line in lines:
        place = next((n for n, known in enumerate(left) if re.fullmatch(known, line)), None)
        if place is None:
            size += len(line + _END)
        else:
            lacking |= place > 0
            del left[: place + 1]
    return size or (len(head) if lacking or left else 0)


def _expected(hosts: Iterable[bytes], lines: Sequence[bytes]) -> list[bytes]:
    """Patterns of all lines behind the first, in their order."""
    return [_HOST + b"(" + b"|".join(re.escape(host) for host in hosts) + b")", *lines]
