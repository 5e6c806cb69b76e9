"""Authorities: a root that is kept away, and the intermediate that issues in its name.

    root (P-384, offline) → intermediate (P-384, path length 0) → leaves (P-256)

The root may also be the user's own: it signs a `create_authority_csr`, and `IssuingAuthority`
takes what came back if it is what was asked for.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.x509 import BasicConstraints, Certificate, KeyUsage

from protocols.pki.certificates import find_extension, key_identifier, public_key, validity_period
from protocols.pki.errors import AuthorityError
from protocols.pki.keys import KeyKind, key_hash, kind_of


class RootAuthority(NamedTuple):
    """A root with its key in hand: for as long as it signs, and no longer."""

    key: EllipticCurvePrivateKey
    certificate: Certificate


class CrossCertificate(NamedTuple):
    """A root as certified by the root before it."""

    certificate: Certificate
    signer: Certificate
    """The root before it."""


@dataclass(frozen=True, slots=True)
class IssuingAuthority:
    """An intermediate and its key. Make one with `verified`, which checks that it may issue."""

    key: EllipticCurvePrivateKey
    certificate: Certificate
    root: Certificate
    cross: CrossCertificate | None = None
    """Leads to the root before, for as long as there are agents that trust only that one."""

    @classmethod
    def verified(
        cls,
        key: EllipticCurvePrivateKey,
        certificate: Certificate,
        root: Certificate,
        cross: CrossCertificate | None = None,
    ) -> Self:
        """The authority these make.

        Raises `AuthorityError` when the certificate is not of this key, not an authority of path
        length 0 that may sign certificates, or not signed by the root; or when `cross` does not
        certify the root (`check_cross`).
        """
        if key_hash(key.public_key()) != key_hash(public_key(certificate)):  # not secret: public
            raise AuthorityError("the intermediate's certificate is for another key")
        check_intermediate(certificate, root)
        if cross is not None:
            check_cross(cross.certificate, root, cross.signer)
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
        return min(validity_period(self.certificate)[1], validity_period(self.root)[1])


def check_intermediate(certificate: Certificate, root: Certificate) -> None:
    """Return if this is an intermediate by our profile that `root` signed.

    Raises `AuthorityError`, which says what is missing.
    """
    constraints = find_extension(certificate, BasicConstraints)
    if constraints is None or not constraints.ca or constraints.path_length != 0:
        raise AuthorityError("an intermediate must be an authority of path length 0")
    _check_signer(certificate)
    if kind_of(public_key(certificate)) is not KeyKind.AUTHORITY:
        raise AuthorityError("an intermediate's key must be P-384")
    key_identifier(certificate)
    check_signed(certificate, root)


def check_cross(cross: Certificate, root: Certificate, signer: Certificate) -> None:
    """Return if `signer` has certified the key and name of `root` as those of a root.

    A root has an intermediate below it (RFC 5280, 4.2.1.9), so `cross` has a path length of 1 or
    more and its signer of 2 or more, or none. An intermediate has 0 (`check_intermediate`): its own
    certificate proves no root, and its holder can make none that does. Raises `AuthorityError`.
    """
    if not same_authority(cross, root):
        raise AuthorityError("the cross-certificate is for another root")
    if not _has_below(cross, 1) or not _has_below(signer, 2):
        raise AuthorityError("a root's certificate must allow an intermediate below it")
    _check_signer(cross)
    check_signed(cross, signer)


def check_signed(certificate: Certificate, issuer: Certificate) -> None:
    """Return if `issuer` is an authority and signed this. Raises `AuthorityError`."""
    constraints = find_extension(issuer, BasicConstraints)
    if constraints is None or not constraints.ca:
        raise AuthorityError("the issuer is no authority")
    _check_signer(issuer)
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        raise AuthorityError("the certificate was not signed by this issuer") from None


def _has_below(certificate: Certificate, count: int) -> bool:
    """Whether this is an authority that may have a chain of so many others below it."""
    constraints = find_extension(certificate, BasicConstraints)
    if constraints is None or not constraints.ca:
        return False
    return constraints.path_length is None or constraints.path_length >= count


def _check_signer(certificate: Certificate) -> None:
    usage = find_extension(certificate, KeyUsage)
    if usage is None or not usage.key_cert_sign:
        raise AuthorityError("an authority's key usage must allow it to sign certificates")


def same_authority(one: Certificate, other: Certificate) -> bool:
    """Whether two certificates are of one key under one name, whoever signed them."""
    same_key = key_hash(public_key(one)) == key_hash(public_key(other))  # not secret: public
    return same_key and one.subject == other.subject


def is_cross(cross: Certificate, root: Certificate, signer: Certificate) -> bool:
    """`check_cross` as a question."""
    try:
        check_cross(cross, root, signer)
    except AuthorityError:
        return False
    return True
