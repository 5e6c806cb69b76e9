"""Certificate requests (PKCS #10, RFC 2986): a key and the proof that its owner asks.

An agent's request carries nothing else: no subject, no extension, no attribute. Its name comes from
what lets it in (a token, its present certificate, a person), never from what it says.
"""

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import (
    CertificateSigningRequest,
    CertificateSigningRequestBuilder,
    Name,
    load_der_x509_csr,
    load_pem_x509_csr,
)

from protocols.pki import profile
from protocols.pki.certificates import parser_errors_as
from protocols.pki.errors import CsrError
from protocols.pki.keys import KeyKind, kind_of

MAX_REQUEST: Final = 1024
"""Bytes of an agent's request in DER. Ours have about 180."""
MAX_AUTHORITY_REQUEST: Final = 8 * 1024


def create_csr(key: EllipticCurvePrivateKey) -> bytes:
    """The request of an agent's P-256 key, in DER."""
    builder = CertificateSigningRequestBuilder().subject_name(Name([]))
    return builder.sign(key, profile.LEAF_DIGEST).public_bytes(Encoding.DER)


def verify_csr(der: bytes) -> EllipticCurvePublicKey:
    """The key that asks, proven to be the asker's.

    Raises `CsrError` when the request is over `MAX_REQUEST` bytes, cannot be read, is not
    signed by its own key, is not for a P-256 key, or says anything beside that key.
    """
    if len(der) > MAX_REQUEST:
        raise CsrError(f"a certificate request has at most {MAX_REQUEST} bytes")
    request = _load(der, pem=False)
    key = _proven(request, KeyKind.LEAF)
    if not isinstance(request.signature_hash_algorithm, SHA256):
        raise CsrError("a certificate request is signed by ECDSA with SHA-256")
    if list(request.subject) or list(request.extensions) or list(request.attributes):
        raise CsrError("a certificate request names nobody: the name comes from who lets it in")
    return key


def create_authority_csr(key: EllipticCurvePrivateKey, label: str) -> bytes:
    """The request of our intermediate's P-384 key in PEM, for a root that is not ours.

    It asks for the constraints that `IssuingAuthority` will insist on.
    """
    builder = (
        CertificateSigningRequestBuilder()
        .subject_name(profile.authority_name(label))
        .add_extension(profile.authority_constraints(profile.INTERMEDIATE_PATH), critical=True)
        .add_extension(profile.authority_usage(), critical=True)
    )
    return builder.sign(key, profile.AUTHORITY_DIGEST).public_bytes(Encoding.PEM)


def verify_authority_csr(pem: bytes) -> tuple[EllipticCurvePublicKey, Name]:
    """Key and subject of an intermediate's request. Raises `CsrError` as `verify_csr`."""
    if len(pem) > MAX_AUTHORITY_REQUEST:
        raise CsrError(f"an authority's request has at most {MAX_AUTHORITY_REQUEST} bytes")
    request = _load(pem, pem=True)
    return _proven(request, KeyKind.AUTHORITY), request.subject


def _load(data: bytes, *, pem: bool) -> CertificateSigningRequest:
    with parser_errors_as(CsrError, "not a certificate request that can be read"):
        request = load_pem_x509_csr(data) if pem else load_der_x509_csr(data)
        _ = request.subject, request.extensions, list(request.attributes)  # read on demand only
        return request


def _proven(request: CertificateSigningRequest, kind: KeyKind) -> EllipticCurvePublicKey:
    with parser_errors_as(CsrError, "a certificate request's key cannot be read"):
        key = request.public_key()
        proven = request.is_signature_valid
    if not isinstance(key, EllipticCurvePublicKey) or kind_of(key) is not kind:
        raise CsrError(f"a certificate request here is for a {kind} key")
    if not proven:
        raise CsrError("a certificate request must be signed by its own key")
    return key
