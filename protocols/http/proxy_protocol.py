"""The PROXY protocol: the address of a client behind a proxy that forwards bytes.

A proxy that does not end TLS cannot write an HTTP header. It sends the client's address ahead of
all other bytes of the connection, as text (version 1) or binary (version 2). Sections are those of
https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from protocols.http.asgi import Address
from protocols.http.errors import ProxyHeaderError

MAX_TEXT: Final = 107
"""Bytes of the longest version 1 header, its CRLF included (section 2.1)."""
MAX_BLOCK: Final = 2048
"""Bytes behind the fixed part of a version 2 header: at most 216 of addresses, the rest are TLVs.
Section 2.2 lets a receiver refuse more than it expects; known senders stay below 536."""

_TEXT: Final = b"PROXY "
_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED: Final = len(_SIGNATURE) + 4
_VERSION: Final = 0x2
_LOCAL: Final = 0x0
_PROXY: Final = 0x1
_WITHOUT_IP: Final = {0x00: 0, 0x31: 216}
"""UNSPEC and UNIX stream: the bytes of both addresses."""
_IP_BYTES: Final = {0x11: 4, 0x21: 16}
"""TCP over IPv4 and over IPv6: the bytes of one address."""
_TEXT_KINDS: Final[dict[str, type[IPv4Address] | type[IPv6Address]]] = {
    "TCP4": IPv4Address,
    "TCP6": IPv6Address,
}
_PORT: Final = re.compile(r"0|[1-9][0-9]{0,4}")
_MAX_PORT: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """`size` bytes of header. `client` is None where the connection's own peer is the client.

    That is so for a connection of the proxy itself (a health check) and for a client that has no
    IP address.
    """

    size: int
    client: Address | None


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header at the beginning of `data`; None while it is incomplete.

    Raises ProxyHeaderError as soon as it cannot become a header.
    """
    if _SIGNATURE.startswith(data[: len(_SIGNATURE)]):
        return _parse_binary(data)
    if _TEXT.startswith(data[: len(_TEXT)]):
        return _parse_text(data)
    raise ProxyHeaderError("the connection does not begin with a PROXY protocol header")


def _parse_text(data: bytes) -> ProxyHeader | None:
    """Section 2.1."""
    end = data.find(b"\r\n", 0, MAX_TEXT)
    if end < 0:
        if len(data) >= MAX_TEXT:
            raise ProxyHeaderError(f"version 1: longer than {MAX_TEXT} bytes")
        return None
    size = end + 2
    words = data[:end].decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return ProxyHeader(size, None)
    try:
        _, kind, source, destination, *ports = words
        client, _server = _TEXT_KINDS[kind](source), _TEXT_KINDS[kind](destination)
    except (ValueError, KeyError):
        raise ProxyHeaderError("version 1: protocol or addresses are malformed") from None
    if len(ports) != 2 or not all(map(_is_port, ports)) or "%" in source + destination:  # noqa: PLR2004 - two ends
        raise ProxyHeaderError("version 1: ports or addresses are malformed")
    return ProxyHeader(size, (_plain(client), int(ports[0])))


def _parse_binary(data: bytes) -> ProxyHeader | None:
    """Section 2.2. TLVs are not looked at."""
    if len(data) < _FIXED:
        return None
    version, command = divmod(data[len(_SIGNATURE)], 16)
    family = data[len(_SIGNATURE) + 1]
    length = int.from_bytes(data[_FIXED - 2 : _FIXED], "big")
    if version != _VERSION or command not in {_LOCAL, _PROXY}:
        raise ProxyHeaderError("version 2: unknown version or command")
    if length > MAX_BLOCK:
        raise ProxyHeaderError(f"version 2: more than {MAX_BLOCK} bytes of addresses and TLVs")
    size = _FIXED + length
    if len(data) < size:
        return None
    if command == _LOCAL:  # whatever else it says is to be ignored
        return ProxyHeader(size, None)
    ip_bytes = _IP_BYTES.get(family, 0)
    needed = 2 * (ip_bytes + 2) if ip_bytes else _WITHOUT_IP.get(family)
    if needed is None:
        raise ProxyHeaderError("version 2: neither TCP nor a UNIX stream")
    if length < needed:
        raise ProxyHeaderError("version 2: shorter than its addresses")
    if not ip_bytes:
        return ProxyHeader(size, None)
    packed = data[_FIXED : _FIXED + ip_bytes]
    ports = _FIXED + 2 * ip_bytes
    port = int.from_bytes(data[ports : ports + 2], "big")
    client = IPv4Address(packed) if len(packed) == _IP_BYTES[0x11] else IPv6Address(packed)
    return ProxyHeader(size, (_plain(client), port))


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text) <= _MAX_PORT


def _plain(address: IPv4Address | IPv6Address) -> str:
    """As text; an IPv4 address within IPv6 is that address."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
