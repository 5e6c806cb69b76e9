"""Who a peer is: its chain verified to a trusted root, at a given instant, for one use.

Signatures, path building, path lengths and validity are `cryptography`'s verifier (RFC 5280). On
top of that this insists on our profile: the use is exactly one, and the name is exactly one URI.
"""

from collections.abc import Container, Sequence
from typing import Final, NamedTuple

from cryptography.x509 import (
    BasicConstraints,
    Certificate,
    ExtendedKeyUsage,
    KeyUsage,
    SubjectAlternativeName,
    UniformResourceIdentifier,
)
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from protocols.pki import profile
from protocols.pki.certificates import (
    MAX_CHAIN,
    find_extension,
    parse_certificate,
    parser_errors_as,
    public_key,
    serial_of,
    validity_period,
    whole_second,
)
from protocols.pki.errors import ChainError, PkiNameError, RevokedError
from protocols.pki.keys import KeyKind, key_hash, kind_of
from protocols.pki.names import CONTROL_PLANE, AgentName
from protocols.pki.trust import TrustStore

_DEPTH: Final = profile.ROOT_PATH
"""Authorities between leaf and root."""
_REFUSED: Final = (
    "the certificate does not lead to a trusted root, is not valid now, or is not for this use"
)


class LeafCertificate(NamedTuple):
    """What a leaf of our profile says. Whether it may be believed is `verify_*`'s answer."""

    uri: str
    serial: str
    key: bytes
    """SHA-256 of its SubjectPublicKeyInfo."""
    not_before: int
    not_after: int


class VerifiedAgent(NamedTuple):
    """An agent whose certificate was verified."""

    name: AgentName
    leaf: LeafCertificate


def verify_agent(
    chain: Sequence[bytes], trust: TrustStore, now: int, revoked: Container[str] = ()
) -> VerifiedAgent:
    """The agent that a TLS client's chain (DER, leaf first) names.

    Raises `RevokedError` when its serial is in `revoked`, `ChainError` for any other fault.
    """
    leaf = read_leaf(_verified(chain, trust, now, profile.AGENT_USE), profile.AGENT_USE)
    if leaf.serial in revoked:
        raise RevokedError("the certificate was revoked")
    return VerifiedAgent(_agent_name(leaf.uri), leaf)


def verify_control_plane(chain: Sequence[bytes], trust: TrustStore, now: int) -> LeafCertificate:
    """The control plane's leaf in a TLS server's chain (DER, leaf first).

    The host that was dialled does not matter: behind a private authority the URI is the identity.
    Raises `ChainError`.
    """
    leaf = read_leaf(_verified(chain, trust, now, profile.SERVER_USE), profile.SERVER_USE)
    if leaf.uri != CONTROL_PLANE:
        raise ChainError("the certificate is not the control plane's")
    return leaf


def read_agent(der: bytes) -> VerifiedAgent:
    """The agent that a leaf names, once TLS has verified its chain. Raises `ChainError`."""
    leaf = read_leaf(parse_certificate(der), profile.AGENT_USE)
    return VerifiedAgent(_agent_name(leaf.uri), leaf)


def read_leaf(certificate: Certificate, use: ExtendedKeyUsage) -> LeafCertificate:
    """What a certificate says. Raises `ChainError` when it is no leaf of our profile for `use`."""
    constraints, usage = (
        find_extension(certificate, BasicConstraints),
        find_extension(certificate, KeyUsage),
    )
    if constraints is None or constraints.ca:
        raise ChainError("an authority's certificate is no leaf")
    if usage != profile.leaf_usage() or find_extension(certificate, ExtendedKeyUsage) != use:
        raise ChainError("the certificate is not for this use")
    if kind_of(public_key(certificate)) is not KeyKind.LEAF:
        raise ChainError("a leaf's key must be P-256")
    return LeafCertificate(
        _uri(certificate),
        serial_of(certificate),
        key_hash(public_key(certificate)),
        *validity_period(certificate),
    )


def _agent_name(uri: str) -> AgentName:
    try:
        return AgentName.from_uri(uri)
    except PkiNameError:
        raise ChainError("the certificate does not name an agent") from None


def _uri(certificate: Certificate) -> str:
    """The one URI. An agent's certificate has no other name, so nothing can be read as another."""
    names = find_extension(certificate, SubjectAlternativeName)
    uris = names.get_values_for_type(UniformResourceIdentifier) if names is not None else []
    if len(uris) != 1 or list(certificate.subject):
        raise ChainError("a leaf has one URI for a name, and no subject")
    if names is not None and len(names) != 1 and uris != [CONTROL_PLANE]:
        raise ChainError("an agent's certificate has one name")
    return uris[0]


def _verified(
    chain: Sequence[bytes], trust: TrustStore, now: int, use: ExtendedKeyUsage
) -> Certificate:
    if not 0 < len(chain) <= MAX_CHAIN:
        raise ChainError(f"a chain has 1 to {MAX_CHAIN} certificates")
    leaf, *others = map(parse_certificate, chain)
    verifier = (
        PolicyBuilder()
        .store(Store(list(trust.roots)))
        .time(whole_second(now))
        .max_chain_depth(_DEPTH)
        .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=_leaf(use))
        .build_client_verifier()
    )
    with parser_errors_as(ChainError, "the chain cannot be read"):
        try:
            return verifier.verify(leaf, others).chain[0]
        except VerificationError:
            # Its text describes the candidates it tried, in the peer's own words.
            raise ChainError(_REFUSED) from None


def _leaf(use: ExtendedKeyUsage) -> ExtensionPolicy:
    """The verifier's rules for a leaf, except that the use is ours to say: it serves both ends."""

    def check_use(_policy: object, _leaf: Certificate, found: ExtendedKeyUsage) -> None:
        if found != use:
            raise ChainError("the certificate is not for this use")

    defaults = ExtensionPolicy.webpki_defaults_ee()
    return defaults.require_present(ExtendedKeyUsage, Criticality.CRITICAL, check_use)
