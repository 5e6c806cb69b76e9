"""Certificates for services of the users' own, from an authority of theirs or one made here.

Nothing of Freehold's own profile but the key usage: the names are the service's, the authority may
have any path below a root, and its key may be RSA.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from ipaddress import ip_address
from typing import Final, Literal, NamedTuple, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import (
    AuthorityKeyIdentifier,
    BasicConstraints,
    Certificate,
    CertificateBuilder,
    DNSName,
    ExtendedKeyUsage,
    GeneralName,
    IPAddress,
    Name,
    SubjectAlternativeName,
    SubjectKeyIdentifier,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from protocols.pki import ceremony, profile
from protocols.pki.authority import check_signed
from protocols.pki.certificates import (
    MAX_CERTIFICATE,
    find_extension,
    parse_pem_chain,
    parser_errors_as,
    public_key,
    to_der,
    to_pem,
    validity_period,
    whole_second,
)
from protocols.pki.errors import AuthorityError, ChainError, PkiKeyError
from protocols.pki.keys import key_hash

ServiceKey: TypeAlias = EllipticCurvePrivateKey | RSAPrivateKey
Random: TypeAlias = Callable[[int], bytes]

_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_P384_ORDER: Final = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffff"
    "c7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16
)  # fmt: skip
_EXPONENT: Final = 65537
_USE: Final = ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
_DEPTH: Final = 4


class ServiceAuthority(NamedTuple):
    """Who issues: its key, its certificate, and those above it, the root last."""

    key: ServiceKey
    certificate: Certificate
    above: tuple[Certificate, ...]


class IssuedCertificate(NamedTuple):
    """In PEM: the key, the leaf, what a server shows (leaf first, no root), and the root."""

    private_key: str
    certificate: str
    chain: str
    root: str
    serial: str
    not_after: datetime


def new_service_key(algorithm: Literal["ecdsa", "rsa"], bits: int, random: Random) -> ServiceKey:
    """A P-256 key of `random`, or an RSA key, whose primes OpenSSL finds by its own generator."""
    if algorithm == "rsa":
        return generate_private_key(_EXPONENT, bits)
    return derive_private_key(_scalar(_P256_ORDER, random), SECP256R1())


def create_service_root(label: str, now: int, random: Random) -> tuple[str, str]:
    """A new root for services: certificate and key in PEM."""
    key = derive_private_key(_scalar(_P384_ORDER, random), SECP384R1())
    root = ceremony.create_root(key, label, now)
    return to_pem([root.certificate]).decode(), _key_pem(key)


def read_authority(key: str, certificates: str) -> ServiceAuthority:
    """The authority of a PEM key and its PEM chain, its own certificate first.

    The last one is the root. Raises `PkiKeyError`, `ChainError` or `AuthorityError`, whose texts
    hold nothing of the key.
    """
    try:
        private = load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise PkiKeyError("the authority's key is no private key in PEM, in the clear") from None
    if not isinstance(private, EllipticCurvePrivateKey | RSAPrivateKey):
        raise PkiKeyError("the authority's key must be elliptic-curve or RSA")
    chain = parse_pem_chain(certificates.encode())
    if not chain:
        raise ChainError("there is no certificate of the authority")
    own, *above = chain
    if key_hash(private.public_key()) != key_hash(public_key(own)):  # not secret: public
        raise AuthorityError("the authority's certificate is for another key")
    for below, issuer in zip(chain, [*above, chain[-1]], strict=True):  # the root signs itself
        check_signed(below, issuer)
    return ServiceAuthority(private, own, tuple(above))


def issue_service(
    authority: ServiceAuthority,
    names: Sequence[str],
    key: ServiceKey,
    *,
    now: int,
    life: int,
    random: Random,
) -> IssuedCertificate:
    """A certificate for `life` nanoseconds, or less: it never outlives its issuers.

    Raises `AuthorityError` when one of them has expired, may not issue, or a name is none.
    """
    issuers = (authority.certificate, *authority.above)
    end = min(now + life, *(validity_period(each)[1] for each in issuers))
    if end <= now:
        raise AuthorityError("the authority has expired: renew it")
    serial = int.from_bytes(random(20), "big") >> 1 | 1  # RFC 5280, 4.1.2.2: positive, 20 bytes
    identifier = find_extension(authority.certificate, SubjectKeyIdentifier)
    issuer_id = (
        AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
        if identifier is None
        else AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    )
    builder = (
        CertificateBuilder()
        .subject_name(Name([]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(whole_second(now - profile.SKEW))
        .not_valid_after(whole_second(end))
        .add_extension(BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(profile.leaf_usage(), critical=True)
        .add_extension(_USE, critical=False)
        .add_extension(SubjectAlternativeName([service_name(n) for n in names]), critical=True)
        .add_extension(SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer_id, critical=False)
    )
    leaf = builder.sign(authority.key, profile.LEAF_DIGEST)
    check_signed(leaf, authority.certificate)  # which may be no authority's
    if len(to_der(leaf)) > MAX_CERTIFICATE:
        raise AuthorityError("the names are too long for one certificate: leave some out")
    shown = [leaf, *(each for each in issuers if each.subject != each.issuer)]
    return IssuedCertificate(
        _key_pem(key),
        to_pem([leaf]).decode(),
        to_pem(shown).decode(),
        to_pem(issuers[-1:]).decode(),
        f"{serial:040x}",
        whole_second(end),
    )


def verify_service(key: str, chain: str, root: str, names: Sequence[str], now: int) -> bytes:
    """The leaf in DER, if the chain leads to the root now, for each name, and is of the key.

    Raises `PkiKeyError` or `ChainError`.
    """
    try:
        private = load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise PkiKeyError("private_key is no private key in PEM, in the clear") from None
    certificates = parse_pem_chain(chain.encode())
    roots = parse_pem_chain(root.encode())
    if not certificates or not roots:
        raise ChainError("chain and root must hold a certificate each")
    leaf, *others = certificates
    if not isinstance(private, EllipticCurvePrivateKey | RSAPrivateKey) or (
        key_hash(private.public_key()) != key_hash(public_key(leaf))  # not secret: public
    ):
        raise ChainError("the certificate is for another key")
    policy = PolicyBuilder().store(Store(roots)).time(whole_second(now)).max_chain_depth(_DEPTH)
    for name in names:
        with parser_errors_as(ChainError, "the chain cannot be read"):
            try:
                policy.build_server_verifier(_subject(name)).verify(leaf, others)
            except VerificationError:
                raise ChainError(
                    f"the chain does not lead to the root, is not valid now, or not for {name}"
                ) from None
    return to_der(leaf)


def service_name(text: str) -> GeneralName:
    """A SAN entry: an IP address or a DNS name. Raises `AuthorityError`."""
    try:
        return _subject(text)
    except ValueError:
        raise AuthorityError(f"{text!r} is neither a DNS name in ASCII nor an address") from None


def _subject(text: str) -> DNSName | IPAddress:
    try:
        return IPAddress(ip_address(text))
    except ValueError:
        return DNSName(text)


def _scalar(order: int, random: Random) -> int:
    """A private key in [1, order), each equally likely (FIPS 186-5, A.2.2)."""
    size = (order.bit_length() + 7) // 8
    while True:
        drawn = int.from_bytes(random(size), "big")
        if 0 < drawn < order:
            return drawn


def _key_pem(key: ServiceKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
