"""Authorities: a root that is kept away, and the intermediate that issues in its name.

    root (P-384, offline) → intermediate (P-384, path length 0) → leaves (P-256)

The root may also be the user's own: it signs `make_authority_request`, and `Authority` takes what
came back if it is what was asked for.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.x509 import BasicConstraints, Certificate, KeyUsage

from protocols.pki.certificates import extension, key_identifier, public_key, validity
from protocols.pki.errors import AuthorityError
from protocols.pki.keys import KeyKind, key_hash, kind_of


class Root(NamedTuple):
    """A root with its key in hand: for as long as it signs, and no longer."""

    key: EllipticCurvePrivateKey
    certificate: Certificate


class Cross(NamedTuple):
    """A root as certified by the root before it."""

    certificate: Certificate
    signer: Certificate
    """The root before it."""


@dataclass(frozen=True, slots=True)
class Authority:
    """An intermediate and its key. Make one with `of`, which checks that it may issue."""

    key: EllipticCurvePrivateKey
    certificate: Certificate
    root: Certificate
    cross: Cross | None = None
    """Leads to the root before, for as long as there are agents that trust only that one."""

    @classmethod
    def of(
        cls,
        key: EllipticCurvePrivateKey,
        certificate: Certificate,
        root: Certificate,
        cross: Cross | None = None,
    ) -> Self:
        """The authority these make.

        Raises `AuthorityError` when the certificate is not of this key, not an authority of path
        length 0 that may sign certificates, or not signed by the root; or when `cross` is not the
        root's key and name as certified by its signer.
        """
        if key_hash(key.public_key()) != key_hash(public_key(certificate)):  # not secret: public
            raise AuthorityError("the intermediate's certificate is for another key")
        check_intermediate(certificate, root)
        if cross is not None:
            if not same_authority(cross.certificate, root):
                raise AuthorityError("the cross-certificate is for another root")
            check_signed(cross.certificate, cross.signer)
        return cls(key, certificate, root, cross)

    @property
    def id(self) -> str:
        """The subject key identifier in hex: the AKI of what it issues."""
        return key_identifier(self.certificate)

    @property
    def issuers(self) -> tuple[Certificate, ...]:
        """What a TLS peer shows after its leaf: everything up to a root that any peer trusts."""
        if self.cross is None:
            return (self.certificate, self.root)
        return (self.certificate, *self.cross)

    @property
    def not_after(self) -> int:
        """When the first of intermediate and root expires, in Unix nanoseconds."""
        return min(validity(self.certificate)[1], validity(self.root)[1])


def check_intermediate(certificate: Certificate, root: Certificate) -> None:
    """Return if this is an intermediate by our profile that `root` signed.

    Raises `AuthorityError`, which says what is missing.
    """
    constraints = extension(certificate, BasicConstraints)
    if constraints is None or not constraints.ca or constraints.path_length != 0:
        raise AuthorityError("an intermediate must be an authority of path length 0")
    _check_signer(certificate)
    if kind_of(public_key(certificate)) is not KeyKind.AUTHORITY:
        raise AuthorityError("an intermediate's key must be P-384")
    key_identifier(certificate)
    check_signed(certificate, root)


def check_signed(certificate: Certificate, issuer: Certificate) -> None:
    """Return if `issuer` is an authority and signed this. Raises `AuthorityError`."""
    constraints = extension(issuer, BasicConstraints)
    if constraints is None or not constraints.ca:
        raise AuthorityError("the issuer is no authority")
    _check_signer(issuer)
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        raise AuthorityError("the certificate was not signed by this issuer") from None


def _check_signer(certificate: Certificate) -> None:
    usage = extension(certificate, KeyUsage)
    if usage is None or not usage.key_cert_sign:
        raise AuthorityError("an authority's key usage must allow it to sign certificates")


def same_authority(one: Certificate, other: Certificate) -> bool:
    """Whether two certificates are of one key under one name, whoever signed them."""
    same_key = key_hash(public_key(one)) == key_hash(public_key(other))  # not secret: public
    return same_key and one.subject == other.subject


def is_signed(certificate: Certificate, issuer: Certificate) -> bool:
    """`check_signed` as a question."""
    try:
        check_signed(certificate, issuer)
    except AuthorityError:
        return False
    return True
