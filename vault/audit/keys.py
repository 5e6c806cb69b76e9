"""The keyed functions that auditing needs, handed in: this package never holds key bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from protocols.merkle import HashFunction as HashFunction

Mac: TypeAlias = Callable[[bytes], bytes]  # HMAC-SHA256 under the vault's audit key
Sign: TypeAlias = Callable[
    [bytes], bytes
]  # Ed25519 over exactly these bytes (RFC 8032, no prehash)
Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]  # (public key, message, signature)


@dataclass(frozen=True, slots=True)
class VerifyKeys:
    """What a reader of the log needs: no secret."""

    digest: HashFunction
    verify: Verify


@dataclass(frozen=True, slots=True)
class AuditKeys(VerifyKeys):
    """What the writer of the log needs. `public` is the raw 32-byte key that belongs to `sign`.

    `sign` is plain Ed25519, as the C2SP signed-note format demands. Its key signs
    nothing else.
    """

    mac: Mac
    sign: Sign
    public: bytes
