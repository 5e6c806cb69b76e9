"""Where a credential counts from: networks, and the client certificate of the connection."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from protocols.link.signing import sha256
from vault.errors import ValidationError
from vault.model.operation import Origin

MAX_CIDRS: Final = 64  # of one token or entry


def parse_cidrs(texts: Iterable[str], field: str) -> tuple[str, ...]:
    """Networks in their one spelling; an address alone is a network of one.

    Raises `ValidationError` for what is none, and for more than `MAX_CIDRS`.
    """
    found = tuple(dict.fromkeys(str(_network(text, field)) for text in texts))
    if len(found) > MAX_CIDRS:
        raise ValidationError(
            "cidr_invalid", f"{field} may have at most {MAX_CIDRS} networks", field=field
        )
    return found


def is_within(ip: str, networks: Iterable[str]) -> bool:
    """Whether an address lies in one of these networks. What is no address lies in none."""
    try:
        address = _plain(ip_address(ip))
    except ValueError:
        return False
    return any(address in _parsed(network) for network in networks)


def shown(network: str) -> str:
    """As OpenBao shows it: a network of one address is the address."""
    return network.removesuffix("/32") if ":" not in network else network.removesuffix("/128")


def are_within(inner: Iterable[str], outer: Iterable[str]) -> bool:
    """Whether each of these networks lies in one of those."""
    allowed = [_parsed(text) for text in outer]
    return all(any(_is_subnet(_parsed(text), other) for other in allowed) for text in inner)


def common_networks(some: Iterable[str], others: Iterable[str]) -> list[str]:
    """What lies in both: of two networks either one lies in the other, or nothing lies in both."""
    ours, theirs = tuple(some), tuple(others)
    narrow = [one for one in ours if are_within((one,), theirs)]
    return list(dict.fromkeys([*narrow, *(one for one in theirs if are_within((one,), ours))]))


def certificate_digest(origin: Origin) -> str:
    """Hex SHA-256 of the client certificate of a connection; empty without one."""
    if origin.peer_certificate is None:
        return ""
    return sha256(origin.peer_certificate).hex()


def _network(text: str, field: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValidationError(
            "cidr_invalid", f"{field} must be networks such as 10.0.0.0/8", field=field
        ) from None


def _parsed(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text)


def _is_subnet(inner: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    if isinstance(inner, IPv4Network) and isinstance(outer, IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, IPv6Network) and isinstance(outer, IPv6Network):
        return inner.subnet_of(outer)
    return False


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address that came in an IPv6 one is the IPv4 address."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped
