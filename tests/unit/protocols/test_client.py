"""Who an address is of."""

import pytest

from protocols.client import client_of


@pytest.mark.parametrize(
    ("ip", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix:", ""),
    ],
)
def test_whose_an_address_is(ip: str, client: str) -> None:
    """An IPv6 network is one client's: it has more addresses than we count."""
    assert client_of(ip) == client
