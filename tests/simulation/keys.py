"""Keys of a run. Real Ed25519 keys of the seed, or a keyed hash in their place where hours count.

A signature and its check take 150 µs of the 300 that a simulated frame costs. The stand-in keeps
what matters to the link: without the key nobody makes a tag, and one changed bit breaks it.
"""

import hashlib
import random
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocols.link.fields import SIGNATURE_SIZE
from protocols.link.messages import Direction
from protocols.link.signing import LinkKey, Verifier

_SEED: Final = 32


class QuickKey:
    """A `Signer` of BLAKE2b (RFC 7693) with a key, 64 bytes; `public` is the key itself."""

    def __init__(self, seed: bytes) -> None:
        self.public = seed

    def sign(self, direction: Direction, envelope: bytes) -> bytes:
        """See `Signer`."""
        return hashlib.blake2b(
            direction.value + envelope, key=self.public, digest_size=SIGNATURE_SIZE
        ).digest()


class QuickVerifier(Verifier):
    """Of one `QuickKey`."""

    def __init__(self, public: bytes) -> None:
        self._quick = QuickKey(public)

    def verify(self, direction: Direction, envelope: bytes, signature: bytes) -> bool:
        """See `Verifier`."""
        return self._quick.sign(direction, envelope) == signature


def link_key(chance: random.Random, *, quick: bool) -> LinkKey | QuickKey:
    """The next key of the seed's."""
    seed = chance.randbytes(_SEED)
    return QuickKey(seed) if quick else LinkKey.from_seed(seed)


def private_key(chance: random.Random) -> Ed25519PrivateKey:
    """The next Ed25519 key of the seed's."""
    return Ed25519PrivateKey.from_private_bytes(chance.randbytes(_SEED))


def verifier_of(key: LinkKey | QuickKey) -> Verifier:
    """Of this key's signatures."""
    return QuickVerifier(key.public) if isinstance(key, QuickKey) else Verifier([key.public])
