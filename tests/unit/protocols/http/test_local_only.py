"""Which hosts a server without TLS answers to."""

import pytest

from protocols.http.local_only import is_local


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8200", "agent.localhost:1", "localhost.", "127.0.0.1:8200",
     "127.8.9.1", "[::1]:8200", "[::1]"],
)  # fmt: skip
def test_names_of_loopback_are_served(host: str) -> None:
    """With a port or without."""
    assert is_local([(b"accept", b"*/*"), (b"host", host.encode())])


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8200", "127.0.0.1.evil.example", "localhost.evil.example",
     "evillocalhost", "10.0.0.1", "[::2]", "localhost@evil.example", "localhost:8200:1", "", " ",
     "127.0.0.1:8200\n", "0.0.0.0:8200"],
)  # fmt: skip
def test_other_names_are_not(host: str) -> None:
    """DNS rebinding sends the attacker's name."""
    assert not is_local([(b"host", host.encode())])


def test_of_two_hosts_both_count() -> None:
    """One that is local hides no other."""
    assert not is_local([(b"host", b"localhost"), (b"host", b"evil.example")])


def test_a_request_without_a_host_is_no_browsers() -> None:
    """HTTP/1.0."""
    assert is_local([])
