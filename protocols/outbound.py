"""Where a request goes that is made for somebody else: the target's URL, names, address classes.

A name is resolved once, its addresses are checked, and the connection goes to the one that was
checked: a name that resolves otherwise a moment later changes nothing (DNS rebinding). Who may
reach what is decided by the programs; this says what an address is.
"""

from collections.abc import Awaitable, Callable
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import trio

Address: TypeAlias = IPv4Address | IPv6Address
Resolver: TypeAlias = Callable[[str, int], Awaitable[list[str]]]

HTTPS: Final = 443
HTTP: Final = 80
MAX_URL: Final = 2048
PRIVATE_NETWORKS: Final = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "fc00::/7",
)
"""RFC 1918, RFC 6598, RFC 4193: neither this machine nor its link, where clouds keep secrets."""
_PRIVATE: Final = tuple(map(ip_network, PRIVATE_NETWORKS))
_UNICAST: Final = IPv6Network("2000::/3")  # RFC 4291, 2.4: what is global so far
_TUNNELS: Final = (IPv6Network("2001::/32"), IPv6Network("2002::/16"))  # Teredo, 6to4
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052, 2.1: the last 32 bits are an IPv4 address


class TargetUrl(NamedTuple):
    """A parsed URL: `path` with its query. `host` as TLS has to prove it."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        """The value of the Host header."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        usual = HTTPS if self.scheme == "https" else HTTP
        return name if self.port == usual else f"{name}:{self.port}"

    def url_at(self, address: str) -> str:
        """The URL at the checked address; `host` goes along as Host and for TLS."""
        pinned = f"[{address}]" if ":" in address else address
        return f"{self.scheme}://{pinned}:{self.port}{self.path}"


def parse_target(url: str) -> TargetUrl:
    """The parsed URL; http or https, without a fragment and a user. Raises `ValueError`."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    host.encode("idna")
    odd = any(not "!" <= c <= "~" or c == "\\" for c in url)
    if odd or not host or len(url) > MAX_URL or "@" in parts.netloc or parts.fragment:
        raise ValueError("not a URL to request")
    if parts.scheme not in {"http", "https"}:
        raise ValueError("neither http nor https")
    usual = HTTPS if parts.scheme == "https" else HTTP
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return TargetUrl(parts.scheme, host, usual if port is None else port, path)


class AddressClass(IntEnum):
    """How far inside an address is; what may reach one class may reach those before it."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    FORBIDDEN = 3
    """Links, multicast, reserved: nothing that serves anybody is there."""


def classify(address: Address) -> AddressClass:
    """The class of an address; an IPv6 one that stands for an IPv4 one has that one's."""
    inner = embedded_ipv4(address)
    if inner is not None:
        return classify(inner)
    if address.is_loopback:
        return AddressClass.LOOPBACK
    if any(address in network for network in _PRIVATE if network.version == address.version):
        return AddressClass.PRIVATE
    return AddressClass.PUBLIC if is_public(address) else AddressClass.FORBIDDEN


def is_public(address: Address) -> bool:
    """Whether anybody on the internet reaches it, and no tunnel or translation is meant."""
    if isinstance(address, IPv6Address) and not _is_native(address):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def embedded_ipv4(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for: mapped, or by NAT64."""
    if not isinstance(address, IPv6Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped


def is_literal(host: str) -> bool:
    """Whether the host is an address and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether the host says by itself that it is this machine."""
    return ip_address(host).is_loopback if is_literal(host) else host == "localhost"


async def resolve_host(host: str, port: int) -> list[str]:
    """The addresses of a host by the system's resolver. Raises `OSError`, `UnicodeError`."""
    found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    return [str(entry[4][0]).partition("%")[0] for entry in found]


def _is_native(address: IPv6Address) -> bool:
    """Global unicast, and no tunnel to an IPv4 address."""
    return address in _UNICAST and not any(address in tunnel for tunnel in _TUNNELS)
