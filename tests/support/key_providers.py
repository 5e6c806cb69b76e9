"""A key provider in memory, with faults on demand: what the contract suite takes as the others."""

import trio
from msgspec.structs import replace

from vault.crypto import aead
from vault.crypto.errors import AuthenticationFailed
from vault.crypto.random import random_bytes
from vault.seal.root_keys.provider import KeyDescription, KeyProviderError, WrappedKey


class MemoryKeyProvider:
    """See `KeyProvider`."""

    type = "memory"

    def __init__(
        self, versions: int = 1, *, creates_keys: bool = False, name: str = "memory"
    ) -> None:
        self.name = name
        self.creates_keys = creates_keys
        self.garbage: bytes | None = None
        """What it takes for the root key, if it is not to be the right one."""
        self.keys = {str(n): random_bytes(32) for n in range(1, versions + 1)}
        self.error: KeyProviderError | None = None
        self.answers_after: trio.Event | None = None
        """What `unwrap` waits for, if it is slow."""
        self.calls: list[str] = []

    async def describe(self) -> KeyDescription:
        """The newest version."""
        self._begin("describe")
        if not self.keys:
            raise KeyProviderError("key_provider_key_missing", "there is no key: make one")
        return KeyDescription(key="key", version=max(self.keys), algorithm="AES-GCM")

    async def wrap(self, root_key: bytes, context: bytes) -> WrappedKey:
        """With the newest version."""
        self._begin("wrap")
        version = (await self.describe()).version
        return WrappedKey(
            provider=self.name, type=self.type, key="key", version=version, algorithm="AES-GCM",
            ciphertext=aead.seal(self.keys[version], root_key, context), created_at=1,
        )  # fmt: skip

    async def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:
        """With the version that has wrapped it."""
        self.calls.append("unwrap")
        if self.answers_after is not None:
            await self.answers_after.wait()
        self._raise_error()
        if wrapped.version not in self.keys:
            code = "key_provider_version_missing" if self.keys else "key_provider_key_missing"
            raise KeyProviderError(code, "restore it")
        if self.garbage is not None:
            return self.garbage
        try:
            return aead.open_(self.keys[wrapped.version], wrapped.ciphertext, context)
        except AuthenticationFailed:
            raise KeyProviderError("key_provider_wrong_key", "another key") from None

    async def create_version(self) -> KeyDescription:
        """One more."""
        self._begin("create_version")
        self.keys[str(len(self.keys) + 1)] = random_bytes(32)
        return await self.describe()

    async def aclose(self) -> None:
        """Nothing is kept."""

    def _begin(self, call: str) -> None:
        self.calls.append(call)
        self._raise_error()

    def _raise_error(self) -> None:
        if self.error is not None:
            raise self.error


def tampered(wrapped: WrappedKey) -> WrappedKey:
    """One bit of it."""
    altered = bytearray(wrapped.ciphertext)
    altered[-1] ^= 1
    return replace(wrapped, ciphertext=bytes(altered))
