"""Certificates of clients that others' authorities issue: what they say, and who vouches for them.

A trusted certificate is an authority, which may have issued the client's, or the client's very own:
then it must be equal to the last byte (a name or a key alone would let another one pass).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import (
    AuthorityKeyIdentifier,
    BasicConstraints,
    Certificate,
    CertificateRevocationList,
    DNSName,
    ExtendedKeyUsage,
    Name,
    RFC822Name,
    SubjectAlternativeName,
    SubjectKeyIdentifier,
    UniformResourceIdentifier,
    UnrecognizedExtension,
    load_der_x509_crl,
    load_pem_x509_crl,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from protocols.pki.certificates import (
    find_extension,
    parse_certificate,
    parse_pem_chain,
    parser_errors_as,
    serial_of,
    to_der,
    validity_period,
    whole_second,
)
from protocols.pki.errors import ChainError, RevokedError

MAX_CRL: Final = 1 << 20  # bytes
_TEXT_TAGS: Final = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii"}  # UTF8, Printable, IA5 (X.690)
_MAX_SHORT: Final = 0x80  # lengths of one byte


@dataclass(frozen=True, kw_only=True)
class ClientCertificate:
    """What a client's certificate says. `fingerprint`: hex SHA-256 of all of it.

    `extensions`: the texts of those that only its makers understand, by OID. `issuer`: DER of
    whoever vouches for it; empty: it is trusted itself. `begins_at`, `ends_at`: Unix ns.
    """

    fingerprint: str
    serial: str
    common_name: str
    organizational_units: tuple[str, ...]
    dns_names: tuple[str, ...]
    emails: tuple[str, ...]
    uris: tuple[str, ...]
    extensions: dict[str, str]
    subject_key: str
    authority_key: str
    begins_at: int
    ends_at: int
    issuer: bytes = b""


def read_client(der: bytes) -> ClientCertificate:
    """What it says. Raises `ChainError`."""
    found = parse_certificate(der)
    names = find_extension(found, SubjectAlternativeName)
    subject_key = find_extension(found, SubjectKeyIdentifier)
    authority_key = find_extension(found, AuthorityKeyIdentifier)
    common = _texts(found.subject, NameOID.COMMON_NAME)
    begins_at, ends_at = validity_period(found)
    if len(common) > 1:
        raise ChainError("a client's certificate has at most one common name")
    return ClientCertificate(
        fingerprint=found.fingerprint(hashes.SHA256()).hex(),
        serial=serial_of(found),
        common_name=common[0] if common else "",
        organizational_units=tuple(_texts(found.subject, NameOID.ORGANIZATIONAL_UNIT_NAME)),
        dns_names=tuple(names.get_values_for_type(DNSName)) if names else (),
        emails=tuple(names.get_values_for_type(RFC822Name)) if names else (),
        uris=tuple(names.get_values_for_type(UniformResourceIdentifier)) if names else (),
        extensions={
            each.oid.dotted_string: _text(each.value.value)
            for each in found.extensions
            if isinstance(each.value, UnrecognizedExtension)
        },
        subject_key="" if subject_key is None else subject_key.digest.hex(),
        authority_key=""
        if authority_key is None or authority_key.key_identifier is None
        else authority_key.key_identifier.hex(),
        begins_at=begins_at,
        ends_at=ends_at,
    )


def check_trusted(pem: str) -> bool:
    """Whether a PEM file of trusted certificates holds authorities: True, or one client's: False.

    Raises `ChainError` for what is neither.
    """
    found = parse_pem_chain(pem.encode())
    authorities = [_is_authority(each) for each in found]
    if not found or (not all(authorities) and len(found) > 1):
        raise ChainError("give one client's certificate, or authorities only")
    return all(authorities)


def verify_client(
    der: bytes, trusted: str, revocations: Sequence[str], now: int
) -> ClientCertificate:
    """The certificate, vouched for by `trusted` (PEM), valid at `now` (Unix ns), not revoked.

    `revocations`: lists in PEM; one counts if the authority has signed it, be it old. Raises
    `RevokedError`, and `ChainError` for any other fault.
    """
    leaf, roots = parse_certificate(der), parse_pem_chain(trusted.encode())
    begin, end = validity_period(leaf)
    if not begin <= now <= end:
        raise ChainError("the certificate is not valid now")
    use = find_extension(leaf, ExtendedKeyUsage)
    if use is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in use:
        raise ChainError("the certificate is not for clients")
    if not check_trusted(trusted):
        if leaf != roots[0]:
            raise ChainError("the certificate is not the trusted one")
        return read_client(der)
    chain = _chain(leaf, roots, now)
    for text in revocations:
        listed = parse_revocations(text)
        for certificate, issuer in pairwise(chain):
            if _is_listed(listed, certificate, issuer):
                raise RevokedError("the certificate was revoked")
    return replace(read_client(der), issuer=to_der(chain[1]) if len(chain) > 1 else b"")


def parse_revocations(text: str) -> CertificateRevocationList:
    """A list in PEM, or in DER as Latin-1. Raises `ChainError`."""
    if len(text) > MAX_CRL:
        raise ChainError(f"a revocation list has at most {MAX_CRL} bytes")
    with parser_errors_as(ChainError, "not a list of revoked certificates"):
        if text.lstrip().startswith("-----"):
            return load_pem_x509_crl(text.encode())
        return load_der_x509_crl(text.encode("latin-1"))


def _chain(leaf: Certificate, roots: list[Certificate], now: int) -> list[Certificate]:
    authorities = ExtensionPolicy.permit_all().require_present(
        BasicConstraints, Criticality.AGNOSTIC, None
    )
    verifier = (
        PolicyBuilder()
        .store(Store(roots))
        .time(whole_second(now))
        .extension_policies(ca_policy=authorities, ee_policy=ExtensionPolicy.permit_all())
        .build_client_verifier()
    )
    with parser_errors_as(ChainError, "the chain cannot be read"):
        try:
            return verifier.verify(leaf, []).chain
        except VerificationError:
            # Its text describes the candidates it tried, in the peer's own words.
            raise ChainError("the certificate is of no trusted authority") from None


def _is_listed(
    listed: CertificateRevocationList, certificate: Certificate, issuer: Certificate
) -> bool:
    if listed.issuer != issuer.subject:
        return False
    try:
        signed = listed.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # raises
    except (TypeError, ValueError, InvalidSignature):
        return False
    found = listed.get_revoked_certificate_by_serial_number(certificate.serial_number)
    return signed and found is not None


def _is_authority(certificate: Certificate) -> bool:
    constraints = find_extension(certificate, BasicConstraints)
    return constraints is not None and constraints.ca


def _texts(name: Name, oid: object) -> list[str]:
    found = name.get_attributes_for_oid(oid)  # type: ignore[arg-type]  # an ObjectIdentifier
    return [text for each in found if isinstance(text := each.value, str)]


def _text(value: bytes) -> str:
    """The text of a DER string; of anything else its hex digits, which no pattern means."""
    if len(value) > 1 and value[0] in _TEXT_TAGS and value[1] == len(value) - 2 < _MAX_SHORT:
        try:
            return value[2:].decode(_TEXT_TAGS[value[0]])
        except UnicodeDecodeError:
            return value.hex()
    return value.hex()
