"""The keys of backups: how the key of one file is kept, and the key that signs its manifest.

Each backup has a random file key. It is wrapped once for each way to open the backup: by the
keyring's `backup` subkey, so that the vault itself can, or by HPKE (RFC 9180) to the X25519 key of
a person who keeps the other half offline. No rotation changes the subkey, so each keyring of the
vault opens each of its backups.
"""

from typing import Literal, NoReturn, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from msgspec import Struct

from vault.crypto import aead
from vault.crypto.encoding import length_prefixed
from vault.crypto.errors import AuthenticationFailed, MalformedEncoding
from vault.crypto.hkdf import hkdf_sha256
from vault.crypto.keyring import KEY_SIZE, Keyring
from vault.crypto.note_signing import NoteKey
from vault.crypto.random import random_bytes

_LABEL = b"freehold-backup-v1"
_SALT_SIZE = 16
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_RECIPIENT = "freehold-backup-recipient-1:"
_IDENTITY = "FREEHOLD-BACKUP-IDENTITY-1:"


class KeyWrap(Struct, frozen=True, forbid_unknown_fields=True):
    """A file key as one holder can unwrap it.

    `kind` `keyring`: `sealed` is salt (16 bytes) and box. `x25519`: HPKE's encapsulated key and
    ciphertext, for the holder of the `recipient`'s other half.
    """

    kind: Literal["keyring", "x25519"]
    sealed: bytes
    recipient: str = ""


class Recipient:
    """The public half of an X25519 key. Raises `MalformedEncoding` for text that is not one."""

    def __init__(self, text: str) -> None:
        self._key = X25519PublicKey.from_public_bytes(_decoded(text, _RECIPIENT))
        self.text = text.strip()

    def wrap(self, file_key: bytes, context: bytes) -> KeyWrap:
        """The file key for this recipient, bound to a context."""
        sealed = _SUITE.encrypt(file_key, self._key, _context(b"x25519", context))
        return KeyWrap("x25519", sealed, self.text)


class Identity:
    """The private half. Does not show, copy or pickle its bytes."""

    __slots__ = ("_key", "recipient")

    recipient: Recipient

    def __init__(self, text: str) -> None:
        self._key = X25519PrivateKey.from_private_bytes(_decoded(text, _IDENTITY))
        public = self._key.public_key().public_bytes_raw()
        self.recipient = Recipient(_RECIPIENT + public.hex())

    @classmethod
    def create(cls) -> tuple[Self, str]:
        """A new one, and the text that it is kept as."""
        text = _IDENTITY + random_bytes(KEY_SIZE).hex()
        return cls(text), text

    def unwrap(self, wrap: KeyWrap, context: bytes) -> bytes:
        """The file key. Raises `AuthenticationFailed`."""
        try:
            key = _SUITE.decrypt(wrap.sealed, self._key, _context(b"x25519", context))
        except (InvalidTag, ValueError):
            raise AuthenticationFailed("the identity does not open this file key") from None
        return _file_key(key)

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not copied or pickled")


class BackupKeys:
    """The keys of one vault's backups. Does not show, copy or pickle its bytes."""

    __slots__ = ("_root", "_scope", "note")

    note: NoteKey
    """Signs manifests and restore certificates: the first line of each says which."""

    def __init__(self, keyring: Keyring) -> None:
        self._root = keyring.backup
        self._scope = [keyring.org.encode(), keyring.vault.encode()]
        self.note = NoteKey.from_seed(self._derive(b"note", b""))

    def wrap(self, file_key: bytes, context: bytes) -> KeyWrap:
        """The file key for whoever has a keyring of the vault, bound to a context."""
        salt = random_bytes(_SALT_SIZE)
        box = aead.seal(self._derive(b"wrap", salt), file_key, _context(b"keyring", context))
        return KeyWrap("keyring", salt + box)

    def unwrap(self, wrap: KeyWrap, context: bytes) -> bytes:
        """The file key. Raises `AuthenticationFailed`."""
        key = self._derive(b"wrap", wrap.sealed[:_SALT_SIZE])
        box = wrap.sealed[_SALT_SIZE:]
        return _file_key(aead.open_(key, box, _context(b"keyring", context)))

    def _derive(self, use: bytes, salt: bytes) -> bytes:
        info = length_prefixed([_LABEL, *self._scope, use])
        return hkdf_sha256(self._root, salt=salt, info=info, length=KEY_SIZE)

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not copied or pickled")


def new_file_key() -> bytes:
    """A key for one backup: 32 random bytes."""
    return random_bytes(KEY_SIZE)


def stream_key(file_key: bytes, header: bytes) -> bytes:
    """The key of a backup's chunks. `header`: the hash of the file's header."""
    info = length_prefixed([_LABEL, b"stream"])
    return hkdf_sha256(file_key, salt=header, info=info, length=KEY_SIZE)


def _context(kind: bytes, context: bytes) -> bytes:
    return length_prefixed([_LABEL, kind, context])


def _file_key(key: bytes) -> bytes:
    if len(key) != KEY_SIZE:
        raise AuthenticationFailed("a file key is 32 bytes")
    return key


def _decoded(text: str, prefix: str) -> bytes:
    text = text.strip()
    try:
        key = bytes.fromhex(text.removeprefix(prefix))
    except ValueError:
        key = b""
    if not text.startswith(prefix) or len(key) != KEY_SIZE or text != prefix + key.hex():
        raise MalformedEncoding(f"a key of this kind is {prefix} and 64 hexadecimal digits")
    return key
