"""How a vault's root key is kept: the seal row of the system table, in clear.

A record with wrapped root keys is authenticated by the root key itself: nobody who can write to the
database puts another recovery key into it (docs/spec/keyring.md).
"""

from hmac import compare_digest
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from vault.crypto.encoding import length_prefixed
from vault.crypto.errors import AuthenticationFailed
from vault.crypto.hkdf import hkdf_sha256
from vault.crypto.hmac import HmacKey
from vault.errors import TamperedError
from vault.seal.root_keys.provider import WrappedKey

_TAG: Final = b"freehold-seal-record-v1"
_RECOVERY: Final = b"freehold-recovery-key-v1"
_SIZE: Final = 32
MULTISEAL: Final = "multiseal"
"""Type of a seal of several key providers, as Vault calls it."""


class SealRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What must be known while sealed.

    Fields that are added have defaults and stand last: a tag is of the encoding.
    """

    type: str
    """`shamir`, `file`, a key provider's type, or `multiseal` for several."""
    shares: int
    """Of the root key; where it is wrapped, of the recovery key."""
    threshold: int
    org: str
    vault: str
    created_at: int
    wrappings: tuple[WrappedKey, ...] = ()
    """The root key, wrapped by each key provider that can unwrap it."""
    recovery: bytes = b""
    """Verifies the recovery key."""
    tag: bytes = b""

    @property
    def is_wrapped(self) -> bool:
        """Whether a key provider unwraps the root key; else its shares or its file open it."""
        return bool(self.wrappings)

    def wrapping_of(self, provider: str, type_: str) -> WrappedKey | None:
        """The root key as a provider has wrapped it."""
        for wrapped in self.wrappings:
            if (wrapped.provider, wrapped.type) == (provider, type_):
                return wrapped
        return None

    def with_wrapping(self, wrapped: WrappedKey) -> "SealRecord":
        """In the place of the same provider's; to be authenticated."""
        others = (each for each in self.wrappings if each.provider != wrapped.provider)
        return self.with_wrappings((*others, wrapped))

    def with_wrappings(self, wrappings: tuple[WrappedKey, ...]) -> "SealRecord":
        """In the place of all others, of which the type follows; to be authenticated."""
        type_ = wrappings[0].type if len(wrappings) == 1 else MULTISEAL
        return replace(self, type=type_, wrappings=wrappings)

    def authenticate(self, root_key: bytes) -> "SealRecord":
        """With the tag of the root key."""
        return replace(self, tag=self._tag(root_key))

    def check(self, root_key: bytes) -> None:
        """Raises `TamperedError` unless a vault that has this root key has written it."""
        if self.is_wrapped and not compare_digest(self._tag(root_key), self.tag):
            raise TamperedError(
                "seal_tampered",
                "the stored seal configuration fails its authentication: somebody else wrote to "
                "the database; restore a backup of it",
            )

    def encode(self) -> bytes:
        """As it is stored."""
        return msgspec.json.encode(self)

    def _tag(self, root_key: bytes) -> bytes:
        scope = length_prefixed([self.org.encode(), self.vault.encode()])
        key = hkdf_sha256(root_key, salt=_TAG, info=scope, length=_SIZE)
        return HmacKey(key).tag(replace(self, tag=b"").encode())


def recovery_verifier(recovery_key: bytes, org: str, vault: str) -> bytes:
    """What a recovery key is recognised by. It tells nothing: the key has 256 random bits."""
    scope = length_prefixed([org.encode(), vault.encode()])
    return hkdf_sha256(recovery_key, salt=_RECOVERY, info=scope, length=_SIZE)


def check_recovery_key(record: SealRecord, recovery_key: bytes) -> None:
    """Raises `AuthenticationFailed` for another one."""
    if not compare_digest(
        recovery_verifier(recovery_key, record.org, record.vault), record.recovery
    ):
        raise AuthenticationFailed("another recovery key")
