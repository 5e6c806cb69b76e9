"""Asking whether a certificate was revoked (OCSP, RFC 6960, in the profile of RFC 5019).

An answer counts if it is about this certificate, if its issuer or whoever the issuer has named for
that has signed it, and if it is of now. SHA-1 only names the issuer in it, as all responders know
it; a signature with it does not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import MD5, SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import (
    AuthorityInformationAccess,
    Certificate,
    ExtendedKeyUsage,
    OCSPNonce,
    SubjectKeyIdentifier,
    UniformResourceIdentifier,
    ocsp,
)
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from protocols.instant import SECOND
from protocols.pki.certificates import find_extension, parser_errors_as, validity_period
from protocols.pki.errors import PkiError

REQUEST_TYPE: Final = "application/ocsp-request"
RESPONSE_TYPE: Final = "application/ocsp-response"
MAX_ANSWER: Final = 64 << 10  # bytes: an answer has one certificate or two
MAX_RESPONDERS: Final = 4  # of a certificate
SKEW: Final = 60 * SECOND  # that clocks may differ
DEFAULT_MAX_AGE: Final = 3600 * SECOND  # of an answer that does not say when the next one comes


class OcspError(PkiError):
    """An answer that says nothing, for one of our reasons."""


class CertificateStatus(StrEnum):
    """What a responder says of a certificate."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class OcspAnswer:
    """A verified answer. `until`: Unix ns, from when on it has to be asked anew."""

    status: CertificateStatus
    until: int


@dataclass(frozen=True, kw_only=True)
class OcspQuestion:
    """About which certificate, of which issuer. `trusted`: who may sign the answer besides."""

    leaf: Certificate
    issuer: Certificate
    trusted: tuple[Certificate, ...] = ()
    nonce: bytes = b""
    max_age: int = 0  # ns since an answer was made; 0: what it says itself

    def request(self) -> ocsp.OCSPRequest:
        """As it is sent."""
        builder = ocsp.OCSPRequestBuilder().add_certificate(self.leaf, self.issuer, SHA1())  # noqa: S303  # a name
        if self.nonce:
            builder = builder.add_extension(OCSPNonce(self.nonce), critical=False)
        return builder.build()

    def encode(self) -> bytes:
        """DER."""
        return self.request().public_bytes(Encoding.DER)


def responders_of(certificate: Certificate) -> tuple[str, ...]:
    """Where its issuer says that it can be asked about."""
    access = find_extension(certificate, AuthorityInformationAccess)
    found = [
        each.access_location.value
        for each in access or ()
        if each.access_method == AuthorityInformationAccessOID.OCSP
        and isinstance(each.access_location, UniformResourceIdentifier)
    ]
    return tuple(found[:MAX_RESPONDERS])


def read_answer(data: bytes, question: OcspQuestion, now: int) -> OcspAnswer:
    """What an answer says, at `now` (Unix ns). Raises `OcspError`."""
    if len(data) > MAX_ANSWER:
        raise OcspError(f"its answer is larger than {MAX_ANSWER} bytes")
    with parser_errors_as(OcspError, "its answer cannot be read"):
        return _read(ocsp.load_der_ocsp_response(data), question, now)


def _read(found: ocsp.OCSPResponse, question: OcspQuestion, now: int) -> OcspAnswer:
    if found.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise OcspError("it answers with an error: it may not know this issuer")
    _check_nonce(found, question)
    _check_signature(found, question, now)
    asked = question.request()
    names = (asked.serial_number, asked.issuer_name_hash, asked.issuer_key_hash)
    for single in found.responses:
        about = (single.serial_number, single.issuer_name_hash, single.issuer_key_hash)
        if about == names and isinstance(single.hash_algorithm, SHA1):
            until = _check_times(single, question, now)
            return OcspAnswer(status=_STATUSES[single.certificate_status], until=until)
    raise OcspError("it answers about another certificate")


_STATUSES: Final = {
    ocsp.OCSPCertStatus.GOOD: CertificateStatus.GOOD,
    ocsp.OCSPCertStatus.REVOKED: CertificateStatus.REVOKED,
    ocsp.OCSPCertStatus.UNKNOWN: CertificateStatus.UNKNOWN,
}


def _check_nonce(found: ocsp.OCSPResponse, question: OcspQuestion) -> None:
    """Responders that sign beforehand leave it out; one that is there is ours (RFC 8954)."""
    nonces = [each.value.nonce for each in found.extensions if isinstance(each.value, OCSPNonce)]
    if nonces and nonces != [question.nonce]:
        raise OcspError("its answer is to another question (nonce)")


def _check_times(single: ocsp.OCSPSingleResponse, question: OcspQuestion, now: int) -> int:
    made = _ns(single.this_update_utc)
    if made > now + SKEW:
        raise OcspError("its answer is from the future: compare the clocks")
    ends = [made + question.max_age] if question.max_age else []
    if single.next_update_utc is not None:
        ends.append(_ns(single.next_update_utc))
    until = min(ends, default=made + DEFAULT_MAX_AGE)
    if until + SKEW <= now:
        raise OcspError("its answer is out of date")
    return until


def _check_signature(found: ocsp.OCSPResponse, question: OcspQuestion, now: int) -> None:
    if found.signature_hash_algorithm is not None and isinstance(
        found.signature_hash_algorithm, SHA1 | MD5
    ):
        raise OcspError("its answer is signed with an algorithm that does not count")
    for signer in _signers(found, question, now):
        if _is_named(found, signer) and _has_signed(found, signer):
            return
    raise OcspError("its answer is not signed by the certificate's issuer")


def _signers(found: ocsp.OCSPResponse, question: OcspQuestion, now: int) -> Sequence[Certificate]:
    """Who may: the issuer, those that are trusted here, and whom these have named (4.2.2.2)."""
    own = [question.issuer, *(each for each in question.trusted if _is_current(each, now))]
    named = [
        each
        for each in found.certificates
        if any(_is_delegate(each, issuer, now) for issuer in own)
    ]
    return [*own, *named]


def _is_current(certificate: Certificate, now: int) -> bool:
    begin, end = validity_period(certificate)
    return begin <= now <= end


def _is_delegate(certificate: Certificate, issuer: Certificate, now: int) -> bool:
    use = find_extension(certificate, ExtendedKeyUsage)
    if use is None or ExtendedKeyUsageOID.OCSP_SIGNING not in use:
        return False
    if isinstance(certificate.signature_hash_algorithm, SHA1 | MD5):
        return False
    return _is_current(certificate, now) and is_issued_by(certificate, issuer)


def is_issued_by(certificate: Certificate, issuer: Certificate) -> bool:
    """Whether a certificate is of this issuer: its name, and its signature."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_named(found: ocsp.OCSPResponse, signer: Certificate) -> bool:
    """Whether the answer says that this one has signed it."""
    if found.responder_name is not None:
        return found.responder_name == signer.subject
    key = SubjectKeyIdentifier.from_public_key(signer.public_key())
    return found.responder_key_hash == key.digest  # not secret: public


def _has_signed(found: ocsp.OCSPResponse, signer: Certificate) -> bool:
    key, hashed = signer.public_key(), found.signature_hash_algorithm
    data, signature = found.tbs_response_bytes, found.signature
    try:
        if isinstance(key, rsa.RSAPublicKey) and hashed is not None:
            key.verify(signature, data, padding.PKCS1v15(), hashed)
        elif isinstance(key, ec.EllipticCurvePublicKey) and hashed is not None:
            key.verify(signature, data, ec.ECDSA(hashed))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _ns(at: datetime) -> int:
    return int(at.timestamp()) * SECOND
