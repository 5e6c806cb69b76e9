"""Authorities and leaves as the tests want them, and forgeries that no function of ours makes."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.x509 import (
    AuthorityKeyIdentifier,
    BasicConstraints,
    Certificate,
    CertificateBuilder,
    ExtendedKeyUsage,
    GeneralName,
    KeyUsage,
    Name,
    SubjectAlternativeName,
    SubjectKeyIdentifier,
    UniformResourceIdentifier,
    random_serial_number,
)
from cryptography.x509.oid import NameOID

from protocols.pki import profile
from protocols.pki.authority import IssuingAuthority, RootAuthority
from protocols.pki.ceremony import create_root, sign_intermediate
from protocols.pki.certificates import public_key, to_der, whole_second
from protocols.pki.issuance import issue_agent, issue_server
from protocols.pki.keys import KeyKind, new_curve_key
from protocols.pki.names import AgentName
from protocols.pki.requests import create_authority_csr
from protocols.pki.trust import TrustStore

NOW = 1_800_000_000 * profile.SECOND
NAME = AgentName.from_slugs("acme", "prod")


class Pki(NamedTuple):
    """A root in hand, and the intermediate below it."""

    root: RootAuthority
    authority: IssuingAuthority

    @property
    def trust(self) -> TrustStore:
        """In this root alone."""
        return TrustStore.from_roots([self.root.certificate])


class Holder(NamedTuple):
    """A key and its chain."""

    key: EllipticCurvePrivateKey
    chain: tuple[Certificate, ...]

    @property
    def ders(self) -> list[bytes]:
        """The chain as TLS carries it."""
        return [to_der(certificate) for certificate in self.chain]


@lru_cache
def make_pki(label: str, now: int = NOW) -> Pki:
    """The same for the same label."""
    root = create_root(new_curve_key(KeyKind.AUTHORITY), f"{label} root", now)
    key = new_curve_key(KeyKind.AUTHORITY)
    signed = sign_intermediate(root, create_authority_csr(key, f"{label} intermediate"), now)
    return Pki(root, IssuingAuthority.verified(key, signed, root.certificate))


def make_agent(pki: Pki, name: AgentName = NAME, now: int = NOW) -> Holder:
    """An agent of this authority."""
    key = new_curve_key(KeyKind.LEAF)
    leaf = issue_agent(pki.authority, name, key.public_key(), now)
    return Holder(key, (leaf, pki.authority.certificate))


def make_server(pki: Pki, now: int = NOW) -> Holder:
    """The control plane's server under this authority."""
    key = new_curve_key(KeyKind.LEAF)
    leaf = issue_server(pki.authority, ["localhost"], key.public_key(), now)
    return Holder(key, (leaf, *pki.authority.issuers))


def forge(
    pki: Pki,
    names: Sequence[GeneralName],
    use: ExtendedKeyUsage = profile.AGENT_USE,
    subject: Name | None = None,
    kind: KeyKind = KeyKind.LEAF,
    constraints: BasicConstraints | None = None,
) -> Holder:
    """A leaf with the authority's true signature and anything in it."""
    key, authority = new_curve_key(kind), pki.authority
    identifier = AuthorityKeyIdentifier(bytes.fromhex(authority.id), None, None)
    builder = (
        CertificateBuilder()
        .subject_name(subject or Name([]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(random_serial_number())
        .not_valid_before(whole_second(NOW))
        .not_valid_after(whole_second(NOW + profile.AGENT_LIFE))
        .add_extension(constraints or BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(profile.leaf_usage(), critical=True)
        .add_extension(use, critical=True)
        .add_extension(SubjectAlternativeName(names), critical=subject is None)
        .add_extension(SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(identifier, critical=False)
    )
    return Holder(key, (builder.sign(authority.key, SHA256()), authority.certificate))


def cross_of(
    root: RootAuthority, successor: Certificate, path: int | None, *, usage: KeyUsage | None = None
) -> Certificate:
    """The successor's key and name by the root's true signature, with any path length and usage."""
    identifier = SubjectKeyIdentifier.from_public_key(root.key.public_key())
    issuer = AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    own = SubjectKeyIdentifier.from_public_key(public_key(successor))
    return (
        CertificateBuilder()
        .subject_name(successor.subject)
        .issuer_name(root.certificate.subject)
        .public_key(public_key(successor))
        .serial_number(random_serial_number())
        .not_valid_before(whole_second(NOW))
        .not_valid_after(whole_second(NOW + profile.ROOT_LIFE))
        .add_extension(BasicConstraints(ca=True, path_length=path), critical=True)
        .add_extension(usage or profile.authority_usage(), critical=True)
        .add_extension(own, critical=False)
        .add_extension(issuer, critical=False)
        .sign(root.key, SHA384())
    )


def intermediate_as_root(pki: Pki) -> RootAuthority:
    """What whoever holds only the intermediate's key makes: a root of that key and name."""
    name = pki.authority.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0]
    return create_root(pki.authority.key, str(name.value), NOW)


def uris(*texts: str) -> list[GeneralName]:
    """SAN entries, whatever the texts."""
    return [UniformResourceIdentifier._init_without_validation(text) for text in texts]
