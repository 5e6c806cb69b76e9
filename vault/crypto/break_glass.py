"""Break-glass: a vault wraps its root key to holders of an offline key, and can unwrap nothing.

HPKE (RFC 9180) in base mode: X25519, HKDF-SHA256, AES-256-GCM. The private key exists while a set
is made and while a vault is opened by one; else it is in the holders' shares only.

Anybody can wrap to a public key, so a wrapping proves nothing by itself. The record that it is in
has a tag under the root key: what it says is believed once it has been opened, and nothing is
wrapped to a public key whose record was not checked before. The context names vault and set: a
wrapping that is moved to another vault, or another set, does not open. Format:
docs/spec/keyring.md.
"""

from hmac import compare_digest
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from msgspec import Struct
from msgspec.structs import replace

from protocols import json_text
from vault.crypto.encoding import length_prefixed
from vault.crypto.errors import AuthenticationFailed
from vault.crypto.hkdf import hkdf_sha256
from vault.crypto.hmac import HmacKey
from vault.crypto.random import random_bytes

KEY_SIZE: Final = 32
MAX_RECORD: Final = 4096  # bytes; a record has about 600
_LABEL: Final = b"freehold-break-glass-v1"
_TAG: Final = b"freehold-break-glass-record-v1"
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class BreakGlassSet(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The set in force: any `threshold` of `shares` have the private key of `public_key`."""

    id: str
    shares: int
    threshold: int
    public_key: bytes
    sealed: bytes
    """The root key, wrapped to the public key."""
    made_at: int
    """Unix ns."""
    made_by: str
    uses: int = 0
    """How often it has opened the vault, on any agent."""


class BreakGlassRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The set, and the uses. Fields that are added have defaults: a tag is of the encoding."""

    org: str
    vault: str
    in_force: BreakGlassSet | None = None
    uses: int = 0
    """Of all sets that there ever were; as the keyring has it."""
    used_at: int = 0
    """Unix ns, of the last use; 0: never."""
    tag: bytes = b""

    @classmethod
    def decode(cls, value: bytes | None, org: str, vault: str) -> "BreakGlassRecord":
        """As stored; None: there was never a set. Raises `AuthenticationFailed` for other bytes."""
        if value is None:
            return cls(org=org, vault=vault)
        try:
            found = json_text.decode(value[:MAX_RECORD], type=cls)
        except msgspec.MsgspecError:
            raise AuthenticationFailed("no record of break-glass") from None
        if (found.org, found.vault) != (org, vault):
            raise AuthenticationFailed("the record of another vault")
        return found

    def encode(self) -> bytes:
        """As it is stored."""
        return msgspec.json.encode(self)

    def authenticate(self, root_key: bytes) -> "BreakGlassRecord":
        """With the tag of the root key."""
        return replace(self, tag=self._tag(root_key))

    def check(self, root_key: bytes) -> None:
        """Raises `AuthenticationFailed` unless a vault that has this root key has written it."""
        if not compare_digest(self._tag(root_key), self.tag):
            raise AuthenticationFailed("the record of break-glass was altered")

    def with_set(self, root_key: bytes, made: BreakGlassSet | None) -> "BreakGlassRecord":
        """With that set in force, to whose public key the root key is wrapped; None: without one.

        To be authenticated.
        """
        if made is not None:
            made = replace(made, sealed=self._wrap(made, root_key))
        return replace(self, in_force=made)

    def rewrap(self, root_key: bytes) -> "BreakGlassRecord":
        """For another root key. Check it with the former one before."""
        return self.with_set(root_key, self.in_force).authenticate(root_key)

    def with_uses(self, uses: int, used_at: int, *, counts: bool = True) -> "BreakGlassRecord":
        """With the uses as the keyring has them; `counts`: one more is of the set in force.

        To be authenticated.
        """
        found = self.in_force
        if found is not None and counts:
            found = replace(found, uses=found.uses + 1)
        return replace(self, in_force=found, uses=uses, used_at=used_at)

    def open_with(self, private_key: bytes) -> bytes:
        """The root key. Raises `AuthenticationFailed` for altered bytes.

        Another set's private key is told before, by `has_private_key`.
        """
        found = self.in_force
        if found is None:
            raise AuthenticationFailed("there is no set")
        key = X25519PrivateKey.from_private_bytes(private_key)
        try:
            root_key = _SUITE.decrypt(found.sealed, key, self._context(found))
        except (InvalidTag, ValueError):
            raise AuthenticationFailed("the wrapped root key was altered") from None
        self.check(root_key)
        return root_key

    def has_private_key(self, private_key: bytes) -> bool:
        """Whether it is that of the set in force."""
        found = self.in_force
        return found is not None and compare_digest(public_key_of(private_key), found.public_key)

    def _wrap(self, made: BreakGlassSet, root_key: bytes) -> bytes:
        key = X25519PublicKey.from_public_bytes(made.public_key)
        return _SUITE.encrypt(root_key, key, self._context(made))

    def _context(self, made: BreakGlassSet) -> bytes:
        parts = (self.org, self.vault, made.id)
        return length_prefixed([_LABEL, *(part.encode() for part in parts)])

    def _tag(self, root_key: bytes) -> bytes:
        scope = length_prefixed([self.org.encode(), self.vault.encode()])
        key = hkdf_sha256(root_key, salt=_TAG, info=scope, length=KEY_SIZE)
        return HmacKey(key).tag(replace(self, tag=b"").encode())


def new_private_key() -> bytes:
    """32 random bytes; RFC 7748 takes any as an X25519 key."""
    return random_bytes(KEY_SIZE)


def public_key_of(private_key: bytes) -> bytes:
    """32 bytes."""
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()
