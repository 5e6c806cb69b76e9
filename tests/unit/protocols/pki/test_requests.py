from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import (
    BasicConstraints,
    CertificateSigningRequestBuilder,
    Name,
    NameAttribute,
    SubjectAlternativeName,
)
from cryptography.x509.oid import AttributeOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from protocols.pki.errors import CsrError
from protocols.pki.keys import KeyKind, key_hash, new_curve_key
from protocols.pki.requests import (
    MAX_REQUEST,
    create_authority_csr,
    create_csr,
    verify_authority_csr,
    verify_csr,
)
from tests.unit.protocols.pki.samples import uris

KEY = new_curve_key(KeyKind.LEAF)
GOOD = create_csr(KEY)


def _builder() -> CertificateSigningRequestBuilder:
    return CertificateSigningRequestBuilder().subject_name(Name([]))


def _der(builder: CertificateSigningRequestBuilder, key: Any = KEY, digest: Any = None) -> bytes:
    return builder.sign(key, digest or SHA256()).public_bytes(Encoding.DER)


def test_a_request_is_its_key() -> None:
    """And well under the bound."""
    assert key_hash(verify_csr(GOOD)) == key_hash(KEY.public_key())
    assert len(GOOD) < MAX_REQUEST // 4


@pytest.mark.parametrize(
    "csr",
    [
        _der(
            CertificateSigningRequestBuilder().subject_name(
                Name([NameAttribute(NameOID.COMMON_NAME, "freehold://acme/vaults/prod")])
            )
        ),
        _der(
            _builder().add_extension(
                SubjectAlternativeName(uris("freehold://foreign/vaults/prod")), critical=False
            )
        ),
        _der(
            _builder().add_extension(
                SubjectAlternativeName(uris("freehold://acme/vaults/other")), critical=True
            )
        ),
        _der(_builder().add_extension(BasicConstraints(ca=True, path_length=None), critical=True)),
        _der(_builder().add_attribute(AttributeOID.CHALLENGE_PASSWORD, b"x")),
    ],
    ids=["subject", "foreign org", "foreign vault", "wants to be an authority", "attribute"],
)
def test_it_may_name_nobody(csr: bytes) -> None:
    """A name in it is refused even if it is the right one: there is one place for names."""
    with pytest.raises(CsrError, match="names nobody"):
        verify_csr(csr)


@pytest.mark.parametrize(
    "csr",
    [
        _der(_builder(), ec.generate_private_key(ec.SECP384R1())),
        _der(_builder(), ec.generate_private_key(ec.SECP256K1())),
        _der(_builder(), rsa.generate_private_key(65537, 2048)),
        _builder().sign(ed25519.Ed25519PrivateKey.generate(), None).public_bytes(Encoding.DER),
        _der(_builder(), KEY, SHA512()),
    ],
    ids=["P-384", "secp256k1", "RSA", "Ed25519", "SHA-512"],
)
def test_one_algorithm(csr: bytes) -> None:
    """P-256 with SHA-256, and nothing to negotiate."""
    with pytest.raises(CsrError):
        verify_csr(csr)


def test_the_key_must_have_signed_it() -> None:
    """A request for somebody else's public key is refused: the signature is no proof."""
    other = create_csr(new_curve_key(KeyKind.LEAF))
    head, tail = GOOD.index(b"\x03\x42\x00"), other.index(b"\x03\x42\x00")
    swapped = GOOD[:head] + other[tail : tail + 68] + GOOD[head + 68 :]
    with pytest.raises(CsrError, match="signed by its own key"):
        verify_csr(swapped)


@given(st.binary(max_size=2 * MAX_REQUEST))
def test_garbage_is_a_typed_error(data: bytes) -> None:
    """Whatever the bytes, as a request of either kind."""
    for check in (verify_csr, verify_authority_csr):
        with pytest.raises(CsrError):
            check(data)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.booleans())
def test_one_byte_more_less_or_other_is_a_typed_error(at: int, byte: int, insert: bool) -> None:
    """Every byte is covered by the structure or the signature."""
    changed = GOOD[:at] + bytes([byte]) + GOOD[at if insert else at + 1 :]
    if changed != GOOD:
        with pytest.raises(CsrError):
            verify_csr(changed)


def test_a_large_request_is_not_parsed() -> None:
    """The bound comes first."""
    with pytest.raises(CsrError, match="at most"):
        verify_csr(GOOD + bytes(MAX_REQUEST))


def test_an_intermediates_request_is_for_a_p384_key() -> None:
    """With the label as its subject."""
    key = new_curve_key(KeyKind.AUTHORITY)
    public, subject = verify_authority_csr(create_authority_csr(key, "ours"))
    assert key_hash(public) == key_hash(key.public_key())
    assert subject.rfc4514_string() == "CN=ours"
    with pytest.raises(CsrError, match="P-384"):
        verify_authority_csr(create_authority_csr(KEY, "leaf"))
