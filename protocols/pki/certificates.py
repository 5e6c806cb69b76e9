"""Reading certificates: typed errors for whatever is none, and the few facts that matter."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import (
    Certificate as Certificate,
)
from cryptography.x509 import (
    DNSName,
    ExtensionType,
    IPAddress,
    SubjectAlternativeName,
    SubjectKeyIdentifier,
    load_der_x509_certificate,
    load_pem_x509_certificates,
)

from protocols.pki.errors import ChainError, PkiError
from protocols.pki.keys import PublicKey

MAX_CERTIFICATE: Final = 8 * 1024
"""Bytes of DER. Ours have about 700; a user's own root may carry policies and long names."""
MAX_CHAIN: Final = 5
"""Certificates: leaf, intermediate, and during a rollover a cross-certificate and two roots."""

MIN_RSA_BITS: Final = 2048
_CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})

E = TypeVar("E", bound=ExtensionType)

SECOND: Final = 1_000_000_000

_UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm)


@contextmanager
def parser_errors_as(error: type[PkiError], message: str) -> Iterator[None]:
    """Raise `error(message)` for whatever the X.509 parser raises inside."""
    try:
        yield
    except _UNREADABLE:
        raise error(message) from None
    except Exception as fault:
        # The parser has a few errors with no base but Exception, such as DuplicateExtension.
        if not type(fault).__module__.startswith("cryptography."):
            raise
        raise error(message) from None


def parse_certificate(der: bytes) -> Certificate:
    """A certificate in DER, its key and extensions readable. Raises `ChainError` for the rest."""
    if len(der) > MAX_CERTIFICATE:
        raise ChainError(f"a certificate has at most {MAX_CERTIFICATE} bytes")
    with parser_errors_as(ChainError, "not an X.509 certificate that can be read"):
        certificate = load_der_x509_certificate(der)
        _ = certificate.subject, certificate.extensions  # read on demand only
    public_key(certificate)
    return certificate


def parse_pem_chain(pem: bytes) -> list[Certificate]:
    """The certificates of a PEM file, at most `MAX_CHAIN`. Raises as `parse_certificate`."""
    with parser_errors_as(ChainError, "not a PEM file of certificates"):
        found = load_pem_x509_certificates(pem)
    if len(found) > MAX_CHAIN:
        raise ChainError(f"a chain has at most {MAX_CHAIN} certificates")
    return [parse_certificate(to_der(certificate)) for certificate in found]


def to_der(certificate: Certificate) -> bytes:
    """The certificate's bytes."""
    return certificate.public_bytes(Encoding.DER)


def to_pem(certificates: Iterable[Certificate]) -> bytes:
    """A PEM file of them, in their order."""
    return b"".join(c.public_bytes(Encoding.PEM) for c in certificates)


def serial_of(certificate: Certificate) -> str:
    """The serial as 40 lower-case hex digits (RFC 5280 allows 20 bytes)."""
    return f"{certificate.serial_number:040x}"


def public_key(certificate: Certificate) -> PublicKey:
    """The certified key. Raises `ChainError` when it is of no kind that an authority may have."""
    with parser_errors_as(ChainError, "a certificate's key cannot be read"):
        key = certificate.public_key()
    if not isinstance(key, PublicKey):
        raise ChainError("a certificate's key is neither elliptic-curve, RSA nor Ed25519")
    return key


def find_extension(certificate: Certificate, kind: type[E]) -> E | None:
    """The value of this extension; None when it is not there."""
    for found in certificate.extensions:
        if isinstance(found.value, kind):
            return found.value
    return None


def host_names(certificate: Certificate) -> tuple[str, ...]:
    """The DNS names and addresses that it is for: those that clients look at (RFC 6125)."""
    names = find_extension(certificate, SubjectAlternativeName)
    if names is None:
        return ()
    addresses = (str(address) for address in names.get_values_for_type(IPAddress))
    return *names.get_values_for_type(DNSName), *addresses


def is_for_host(certificate: Certificate, host: str) -> bool:
    """Whether clients that name this host take it; a `*` is one label (RFC 6125, 6.4.3)."""
    names = {name.lower() for name in host_names(certificate)}
    try:
        return str(ip_address(host)) in names
    except ValueError:
        host = host.lower().rstrip(".")
        return host in names or f"*.{host.partition('.')[2]}" in names


def key_identifier(certificate: Certificate) -> str:
    """The subject key identifier in hex. Raises `ChainError` when there is none."""
    identifier = find_extension(certificate, SubjectKeyIdentifier)
    if identifier is None:
        raise ChainError("an authority's certificate needs a subject key identifier")
    return identifier.digest.hex()


def validity_period(certificate: Certificate) -> tuple[int, int]:
    """First and last instant at which it counts, in Unix nanoseconds."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return int(begin.timestamp()) * SECOND, int(end.timestamp()) * SECOND


def has_strong_key(certificate: Certificate) -> bool:
    """Whether signatures by its key are taken where others choose it: RSA from 2,048 bits, NIST."""
    key = certificate.public_key()
    if isinstance(key, RSAPublicKey):
        return key.key_size >= MIN_RSA_BITS
    return isinstance(key, EllipticCurvePublicKey) and key.curve.name in _CURVES


def whole_second(instant: int) -> datetime:
    """Unix nanoseconds as the whole second that certificates are written in."""
    return datetime.fromtimestamp(instant // SECOND, UTC)
