"""The profile of each certificate (docs/spec/pki.md): lifetimes, usages, extensions."""

from ipaddress import IPv4Address, IPv6Address
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.x509 import (
    BasicConstraints,
    DNSName,
    ExtendedKeyUsage,
    GeneralName,
    IPAddress,
    KeyUsage,
    Name,
    NameAttribute,
    UniformResourceIdentifier,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SECOND: Final = 1_000_000_000
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR

SKEW: Final = 300 * SECOND
"""A certificate counts from so long before it is made: clocks differ (the link's own bound)."""
AGENT_LIFE: Final = 24 * HOUR
SERVER_LIFE: Final = 7 * DAY
INTERMEDIATE_LIFE: Final = 365 * DAY
ROOT_LIFE: Final = 3650 * DAY

ROOT_PATH: Final = 2
"""Authorities below a root: an intermediate, and in a rollover the next root, cross-certified."""
CROSS_PATH: Final = 1
INTERMEDIATE_PATH: Final = 0

AGENT_USE: Final = ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
SERVER_USE: Final = ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])

LEAF_DIGEST: Final = SHA256()
AUTHORITY_DIGEST: Final = SHA384()


def authority_constraints(path_length: int) -> BasicConstraints:
    """Basic constraints of an authority."""
    return BasicConstraints(ca=True, path_length=path_length)


def authority_usage() -> KeyUsage:
    """KeyCertSign and cRLSign."""
    return _usage(signs_certificates=True)


def leaf_usage() -> KeyUsage:
    """digitalSignature: all that TLS 1.3 needs."""
    return _usage(signs_certificates=False)


def authority_name(label: str) -> Name:
    """The subject of an authority: one common name, for people."""
    return Name([NameAttribute(NameOID.COMMON_NAME, label)])


def uri_name(uri: str) -> GeneralName:
    """A SAN entry for one of our names."""
    return UniformResourceIdentifier(uri)


def host_name(host: str | IPv4Address | IPv6Address) -> GeneralName:
    """A SAN entry for a host of the control plane. Raises `ValueError` for a name not in ASCII."""
    return DNSName(host) if isinstance(host, str) else IPAddress(host)


def _usage(*, signs_certificates: bool) -> KeyUsage:
    return KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


# When an agent renews: at a moment of its own between 50 % and 66 % of the certificate's life.
#
# The spread keeps a fleet that enrolled together from coming back together; a third of the life
# is left for a control plane that is away.


EARLIEST: Final = 0.50
LATEST: Final = 0.66


def renewal_time(not_before: int, not_after: int, jitter: float) -> int:
    """The instant (Unix nanoseconds); `jitter` in [0, 1), drawn once for each certificate."""
    share = EARLIEST + (LATEST - EARLIEST) * jitter
    return not_before + round((not_after - not_before) * share)
