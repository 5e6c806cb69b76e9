import pytest
from cryptography.x509 import (
    BasicConstraints,
    CertificateBuilder,
    Name,
    SubjectAlternativeName,
    random_serial_number,
)
from hypothesis import given
from hypothesis import strategies as st

from protocols.pki import profile
from protocols.pki.certificates import (
    MAX_CERTIFICATE,
    MAX_CHAIN,
    find_extension,
    key_identifier,
    parse_certificate,
    parse_pem_chain,
    public_key,
    serial_of,
    to_der,
    to_pem,
    validity_period,
    whole_second,
)
from protocols.pki.errors import ChainError
from protocols.pki.keys import KeyKind, key_hash, new_curve_key
from tests.unit.protocols.pki.samples import NOW, make_pki

ROOT = make_pki("a").root


def test_a_certificate_comes_back_in_either_form() -> None:
    """DER and PEM, in order."""
    other = make_pki("b").root.certificate
    assert parse_certificate(to_der(ROOT.certificate)) == ROOT.certificate
    assert parse_pem_chain(to_pem([ROOT.certificate, other])) == [ROOT.certificate, other]


@given(st.binary(max_size=300))
def test_garbage_is_a_typed_error(data: bytes) -> None:
    """In either form."""
    for read in (parse_certificate, parse_pem_chain):
        with pytest.raises(ChainError):
            read(data)


def test_bounds_come_before_parsing() -> None:
    """Of a certificate and of a chain."""
    with pytest.raises(ChainError, match="at most"):
        parse_certificate(bytes(MAX_CERTIFICATE + 1))
    with pytest.raises(ChainError, match="at most"):
        parse_pem_chain(to_pem([ROOT.certificate]) * (MAX_CHAIN + 1))


def test_the_facts_that_matter() -> None:
    """Key, serial in 40 digits, identifier, validity in nanoseconds."""
    certificate = ROOT.certificate
    assert key_hash(public_key(certificate)) == key_hash(ROOT.key.public_key())
    assert int(serial_of(certificate), 16) == certificate.serial_number
    assert len(serial_of(certificate)) == len(key_identifier(certificate)) == 40
    assert validity_period(certificate) == (NOW - profile.SKEW, NOW + profile.ROOT_LIFE)
    assert find_extension(certificate, BasicConstraints) == profile.authority_constraints(2)
    assert find_extension(certificate, SubjectAlternativeName) is None


def test_an_authority_without_an_identifier_is_told() -> None:
    """Issuers are found by it."""
    key = new_curve_key(KeyKind.AUTHORITY)
    bare = (
        CertificateBuilder()
        .subject_name(Name([]))
        .issuer_name(Name([]))
        .public_key(key.public_key())
        .serial_number(random_serial_number())
        .not_valid_before(whole_second(NOW))
        .not_valid_after(whole_second(NOW))
        .sign(key, profile.AUTHORITY_DIGEST)
    )
    with pytest.raises(ChainError, match="identifier"):
        key_identifier(bare)
