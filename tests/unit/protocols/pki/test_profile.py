from ipaddress import ip_address

import pytest
from cryptography.x509 import DNSName, IPAddress, UniformResourceIdentifier

from protocols.pki import profile


def test_leaves_sign_handshakes_and_authorities_certificates() -> None:
    """Neither does the other's."""
    leaf, authority = profile.leaf_usage(), profile.authority_usage()
    assert (leaf.digital_signature, leaf.key_cert_sign, leaf.crl_sign) == (True, False, False)
    assert (authority.digital_signature, authority.key_cert_sign) == (False, True)
    assert authority.crl_sign
    assert profile.authority_constraints(0).path_length == 0


def test_names_are_of_their_kind() -> None:
    """A host is never taken for an address, nor an identity for a host."""
    assert isinstance(profile.host_name("localhost"), DNSName)
    assert isinstance(profile.host_name(ip_address("::1")), IPAddress)
    assert isinstance(profile.uri_name("freehold://control-plane"), UniformResourceIdentifier)
    assert profile.authority_name("x").rfc4514_string() == "CN=x"
    with pytest.raises(ValueError, match="A-label"):
        profile.host_name("h\N{LATIN SMALL LETTER O WITH DIAERESIS}st")
