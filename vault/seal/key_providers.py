"""The key providers of a configuration: each wraps the same root key, and any one unseals.

They are asked in their order, a slow one together with the next. One that is down, refuses, or
gives what is no root key is skipped, and remembered as trouble until it answers again.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from hmac import compare_digest
from typing import Final, Generic, TypeVar

import trio
from msgspec import Struct

from actors import World
from protocols.instant import rfc3339
from vault.crypto.errors import AuthenticationFailed, CryptoError
from vault.errors import TamperedError
from vault.seal.root_keys.provider import KeyProvider, KeyProviderError, WrappedKey, wrap_context
from vault.seal.root_keys.shares import ROOT_KEY_SIZE
from vault.seal.seal_record import MULTISEAL, SealRecord

T = TypeVar("T")

log: Final = logging.getLogger("freehold.seal")

KEY_MISSING: Final = "key_provider_key_missing"
NEXT_PROVIDER_DELAY: Final = 2.0
"""Seconds that a provider gets before the next one is asked as well: longer than a network's round
trips and the start of a helper process take, shorter than any time limit of a call."""


class ProviderTrouble(Struct, frozen=True):
    """A key provider that does not do what it is asked to, since an instant (Unix ns)."""

    provider: str
    type: str
    error: KeyProviderError
    since: int

    def __str__(self) -> str:
        """Without the message, which may name paths: anybody may read it."""
        since = rfc3339(self.since)
        return f"key provider {self.provider} ({self.type}), since {since}: {self.error.code}"


class KeyProviderStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What anybody may ask of one provider. `error`, `since`: empty while it does what it should.

    `wraps`: whether it has wrapped the root key that is in force.
    """

    name: str
    type: str
    wraps: bool
    error: str = ""
    since: str = ""


class KeyProviders:
    """At least one. See `vault.seal.root_keys.provider.KeyProvider` for what each does."""

    def __init__(self, providers: Sequence[KeyProvider], world: World) -> None:
        self._providers = tuple(providers)
        self._world = world
        self._troubles: dict[str, ProviderTrouble] = {}

    def __iter__(self) -> Iterator[KeyProvider]:
        """In their order."""
        return iter(self._providers)

    @property
    def type(self) -> str:
        """Of the seal that they make."""
        return self._providers[0].type if len(self._providers) == 1 else MULTISEAL

    @property
    def troubles(self) -> tuple[ProviderTrouble, ...]:
        """Of the last call to each, in their order; none: all have answered."""
        found = (self._troubles.get(each.name) for each in self._providers)
        return tuple(each for each in found if each is not None)

    def has_wrapping(self, record: SealRecord) -> bool:
        """Whether one of them has wrapped the root key."""
        return any(record.wrapping_of(each.name, each.type) for each in self._providers)

    def status(self, record: SealRecord | None) -> tuple[KeyProviderStatus, ...]:
        """Of each, in their order."""
        found = []
        for each in self._providers:
            trouble = self._troubles.get(each.name)
            wraps = record is not None and record.wrapping_of(each.name, each.type) is not None
            found.append(
                KeyProviderStatus(
                    name=each.name,
                    type=each.type,
                    wraps=wraps,
                    error="" if trouble is None else trouble.error.code,
                    since="" if trouble is None else rfc3339(trouble.since),
                )
            )
        return tuple(found)

    async def unwrap(self, record: SealRecord, open_keyring: Callable[[bytes], T]) -> T:
        """What `open_keyring(root_key)` returns, by the first that gives the root key.

        The next one is asked when the one before has failed, or has not answered within
        `NEXT_PROVIDER_DELAY`; the first that opens cancels the others (as RFC 8305 connects). One
        that was overtaken is noted as slow until `check` has an answer of it.

        Raises `KeyProviderError` when none does, and `TamperedError` (`keyring_tampered`) when each
        has answered and nothing of it opens the keyring. One of them has wrapped the root key.
        """
        attempt = _UnwrapAttempt(self, record, open_keyring)
        asked = [
            (each, wrapped)
            for each in self._providers
            if (wrapped := record.wrapping_of(each.name, each.type)) is not None
        ]
        async with trio.open_nursery() as nursery:
            for provider, wrapped in asked:
                ended = trio.Event()
                nursery.start_soon(attempt.run, provider, wrapped, ended, nursery.cancel_scope)
                if provider is not asked[-1][0]:
                    await self._wait_briefly(ended)
        for overtaken in attempt.unanswered:
            await self._note(overtaken, _slow_error(overtaken))
        return attempt.result()

    async def _wait_briefly(self, ended: trio.Event) -> None:
        """Return when it is set, or after `NEXT_PROVIDER_DELAY`."""
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                await ended.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait)
            await self._world.sleep(NEXT_PROVIDER_DELAY)
            nursery.cancel_scope.cancel()

    async def note_wrong_key(self, provider: KeyProvider) -> KeyProviderError:
        """It answers, with what opens nothing."""
        error = _wrong_key_error(provider)
        await self._note(provider, error)
        return error

    async def _note(self, provider: KeyProvider, error: KeyProviderError) -> None:
        with suppress(KeyProviderError):
            async with self.note_trouble(provider):
                raise error

    async def check(
        self, record: SealRecord | None, verify: Callable[[bytes], None] | None = None
    ) -> None:
        """Look whether each would unseal now; `troubles` has what they say.

        `verify(root_key)` raises `CryptoError` for another one than that in force. Without it only
        the keys are looked for.
        """
        for provider in self._providers:
            wrapped = record.wrapping_of(provider.name, provider.type) if record else None
            with suppress(KeyProviderError):
                async with self.note_trouble(provider):
                    if record is None or wrapped is None or verify is None:
                        await provider.describe()
                        continue
                    found = await provider.unwrap(wrapped, wrap_context(record.org, record.vault))
                    try:
                        verify(_sized(found))
                    except CryptoError:
                        raise _wrong_key_error(provider) from None

    async def wrap(
        self, provider: KeyProvider, root_key: bytes, org: str, vault: str
    ) -> WrappedKey:
        """By the newest version of one's key, made first where there is none and the agent may.

        Proven: it unwraps again. Raises `KeyProviderError`.
        """
        async with self.note_trouble(provider):
            try:
                await provider.describe()
            except KeyProviderError as error:
                if error.code != KEY_MISSING or not provider.creates_keys:
                    raise
                await provider.create_version()
            return await wrap_root_key(provider, root_key, org, vault)

    async def wrap_by_all(self, root_key: bytes, org: str, vault: str) -> tuple[WrappedKey, ...]:
        """By each of them. Raises `KeyProviderError` of the first that does not."""
        return tuple([await self.wrap(each, root_key, org, vault) for each in self._providers])

    @asynccontextmanager
    async def note_trouble(self, provider: KeyProvider) -> AsyncIterator[None]:
        """Remember since when a provider fails, and that it does no more."""
        try:
            yield
        except KeyProviderError as error:
            before = self._troubles.get(provider.name)
            if before is None or before.error.code != error.code:
                log.error("%s", error)  # noqa: TRY400  # one line tells all
            since = self._world.now() if before is None else before.since
            kept = error.with_traceback(None)  # its frames may hold a key
            self._troubles[provider.name] = ProviderTrouble(
                provider.name, provider.type, kept, since
            )
            raise
        if self._troubles.pop(provider.name, None) is not None:
            log.warning("key provider %s answers again", provider.name)

    async def aclose(self) -> None:
        """Let go of all; a later call begins anew."""
        for each in self._providers:
            await each.aclose()


class _UnwrapAttempt(Generic[T]):
    """What the providers answer, of one call of `KeyProviders.unwrap`."""

    def __init__(
        self, providers: KeyProviders, record: SealRecord, open_keyring: Callable[[bytes], T]
    ) -> None:
        self.unanswered = list[KeyProvider]()
        """Those that were asked and have not answered."""
        self._providers = providers
        self._context = wrap_context(record.org, record.vault)
        self._open_keyring = open_keyring
        self._opened = list[T]()
        self._errors = dict[str, KeyProviderError]()
        self._answered = True

    async def run(
        self,
        provider: KeyProvider,
        wrapped: WrappedKey,
        ended: trio.Event,
        others: trio.CancelScope,
    ) -> None:
        """Ask one. `ended` is set when it has failed; `others` is cancelled when it has opened."""
        self.unanswered.append(provider)
        try:
            async with self._providers.note_trouble(provider):
                root_key = await provider.unwrap(wrapped, self._context)
        except KeyProviderError as error:
            self._errors[provider.name] = error.with_traceback(None)  # its frames may hold a key
            self._answered = False
        else:
            await self._try(provider, root_key)
        self.unanswered.remove(provider)
        if self._opened:
            others.cancel()
        ended.set()

    async def _try(self, provider: KeyProvider, root_key: bytes) -> None:
        if self._opened:
            return
        try:
            self._opened.append(self._open_keyring(_sized(root_key)))
        except CryptoError:
            self._errors[provider.name] = await self._providers.note_wrong_key(provider)

    def result(self) -> T:
        """Raises as `KeyProviders.unwrap`."""
        if self._opened:
            return self._opened[0]
        if self._answered:
            raise TamperedError(
                "keyring_tampered",
                "the stored keyring is damaged; restore the database from a backup",
            )
        errors = [self._errors[each.name] for each in self._providers if each.name in self._errors]
        raise next((each for each in errors if not each.is_final), errors[0])


async def wrap_root_key(provider: KeyProvider, root_key: bytes, org: str, vault: str) -> WrappedKey:
    """By the newest version of its key, and proven: it unwraps again. Raises `KeyProviderError`."""
    context = wrap_context(org, vault)
    wrapped = await provider.wrap(root_key, context)
    found = await provider.unwrap(wrapped, context)
    if len(found) != ROOT_KEY_SIZE or not compare_digest(found, root_key):
        raise KeyProviderError(
            "key_provider_failed",
            f"key provider {provider.name} does not unwrap what it has just wrapped: do not use it",
        )
    return wrapped


def _sized(root_key: bytes) -> bytes:
    """Raises `AuthenticationFailed` for what is no root key at all."""
    if len(root_key) != ROOT_KEY_SIZE:
        raise AuthenticationFailed("a root key is 32 bytes")
    return root_key


def _slow_error(provider: KeyProvider) -> KeyProviderError:
    return KeyProviderError(
        "key_provider_slow",
        f"key provider {provider.name} ({provider.type}) has not answered before another one "
        f"unsealed the vault, {NEXT_PROVIDER_DELAY:g} s or more: see whether its device or service "
        "is up",
    )


def _wrong_key_error(provider: KeyProvider) -> KeyProviderError:
    return KeyProviderError(
        "key_provider_wrong_key",
        f"key provider {provider.name} gives a root key that does not open the keyring: it has "
        "another key of that name, or the database was altered",
    )
