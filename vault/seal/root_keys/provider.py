"""Key providers: a key in an HSM or a cloud, which never leaves it, wraps the root key of a vault.

Two interfaces meet here. A `KeyBackend` is written against the library of one kind of provider; it
blocks, has one thread, and lives in a helper process (`helper`). A `KeyProvider` is what the agent
sees: it keeps that process (`process`), with a time limit on each call. Errors are the same on both
sides: `KeyProviderError`, with a code that says what is wrong and a message that says what to do.
"""

from typing import Final, Protocol

from msgspec import Struct

from vault.crypto.encoding import length_prefixed
from vault.errors import UnavailableError

_LABEL: Final = b"freehold-root-key-v1"

PIN_WRONG: Final = "key_provider_pin_wrong"
FINAL: Final = frozenset({PIN_WRONG})
"""Codes that no retry mends, and that a retry makes worse: tokens lock after a few wrong PINs."""


class KeyProviderError(UnavailableError):
    """A provider does not do what it is asked to; nothing was changed.

    The codes, of every provider:

    - `key_provider_unreachable`: no module, no token, no network; the helper process ended
    - `key_provider_timeout`: no answer in time
    - `key_provider_slow`: no answer before another provider has unsealed the vault
    - `key_provider_pin_wrong`: the credential is refused; never tried again
    - `key_provider_denied`: the credential is valid and may not use the key
    - `key_provider_key_missing`: there is no such key
    - `key_provider_version_missing`: the key has no such version
    - `key_provider_key_disabled`: the key or its version is disabled, or about to be deleted
    - `key_provider_key_exportable`: the key can be read from its device
    - `key_provider_unsupported`: the provider or the key lacks an algorithm or an operation
    - `key_provider_wrong_key`: another key or another vault's context, or the bytes were altered
    - `key_provider_failed`: anything else, as the provider calls it
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, outcome="none")

    @property
    def is_final(self) -> bool:
        """Whether it must not be tried again before a person has changed something."""
        return self.code in FINAL


class WrappedKey(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A root key as one provider has wrapped it: all that unwrapping takes, and no secret."""

    provider: str = ""
    """The provider's name in the configuration; set by the agent, not by a backend."""
    type: str = ""
    """The provider's type; the same."""
    key: str
    """What the provider calls the key: a label, an ARN, a resource name, a URL."""
    version: str = ""
    """Of the key; empty where the provider keeps track of versions itself."""
    algorithm: str
    ciphertext: bytes
    created_at: int = 0
    """Unix ns; set by the agent."""
    nodes: tuple[str, ...] = ()
    """The nodes that have this provider in their configuration; set by each of them."""
    is_behind: bool = False
    """Whether the key was rotated at other providers while this one was away."""

    @property
    def id(self) -> tuple[str, str]:
        """Which provider it is of: its name and type."""
        return self.provider, self.type


class KeyDescription(Struct, frozen=True, kw_only=True):
    """The key that wraps from now on, as it is at the provider."""

    key: str
    version: str = ""
    algorithm: str
    device: str = ""
    """Where it is, for people: "SoftHSM v2, token freehold", "AWS KMS eu-central-1"."""


class KeyBackend(Protocol):
    """One key at one provider. Blocks; is used by one thread of a helper process.

    Every method raises `KeyProviderError`. A backend connects at its first use, and again when a
    connection has broken; it does not retry otherwise: the agent does.
    """

    def describe(self) -> KeyDescription:
        """Find the key, and check that it may be used and not exported. Also the health check."""
        ...

    def wrap(self, root_key: bytes, context: bytes) -> WrappedKey:
        """Wrap with the newest version of the key.

        `context` names the vault. An algorithm with associated data authenticates it.
        """
        ...

    def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:
        """The root key, by the key and the version that wrapped it, whichever is newest now."""
        ...

    def create_version(self) -> KeyDescription:
        """Make a new version of the key, or the key itself, and describe it."""
        ...

    def close(self) -> None:
        """End the session."""
        ...


class KeyProvider(Protocol):
    """One key at one provider, for the agent. Calls end within the provider's time limit.

    Every method but `aclose` raises `KeyProviderError`. One call is made at a time.
    """

    @property
    def name(self) -> str:
        """In the configuration."""
        ...

    @property
    def type(self) -> str:
        """As `sys/seal-status` calls it, such as `pkcs11`."""
        ...

    @property
    def creates_keys(self) -> bool:
        """Whether the agent makes the key and its versions; else an administrator does."""
        ...

    async def describe(self) -> KeyDescription:
        """See `KeyBackend`."""
        ...

    async def wrap(self, root_key: bytes, context: bytes) -> WrappedKey:
        """See `KeyBackend`."""
        ...

    async def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:
        """See `KeyBackend`."""
        ...

    async def create_version(self) -> KeyDescription:
        """See `KeyBackend`."""
        ...

    async def aclose(self) -> None:
        """Let go of the provider; a later call begins anew."""
        ...


def wrap_context(org: str, vault: str) -> bytes:
    """What is authenticated beside a wrapped root key: whose it is."""
    return length_prefixed([_LABEL, org.encode(), vault.encode()])
