"""What a root key is taken out for: to certify itself, an intermediate, or the root after it."""

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.x509 import (
    AuthorityKeyIdentifier,
    BasicConstraints,
    Certificate,
    CertificateBuilder,
    Name,
    SubjectKeyIdentifier,
    random_serial_number,
)

from protocols.pki import profile
from protocols.pki.authority import RootAuthority
from protocols.pki.certificates import find_extension, public_key, validity_period, whole_second
from protocols.pki.errors import AuthorityError
from protocols.pki.keys import KeyKind, PublicKey, kind_of
from protocols.pki.requests import verify_authority_csr


def create_root(key: EllipticCurvePrivateKey, label: str, now: int) -> RootAuthority:
    """A self-signed root named `label`. Raises `AuthorityError` for a key that is not P-384."""
    if kind_of(key) is not KeyKind.AUTHORITY:
        raise AuthorityError("a root's key must be P-384")
    name = profile.authority_name(label)
    identifier = SubjectKeyIdentifier.from_public_key(key.public_key())
    end = now + profile.ROOT_LIFE
    builder = _draft(name, key.public_key(), identifier, profile.ROOT_PATH, now=now, end=end)
    return RootAuthority(key, _signed(builder.issuer_name(name), key, identifier))


def sign_intermediate(root: RootAuthority, request: bytes, now: int) -> Certificate:
    """The intermediate that a request in PEM asks for, of path length 0, for a year.

    Raises `CsrError` for a bad request, `AuthorityError` when the root has expired.
    """
    key, subject = verify_authority_csr(request)
    identifier = SubjectKeyIdentifier.from_public_key(key)
    end = _end(root, now, profile.INTERMEDIATE_LIFE)
    builder = _draft(subject, key, identifier, profile.INTERMEDIATE_PATH, now=now, end=end)
    return _issued(builder, root)


def cross_sign(root: RootAuthority, successor: Certificate, now: int) -> Certificate:
    """The next root's key and name, certified by this one: the proof that it is the next.

    Who trusts only this root then trusts what the next one issues, and may take it for a root
    (`TrustStore.updated`). Nobody but the holder of this root's key can make it. Raises
    `AuthorityError` when this root has expired or the next is no authority.
    """
    identifier = find_extension(successor, SubjectKeyIdentifier)
    constraints = find_extension(successor, BasicConstraints)
    if identifier is None or constraints is None or not constraints.ca:
        raise AuthorityError("the next root must be an authority with a subject key identifier")
    end = min(_end(root, now, profile.ROOT_LIFE), validity_period(successor)[1])
    key = public_key(successor)
    builder = _draft(successor.subject, key, identifier, profile.CROSS_PATH, now=now, end=end)
    return _issued(builder, root)


def _end(root: RootAuthority, now: int, life: int) -> int:
    end = min(now + life, validity_period(root.certificate)[1])
    if end <= now:
        raise AuthorityError("the root has expired; start a rollover to a new one")
    return end


def _draft(
    subject: Name,
    key: PublicKey,
    identifier: SubjectKeyIdentifier,
    path: int,
    *,
    now: int,
    end: int,
) -> CertificateBuilder:
    return (
        CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(random_serial_number())
        .not_valid_before(whole_second(now - profile.SKEW))
        .not_valid_after(whole_second(end))
        .add_extension(profile.authority_constraints(path), critical=True)
        .add_extension(profile.authority_usage(), critical=True)
        .add_extension(identifier, critical=False)
    )


def _issued(builder: CertificateBuilder, root: RootAuthority) -> Certificate:
    identifier = find_extension(root.certificate, SubjectKeyIdentifier)
    if identifier is None:
        raise AuthorityError("a root needs a subject key identifier")
    return _signed(builder.issuer_name(root.certificate.subject), root.key, identifier)


def _signed(
    builder: CertificateBuilder, key: EllipticCurvePrivateKey, issuer: SubjectKeyIdentifier
) -> Certificate:
    issuer_id = AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer)
    return builder.add_extension(issuer_id, critical=False).sign(key, profile.AUTHORITY_DIGEST)
