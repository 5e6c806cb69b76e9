"""Who is behind the proxies that the owner of a server trusts: nobody else's word counts.

Each proxy adds the address that it was reached from at the right end of one header: `Forwarded`
(RFC 7239) or `X-Forwarded-For`. What a client sends itself is left of that. So the list is read
from the right, and the first address that is no trusted proxy's is the client. What is there that
is no address ends the reading: the client is then the last proxy that was believed, which shares
out its limits and gives away nothing.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, TypeAlias

from protocols.http.asgi import App, Headers, Receive, Scope, Send

MAX_HOPS: Final = 32
"""That are looked at: proxies in a row, and commas in a quoted string."""
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR: Final = rf'{_TOKEN}=(?:{_TOKEN}|"(?:[^"\\]|\\.)*")'
_ELEMENT: Final = re.compile(rf"[ \t]*{_PAIR}(?:[ \t]*;[ \t]*{_PAIR})*[ \t]*")
_NAMED: Final = re.compile(rf'({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*")')
_PORT: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::[0-9]{1,5})?")

Ip: TypeAlias = IPv4Address | IPv6Address


class ForwardingHeader(StrEnum):
    """Which one the proxies write. The others are a client's own, and not looked at.

    `PROXY_PROTOCOL` is no HTTP header: the server reads it before TLS (`proxy_protocol`).
    """

    X_FORWARDED_FOR = "x-forwarded-for"
    FORWARDED = "forwarded"
    PROXY_PROTOCOL = "proxy-protocol"


class ProxyTrust(Enum):
    """What a server believes of the peer of a connection. False for a client."""

    NONE = 0
    HTTP_HEADER = 1
    PROXY_PROTOCOL = 2

    def __bool__(self) -> bool:
        return self is not ProxyTrust.NONE


class TrustedProxies:
    """The trusted ones."""

    def __init__(self, addresses: Sequence[str], header: ForwardingHeader) -> None:
        """`addresses`: of proxies, or networks of nothing but proxies. Raises `ValueError`."""
        self._networks = [ip_network(each) for each in addresses]
        self._header = header.value.encode()
        self._read = _READERS[header]
        self._trust = (
            ProxyTrust.PROXY_PROTOCOL
            if header is ForwardingHeader.PROXY_PROTOCOL
            else ProxyTrust.HTTP_HEADER
        )

    def client_address(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The address of the client, of a connection from `peer`: that, unless it is a proxy's."""
        believed = _address(peer)
        if believed is None or not self._trusts(believed):
            return peer
        lines = [value.decode("latin-1") for name, value in headers if name == self._header]
        for said in self._read(",".join(lines)):
            hop = _address(said)
            if hop is None:
                break
            believed = hop
            if not self._trusts(hop):
                break
        return str(believed)

    def strip_headers(self, headers: Headers) -> Headers:
        """Without what they wrote: it is read, and nobody reads it again otherwise."""
        return [(name, value) for name, value in headers if name != self._header]

    def trust(self, peer: str) -> ProxyTrust:
        """Whether this is one of them, and by which means it names its clients."""
        address = _address(peer)
        return self._trust if address is not None and self._trusts(address) else ProxyTrust.NONE

    def _trusts(self, address: Ip) -> bool:
        return any(address in network for network in self._networks)


class ProxyMiddleware:
    """An ASGI application that sees the clients of proxies as if they had come by themselves."""

    def __init__(self, app: App, proxies: TrustedProxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """With another `client`, whose port is 0: it is not known."""
        peer = scope.get("client")
        if peer and self._proxies.trust(peer[0]):
            client = self._proxies.client_address(peer[0], scope["headers"])
            headers = self._proxies.strip_headers(scope["headers"])
            scope = {**scope, "client": (client, 0), "headers": headers}
        await self._app(scope, receive, send)


def _x_forwarded_for(text: str) -> Iterator[str]:
    """Its elements from the right, the last one (in excess of all that are looked at) as it is."""
    if text:
        yield from (each.strip(" \t") for each in reversed(text.rsplit(",", MAX_HOPS - 1)))


def _forwarded(text: str) -> Iterator[str]:
    """The `for` of each element, from the right; empty for what is none.

    An element is the shortest end behind a comma that is whole: a quote that a client left open
    reaches into nothing that a proxy wrote.
    """
    end, at, looked = len(text), len(text), 0
    while end > 0 and looked < MAX_HOPS:
        looked += 1
        at = text.rfind(",", 0, at)
        element = text[at + 1 : end]
        if _ELEMENT.fullmatch(element):
            found = [value for name, value in _NAMED.findall(element) if name.lower() == "for"]
            yield found[0].strip('"') if len(found) == 1 else ""
            end = at
        if at < 0:
            break
    if end > 0:
        yield ""


def _no_header(text: str) -> Iterator[str]:  # noqa: ARG001 - the shape of the others
    """Nothing that is sent as an HTTP header is believed."""
    yield from ()


_READERS: Final = {
    ForwardingHeader.X_FORWARDED_FOR: _x_forwarded_for,
    ForwardingHeader.FORWARDED: _forwarded,
    ForwardingHeader.PROXY_PROTOCOL: _no_header,
}


def _address(text: str) -> Ip | None:
    """As an address, with or without a port; an IPv4 one within IPv6 is that."""
    plain = text.partition("%")[0]
    with_port = _PORT.fullmatch(plain)
    try:
        found = ip_address((with_port[1] or with_port[2]) if with_port else plain)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
