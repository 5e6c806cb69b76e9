from ipaddress import ip_address

import pytest
from cryptography.x509 import (
    AuthorityKeyIdentifier,
    DNSName,
    ExtendedKeyUsage,
    IPAddress,
    SubjectAlternativeName,
)

from protocols.pki import profile
from protocols.pki.certificates import find_extension, key_identifier, validity_period
from protocols.pki.errors import AuthorityError
from protocols.pki.issuance import issue_agent, issue_server
from protocols.pki.keys import KeyKind, new_curve_key
from tests.unit.protocols.pki.samples import NAME, NOW, make_pki

A = make_pki("a")
KEY = new_curve_key(KeyKind.LEAF).public_key()


def test_an_agents_leaf() -> None:
    """24 hours, clients only, one critical name, no subject, its issuer's identifier."""
    leaf = issue_agent(A.authority, NAME, KEY, NOW)
    san = leaf.extensions.get_extension_for_class(SubjectAlternativeName)
    issuer = find_extension(leaf, AuthorityKeyIdentifier)
    assert validity_period(leaf) == (NOW - profile.SKEW, NOW + profile.AGENT_LIFE)
    assert find_extension(leaf, ExtendedKeyUsage) == profile.AGENT_USE
    assert san.critical
    assert [name.value for name in san.value] == [NAME.uri]
    assert not list(leaf.subject)
    assert issuer is not None
    assert issuer.key_identifier is not None
    assert issuer.key_identifier.hex() == A.authority.id == key_identifier(A.authority.certificate)


def test_a_servers_leaf_names_its_hosts_too() -> None:
    """For clients that look at hosts."""
    hosts = ["localhost", ip_address("127.0.0.1")]
    san = find_extension(issue_server(A.authority, hosts, KEY, NOW), SubjectAlternativeName)
    assert san is not None
    assert san.get_values_for_type(DNSName) == ["localhost"]
    assert san.get_values_for_type(IPAddress) == [ip_address("127.0.0.1")]
    with pytest.raises(AuthorityError, match="ASCII"):
        issue_server(A.authority, ["h\N{LATIN SMALL LETTER O WITH DIAERESIS}st"], KEY, NOW)


def test_serials_are_random_and_never_the_same() -> None:
    """Up to 159 bits, so that no DER integer has more than 20 bytes."""
    serials = {issue_agent(A.authority, NAME, KEY, NOW).serial_number for _ in range(50)}
    assert len(serials) == 50
    assert all(0 < serial < 2**159 for serial in serials)
    assert max(serial.bit_length() for serial in serials) > 150


def test_a_leaf_never_outlives_its_issuer() -> None:
    """It is shortened; an expired authority issues nothing."""
    end = A.authority.not_after
    leaf = issue_agent(A.authority, NAME, KEY, end - profile.HOUR)
    assert validity_period(leaf)[1] == end
    with pytest.raises(AuthorityError, match="expired"):
        issue_agent(A.authority, NAME, KEY, end)


def test_a_leafs_key_is_p256() -> None:
    """Whatever came through."""
    with pytest.raises(AuthorityError, match="P-256"):
        issue_agent(A.authority, NAME, new_curve_key(KeyKind.AUTHORITY).public_key(), NOW)
