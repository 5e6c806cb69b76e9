r"""Ed25519 (RFC 8032) over the exact bytes of an envelope, and the hashes of the link.

What is signed is `freehold-link-v1\0 ‖ direction ‖ envelope`, where direction is one byte
(`Direction`). So a frame never passes for one of the other way, and none for another kind of
signature; audit notes and policy bundles have keys and domains of their own. Verification is on
the received bytes, before anything decodes them.
"""

from collections.abc import Sequence
from typing import Final, NoReturn, Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256, Hash

from protocols.link.fields import ID_SIZE, SIGNATURE_SIZE
from protocols.link.messages import Direction

DOMAIN: Final = b"freehold-link-v1\0"
MAX_KEYS: Final = 4
"""Public keys of a peer at a time: the one in force and those it changes to."""


class Signer(Protocol):
    """What signs our frames; a `LinkKey`, or something that keeps the key elsewhere."""

    def sign(self, direction: Direction, envelope: bytes) -> bytes:
        """64 bytes over these exact bytes."""
        ...


class LinkKey:
    """The Ed25519 key of one end. Its bytes do not show, copy or pickle."""

    __slots__ = ("_key", "public")

    public: bytes
    """The raw 32-byte public key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The key of a 32-byte seed. Raises `ValueError` for another length."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, direction: Direction, envelope: bytes) -> bytes:
        """See `Signer`."""
        return self._key.sign(_framed(direction, envelope))

    def __repr__(self) -> str:
        return f"LinkKey(public={self.public.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not copied or pickled")


class Verifier:
    """The peer's public keys, of which one must have signed."""

    __slots__ = ("_keys",)

    def __init__(self, publics: Sequence[bytes]) -> None:
        """Raises `ValueError` for no key, too many, or one that is not 32 bytes."""
        if not 1 <= len(publics) <= MAX_KEYS:
            raise ValueError(f"a peer has 1 to {MAX_KEYS} link keys")
        self._keys = tuple(Ed25519PublicKey.from_public_bytes(public) for public in publics)

    def verify(self, direction: Direction, envelope: bytes, signature: bytes) -> bool:
        """Whether one of the keys has signed these bytes for this way."""
        return verify_any(self._keys, _framed(direction, envelope), signature)


def verify_any(keys: Sequence[Ed25519PublicKey], message: bytes, signature: bytes) -> bool:
    """Whether one of these keys has signed exactly this message."""
    for key in keys if len(signature) == SIGNATURE_SIZE else ():
        try:
            key.verify(signature, message)
        except InvalidSignature:
            continue
        return True
    return False


def sha256(data: bytes) -> bytes:
    """32 bytes."""
    digest = Hash(SHA256())
    digest.update(data)
    return digest.finalize()


def channel_digest(name: str) -> bytes:
    """What stands for a channel of this name (`protocols.link.fields.ChannelDigest`)."""
    return sha256(name.encode())[:ID_SIZE]


def _framed(direction: Direction, envelope: bytes) -> bytes:
    return DOMAIN + direction.value + envelope
