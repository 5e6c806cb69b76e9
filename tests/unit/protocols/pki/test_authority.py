import pytest

from protocols.pki import profile
from protocols.pki.authority import (
    CrossCertificate,
    IssuingAuthority,
    check_signed,
    is_cross,
    same_authority,
)
from protocols.pki.ceremony import cross_sign, sign_intermediate
from protocols.pki.errors import AuthorityError
from protocols.pki.keys import KeyKind, new_curve_key
from protocols.pki.requests import create_authority_csr
from tests.unit.protocols.pki.samples import NOW, cross_of, make_agent, make_pki

A, B = make_pki("a"), make_pki("b")


def test_an_authority_is_a_key_with_its_certificate_under_its_root() -> None:
    """Anything else is refused before it issues."""
    key = new_curve_key(KeyKind.AUTHORITY)
    signed = sign_intermediate(A.root, create_authority_csr(key, "x"), NOW)
    assert IssuingAuthority.verified(key, signed, A.root.certificate).issuers == (
        signed,
        A.root.certificate,
    )
    with pytest.raises(AuthorityError, match="another key"):
        IssuingAuthority.verified(A.authority.key, signed, A.root.certificate)
    with pytest.raises(AuthorityError, match="not signed by"):
        IssuingAuthority.verified(key, signed, B.root.certificate)
    with pytest.raises(AuthorityError, match="path length 0"):
        IssuingAuthority.verified(A.root.key, A.root.certificate, A.root.certificate)
    agent = make_agent(A)
    with pytest.raises(AuthorityError, match="path length 0"):
        IssuingAuthority.verified(agent.key, agent.chain[0], A.root.certificate)


def test_a_cross_certificate_must_be_of_the_root() -> None:
    """And by its signer; servers then show the way to either root."""
    a, b = A.root, B.root
    parts = (B.authority.key, B.authority.certificate, b.certificate)
    cross = CrossCertificate(cross_sign(a, b.certificate, NOW), a.certificate)
    assert IssuingAuthority.verified(*parts, cross).issuers == (B.authority.certificate, *cross)
    with pytest.raises(AuthorityError, match="another root"):
        IssuingAuthority.verified(
            *parts, CrossCertificate(cross_sign(b, a.certificate, NOW), b.certificate)
        )
    with pytest.raises(AuthorityError, match="not signed by"):
        IssuingAuthority.verified(*parts, CrossCertificate(cross.certificate, b.certificate))
    with pytest.raises(AuthorityError, match="an intermediate below it"):
        IssuingAuthority.verified(
            *parts, CrossCertificate(cross_of(a, b.certificate, 0), a.certificate)
        )


def test_a_cross_certificate_is_of_a_root() -> None:
    """It has a path length of 1 or more, or none, and signs certificates; its signer is a root."""
    a, b = A.root, B.root.certificate
    for path, proves in ((None, True), (2, True), (1, True), (0, False)):
        assert is_cross(cross_of(a, b, path), b, a.certificate) is proves
    assert not is_cross(cross_of(a, b, 1, usage=profile.leaf_usage()), b, a.certificate)
    taken = A.authority.certificate
    assert not is_cross(taken, taken, a.certificate)
    assert not is_cross(b, b, a.certificate)
    assert not is_cross(make_agent(A).chain[0], make_agent(A).chain[0], a.certificate)


def test_a_leaf_signs_nothing() -> None:
    """As an issuer it is refused before its signature is looked at."""
    agent = make_agent(A)
    with pytest.raises(AuthorityError, match="no authority"):
        check_signed(B.root.certificate, agent.chain[0])
    check_signed(A.authority.certificate, A.root.certificate)
    with pytest.raises(AuthorityError, match="not signed by"):
        check_signed(A.authority.certificate, B.root.certificate)


def test_an_authority_is_its_key_and_name() -> None:
    """Whoever certified it."""
    cross = cross_sign(A.root, B.root.certificate, NOW)
    assert same_authority(cross, B.root.certificate)
    assert not same_authority(cross, A.root.certificate)
