"""Key pairs: made where they are used, kept in a file of mode 0600, told apart by their hash.

One algorithm for each use: ECDSA on P-256 for leaves, on P-384 for authorities (they live longer),
Ed25519 for what we sign ourselves. Nobody chooses.
"""

from enum import StrEnum
from pathlib import Path
from typing import Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from protocols.pki.errors import PkiKeyError
from protocols.pki.files import SECRET_MODE, read_file, write_atomically

PrivateKey: TypeAlias = EllipticCurvePrivateKey | Ed25519PrivateKey
PublicKey: TypeAlias = EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey
"""RSA: a user's own root may have such a key; we make none."""


class KeyKind(StrEnum):
    """What a key is for."""

    LEAF = "P-256"
    AUTHORITY = "P-384"
    SIGNING = "Ed25519"


_CURVES: Final = {KeyKind.LEAF: SECP256R1(), KeyKind.AUTHORITY: SECP384R1()}
_NAMES: Final = {"secp256r1": KeyKind.LEAF, "secp384r1": KeyKind.AUTHORITY}


def new_curve_key(kind: KeyKind) -> EllipticCurvePrivateKey:
    """A new key for a certificate. Raises `PkiKeyError` for `SIGNING`, whose keys have none."""
    if kind not in _CURVES:
        raise PkiKeyError("certificates are for elliptic-curve keys")
    return generate_private_key(_CURVES[kind])


def new_signing_key() -> Ed25519PrivateKey:
    """A new Ed25519 key."""
    return Ed25519PrivateKey.generate()


def kind_of(key: object) -> KeyKind | None:
    """The kind of a private or public key; None for one that has no use here."""
    if isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
        return KeyKind.SIGNING
    if isinstance(key, EllipticCurvePrivateKey | EllipticCurvePublicKey):
        return _NAMES.get(key.curve.name)
    return None


def spki(public: PublicKey) -> bytes:
    """The SubjectPublicKeyInfo in DER (RFC 5280, section 4.1.2.7), points uncompressed."""
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_hash(public: PublicKey) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo: the name of a key, 32 bytes."""
    return sha256(spki(public))


def sha256(data: bytes) -> bytes:
    """FIPS 180-4, 32 bytes."""
    return Hash.hash(SHA256(), data)


def encode_private(key: PrivateKey) -> bytes:
    """PKCS #8 in PEM, in the clear: the file's mode protects it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def store_key(path: Path, key: PrivateKey, *, replace: bool = False) -> None:
    """Write the key to a file of mode 0600. Raises `PkiKeyError` as `files.write`."""
    write_atomically(path, encode_private(key), SECRET_MODE, replace=replace)


def load_curve_key(path: Path, kind: KeyKind) -> EllipticCurvePrivateKey:
    """The elliptic-curve key of this kind in a file.

    Raises `PkiKeyError` when the file cannot be used (`files.read`) or holds anything else.
    """
    key = _load(path)
    if not isinstance(key, EllipticCurvePrivateKey) or kind_of(key) is not kind:
        raise PkiKeyError(f"{path} does not hold a {kind} key")
    return key


def load_signing_key(path: Path) -> Ed25519PrivateKey:
    """The Ed25519 key in a file. Raises `PkiKeyError` as `load_curve_key`."""
    key = _load(path)
    if not isinstance(key, Ed25519PrivateKey):
        raise PkiKeyError(f"{path} does not hold an Ed25519 key")
    return key


def _load(path: Path) -> object:
    try:
        return load_pem_private_key(read_file(path, secret=True), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # TypeError: encrypted. The library's text is not passed on: it could hold parts of it.
        raise PkiKeyError(f"{path} does not hold a private key in PEM, in the clear") from None
