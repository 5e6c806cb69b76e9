"""Wrapping keys in a file of mode 0600: one of several key providers, beside an HSM or a cloud.

The file is the keys one after the other, 32 bytes each; the last one wraps, and a key's place,
counted from 1, is its version. None is ever removed: what it wrapped may be in a backup. Whoever
has file and database opens the vault, so it belongs on another volume than the data.

Algorithm: AES-256-GCM with a random nonce in front and the vault's context as associated data
(`vault.crypto.aead`).
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from vault.crypto import aead
from vault.crypto.errors import AuthenticationFailed
from vault.crypto.random import random_bytes
from vault.seal.root_keys.file import MODE, sync_directory, write_all
from vault.seal.root_keys.provider import KeyDescription, KeyProviderError, WrappedKey

MAX_KEYS: Final = 256
_ALGORITHM: Final = "AES-GCM"
_OTHERS: Final = 0o077


class KeyFileBackend:
    """See `KeyBackend`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def describe(self) -> KeyDescription:
        """The last key of the file."""
        return self._described(self._read())

    def wrap(self, root_key: bytes, context: bytes) -> WrappedKey:
        """With the last key."""
        keys = self._read()
        box = aead.seal(keys[-1], root_key, context)
        return WrappedKey(
            key=self._path.name, version=str(len(keys)), algorithm=_ALGORITHM, ciphertext=box
        )

    def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:
        """With the key at that place."""
        keys = self._read()
        if wrapped.version not in map(str, range(1, len(keys) + 1)):
            raise KeyProviderError(
                "key_provider_version_missing",
                f"key file {self._path} has {len(keys)} keys, and not the one that wrapped the "
                "root key: put the newest copy of the file in place",
            )
        try:
            return aead.open_(keys[int(wrapped.version) - 1], wrapped.ciphertext, context)
        except AuthenticationFailed:
            raise KeyProviderError(
                "key_provider_wrong_key",
                f"key file {self._path} does not open the root key: it is another vault's, or the "
                "database was altered",
            ) from None

    def create_version(self) -> KeyDescription:
        """Append a key, durably; the file is whole at each moment, with the key or without it."""
        keys = self._read() if os.path.lexists(self._path) else []
        if len(keys) >= MAX_KEYS:
            raise KeyProviderError(
                "key_provider_unsupported",
                f"key file {self._path} has {MAX_KEYS} keys, which is the most: use another file, "
                "as a provider of another name",
            )
        keys.append(random_bytes(aead.KEY_SIZE))
        draft = self._path.with_name(f"{self._path.name}.new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            draft.unlink(missing_ok=True)  # of a process that was killed
            descriptor = os.open(draft, flags, MODE)
            try:
                os.fchmod(descriptor, MODE)
                write_all(descriptor, b"".join(keys))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            draft.replace(self._path)
            sync_directory(self._path.parent)
        except OSError as error:
            raise KeyProviderError(
                "key_provider_denied",
                f"cannot write key file {self._path}: {error.strerror}; let the agent's user write "
                "in its folder",
            ) from None
        return self._described(keys)

    def close(self) -> None:
        """Nothing is kept open."""

    def _described(self, keys: list[bytes]) -> KeyDescription:
        return KeyDescription(
            key=self._path.name, version=str(len(keys)), algorithm=_ALGORITHM,
            device=f"file {self._path}",
        )  # fmt: skip

    def _read(self) -> list[bytes]:
        """The keys, at least one. Raises `KeyProviderError`."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                status = os.fstat(descriptor)  # of the open file: what is checked is what is read
                content = os.read(descriptor, MAX_KEYS * aead.KEY_SIZE + 1)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            raise KeyProviderError(
                "key_provider_key_missing",
                f"there is no key file {self._path}: restore it, or have `operator init` make it",
            ) from None
        except OSError as error:
            raise KeyProviderError(
                "key_provider_unreachable",
                f"cannot read key file {self._path}: {error.strerror}",
            ) from None
        if not stat.S_ISREG(status.st_mode) or status.st_mode & _OTHERS:
            raise KeyProviderError(
                "key_provider_denied",
                f"key file {self._path} is no plain file of mode 0600: run chmod 600 on it",
            )
        size = aead.KEY_SIZE
        if not content or len(content) % size or len(content) > MAX_KEYS * size:
            raise KeyProviderError(
                "key_provider_failed",
                f"key file {self._path} is damaged: its size is no multiple of {size} bytes up to "
                f"{MAX_KEYS * size}; put a copy in place",
            )
        return [content[at : at + size] for at in range(0, len(content), size)]


def open_backend(settings: Mapping[str, Any]) -> KeyFileBackend:
    """`path` of the file."""
    return KeyFileBackend(Path(settings["path"]))
