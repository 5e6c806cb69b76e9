"""Proofs that go with certificate requests, by two kinds of keys.

The link key (Ed25519, RFC 8032), and the key of a certificate that has expired (ECDSA on P-256
with SHA-256).

What is signed begins with a label of its own, so no signature of the link (or of anything else
under the same key) passes for one; fields are length-prefixed (u32, big-endian), so two different
statements never have the same bytes.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from protocols.pki.certificates import parse_certificate, public_key
from protocols.pki.errors import CsrError
from protocols.pki.names import AgentName

_BIND: Final = b"freehold-pki-bind-v1\0"
_REJOIN: Final = b"freehold-pki-rejoin-v1\0"
_HELD: Final = b"freehold-pki-held-v1\0"
_DIGEST: Final = ECDSA(SHA256())
_U32 = Struct(">I")


def sign_binding(key: Ed25519PrivateKey, csr: bytes) -> bytes:
    """The proof for enrolling and joining: this link key goes with this request."""
    return key.sign(_statement(_BIND, [csr]))


def verify_binding(link_key: bytes, csr: bytes, proof: bytes) -> None:
    """Return if `proof` is `sign_binding`'s. Raises `CsrError`."""
    _check(link_key, _statement(_BIND, [csr]), proof)


def sign_rejoin(key: Ed25519PrivateKey, name: AgentName, serial: str, csr: bytes) -> bytes:
    """The proof for coming back: who asks is `name`, whose newest certificate is `serial`."""
    return key.sign(_statement(_REJOIN, _rejoining(name, serial, csr)))


def verify_rejoin(link_key: bytes, name: AgentName, serial: str, csr: bytes, proof: bytes) -> None:
    """Return if `proof` is `sign_rejoin`'s. Raises `CsrError`."""
    _check(link_key, _statement(_REJOIN, _rejoining(name, serial, csr)), proof)


def sign_possession(
    key: EllipticCurvePrivateKey, name: AgentName, serial: str, csr: bytes
) -> bytes:
    """The proof for coming back that whoever asks also has the key of the certificate `serial`."""
    return key.sign(_statement(_HELD, _rejoining(name, serial, csr)), _DIGEST)


def verify_possession(
    certificate: bytes, name: AgentName, serial: str, csr: bytes, proof: bytes
) -> None:
    """Return if `proof` is `sign_possession`'s, by the certificate (DER). Raises `CsrError`."""
    key = public_key(parse_certificate(certificate))
    statement = _statement(_HELD, _rejoining(name, serial, csr))
    try:
        if not isinstance(key, EllipticCurvePublicKey):
            raise CsrError("the certificate's key is of another kind")
        key.verify(proof, statement, _DIGEST)
    except InvalidSignature:
        raise CsrError("the proof was not made by this certificate's key") from None


def _rejoining(name: AgentName, serial: str, csr: bytes) -> Sequence[bytes]:
    return [name.org.encode(), name.vault.encode(), serial.encode(), csr]


def _statement(label: bytes, fields: Sequence[bytes]) -> bytes:
    return label + b"".join(_U32.pack(len(field)) + field for field in fields)


def _check(link_key: bytes, statement: bytes, proof: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(link_key).verify(proof, statement)
    except (InvalidSignature, ValueError):
        raise CsrError("the proof was not made by this link key for this request") from None
