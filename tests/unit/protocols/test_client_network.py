"""Who an address is of."""

import pytest

from protocols.client_network import client_network, site_network


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
    assert client_network(ip) == client


@pytest.mark.parametrize(
    ("ip", "site"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("2001:db8::1", "2001:db8::/48"),
        ("", ""),
    ],
)
def test_what_one_client_may_have_at_most(ip: str, site: str) -> None:
    """Who is given a /48 has 65,536 networks, and is still one."""
    assert site_network(ip) == site
