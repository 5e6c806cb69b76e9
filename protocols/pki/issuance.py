"""Leaves: what an intermediate issues to agents and to the control plane's servers.

A leaf has no subject: its critical SAN is the only place where a name can be read.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.x509 import (
    AuthorityKeyIdentifier,
    BasicConstraints,
    Certificate,
    CertificateBuilder,
    ExtendedKeyUsage,
    GeneralName,
    Name,
    SubjectAlternativeName,
    SubjectKeyIdentifier,
    random_serial_number,
)

from protocols.pki import profile
from protocols.pki.authority import IssuingAuthority
from protocols.pki.certificates import whole_second
from protocols.pki.errors import AuthorityError
from protocols.pki.keys import KeyKind, kind_of
from protocols.pki.names import CONTROL_PLANE, AgentName

Host: TypeAlias = str | IPv4Address | IPv6Address


def issue_agent(
    authority: IssuingAuthority,
    name: AgentName,
    key: EllipticCurvePublicKey,
    now: int,
    life: int = profile.AGENT_LIFE,
) -> Certificate:
    """An agent's certificate for `life` nanoseconds, or less: it never outlives its issuer.

    Raises `AuthorityError` when the authority has expired or the key is not P-256.
    """
    names = [profile.uri_name(name.uri)]
    return _issue(authority, names, profile.AGENT_USE, key, now=now, life=life)


def issue_server(
    authority: IssuingAuthority,
    hosts: Sequence[Host],
    key: EllipticCurvePublicKey,
    now: int,
    life: int = profile.SERVER_LIFE,
) -> Certificate:
    """The control plane's certificate, which also names its hosts. Raises as `issue_agent`."""
    try:
        names = [profile.uri_name(CONTROL_PLANE), *map(profile.host_name, hosts)]
    except ValueError:
        raise AuthorityError("a host name must be in ASCII (IDNA)") from None
    return _issue(authority, names, profile.SERVER_USE, key, now=now, life=life)


def _issue(
    authority: IssuingAuthority,
    names: Sequence[GeneralName],
    use: ExtendedKeyUsage,
    key: EllipticCurvePublicKey,
    *,
    now: int,
    life: int,
) -> Certificate:
    if kind_of(key) is not KeyKind.LEAF:
        raise AuthorityError("a leaf's key must be P-256")
    end = min(now + life, authority.not_after)
    if end <= now:
        raise AuthorityError("the authority has expired; install a new intermediate")
    builder = (
        CertificateBuilder()
        .subject_name(Name([]))
        .issuer_name(authority.certificate.subject)
        .public_key(key)
        .serial_number(random_serial_number())
        .not_valid_before(whole_second(now - profile.SKEW))
        .not_valid_after(whole_second(end))
        .add_extension(BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(profile.leaf_usage(), critical=True)
        .add_extension(use, critical=True)
        .add_extension(SubjectAlternativeName(names), critical=True)
        .add_extension(SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(_issuer_id(authority), critical=False)
    )
    return builder.sign(authority.key, profile.LEAF_DIGEST)


def _issuer_id(authority: IssuingAuthority) -> AuthorityKeyIdentifier:
    return AuthorityKeyIdentifier(bytes.fromhex(authority.id), None, None)
