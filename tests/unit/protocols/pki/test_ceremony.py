import pytest
from cryptography.x509 import BasicConstraints, KeyUsage

from protocols.pki import profile
from protocols.pki.ceremony import create_root, cross_sign, sign_intermediate
from protocols.pki.certificates import find_extension, validity_period
from protocols.pki.errors import AuthorityError, CsrError
from protocols.pki.keys import KeyKind, new_curve_key
from protocols.pki.requests import create_authority_csr
from tests.unit.protocols.pki.samples import NOW, make_agent, make_pki

A, B = make_pki("a"), make_pki("b")
REQUEST = create_authority_csr(new_curve_key(KeyKind.AUTHORITY), "x")


def test_the_profile_of_authorities() -> None:
    """Path lengths 2, 1 and 0; they sign certificates and nothing else."""
    cross = cross_sign(A.root, B.root.certificate, NOW)
    for certificate, path in (
        (A.root.certificate, 2),
        (cross, 1),
        (A.authority.certificate, 0),
    ):
        assert find_extension(certificate, BasicConstraints) == BasicConstraints(
            ca=True, path_length=path
        )
        assert find_extension(certificate, KeyUsage) == profile.authority_usage()
        assert certificate.serial_number.bit_length() <= 159


def test_none_outlives_its_issuer() -> None:
    """An intermediate of an old root ends with it; an expired one issues nothing."""
    last = NOW + profile.ROOT_LIFE
    late = sign_intermediate(A.root, REQUEST, last - profile.DAY)
    assert validity_period(late)[1] == last
    for late_act in (
        lambda: sign_intermediate(A.root, REQUEST, last),
        lambda: cross_sign(A.root, B.root.certificate, last),
    ):
        with pytest.raises(AuthorityError, match="expired"):
            late_act()


def test_a_root_is_p384_and_signs_requests_only() -> None:
    """Other keys and other bytes are refused."""
    with pytest.raises(AuthorityError):
        create_root(new_curve_key(KeyKind.LEAF), "x", NOW)
    with pytest.raises(CsrError):
        sign_intermediate(A.root, REQUEST[:-40], NOW)
    with pytest.raises(AuthorityError, match="must be an authority"):
        cross_sign(A.root, make_agent(A).chain[0], NOW)
