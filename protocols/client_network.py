"""Who an address is of, for what is counted by client."""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

SUBNET: Final = 64  # bits of an IPv6 address that are one subscriber's (RFC 6177, 2)


SITE: Final = 48  # bits of an IPv6 address that one site has at most (RFC 6177, 2)


def client_network(ip: str) -> str:
    """Whose an address is: itself, or an IPv6 one's network; empty if it is none."""
    try:
        address = ip_address(ip.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped or ip_network((address, SUBNET), strict=False))
    return str(address)


def site_network(ip: str) -> str:
    """The largest that one client may have: an IPv4 address itself, an IPv6 one's /48."""
    client = client_network(ip)
    if ":" not in client:
        return client
    return str(ip_network(client).supernet(new_prefix=SITE))
