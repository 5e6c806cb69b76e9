"""Ed25519 (RFC 8032) over exactly the given bytes, for C2SP signed notes and nothing else.

The signed-note format leaves no room for a domain: it is the text's own first line. So a key for
notes signs nothing but notes.
"""

from typing import NoReturn, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


class NoteKey:
    """A private key for notes; does not show, copy or pickle its bytes."""

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

    def sign(self, text: bytes) -> bytes:
        """The 64-byte signature of a note's text."""
        return self._key.sign(text)

    def __repr__(self) -> str:
        return f"NoteKey(public={self.public.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not copied or pickled")


def is_note_signature_valid(public: bytes, text: bytes, signature: bytes) -> bool:
    """Whether `signature` is `public`'s over a note's text; False for malformed keys too."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
    except (InvalidSignature, ValueError):
        return False
    return True
