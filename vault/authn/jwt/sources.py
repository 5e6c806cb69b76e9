"""Where the keys of an issuer come from: given ones, a key set by URL, or OpenID Connect discovery.

Keys from elsewhere are kept and asked for again after `REFRESH_SECONDS`, and when a token names one
that is not known, no sooner than `REFETCH_SECONDS` after the last time: whoever sends tokens with
invented key ids makes one request in that time. While the source does not answer, its last keys
count for `STALE_SECONDS`; a breaker keeps the agent from waiting for it on every login. So a key
that an issuer withdraws counts for a quarter of an hour more, and an hour if it cannot be asked.
"""

from http import HTTPStatus
from typing import Final, Protocol

import trio
from msgspec import Struct
from msgspec.structs import replace

from actors.breaker import Breaker
from actors.errors import CircuitOpen
from actors.world import World
from protocols.outbound import AddressClass
from vault.authn.jwt.compact import CompactToken
from vault.authn.jwt.keys import (
    KeySet,
    UnusableKeyError,
    keys_from_jwks,
    verify_signature,
)
from vault.authn.jwt.source_client import SourceAnswer, SourceClient, SourceError, SourceRequest
from vault.errors import UnavailableError

REFRESH_SECONDS: Final = 900.0
STALE_SECONDS: Final = 3600.0
REFETCH_SECONDS: Final = 30.0
BREAKER_FAILURES: Final = 3  # in a row
BREAKER_SECONDS: Final = 15.0
MAX_WAITING: Final = 64  # logins that wait for the keys of one issuer
WELL_KNOWN: Final = "/.well-known/openid-configuration"


class KeySource(Protocol):
    """The keys of one issuer."""

    async def verify(self, token: CompactToken) -> None:
        """Raise `InvalidTokenError` unless a key of the issuer has signed the token.

        Raises `UnavailableError` where a key would have to be asked for and cannot be.
        """
        ...


class GivenKeys:
    """Keys that an administrator has written down."""

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys

    async def verify(self, token: CompactToken) -> None:
        """See `KeySource`. Keys in PEM have no names: a key id of the token says nothing then."""
        if not any(key.kid for key in self._keys.keys):
            token = replace(token, kid="")
        verify_signature(token, self._keys.select(token))


class ProviderMetadata(Struct, frozen=True):
    """What is used of a provider's metadata (OpenID Connect Discovery 1.0, section 3)."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    userinfo_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    id_token_signing_alg_values_supported: tuple[str, ...] = ()


class SourceSettings(Struct, frozen=True, kw_only=True):
    """Where keys are asked for: `jwks_url`, or `discovery_url` (the issuer). `ca`: PEM, or none."""

    jwks_url: str = ""
    discovery_url: str = ""
    ca: str = ""
    names: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Whose turn a request takes."""
        return self.jwks_url or self.discovery_url


class _Loaded(Struct, frozen=True):
    keys: KeySet
    at: float  # on the monotonic clock
    metadata: ProviderMetadata | None = None
    reached: AddressClass = AddressClass.PUBLIC


class RemoteKeys:
    """Keys that are asked for; of one issuer, in one process."""

    def __init__(self, settings: SourceSettings, client: SourceClient, world: World) -> None:
        self._settings = settings
        self._client = client
        self._world = world
        self._loaded: _Loaded | None = None
        self._asked_at = float("-inf")
        self._failure: UnavailableError | None = None
        self._breaker = Breaker(
            world.monotonic,
            threshold=BREAKER_FAILURES,
            cooldown=BREAKER_SECONDS,
            counts=SourceError,
        )
        self._asking = trio.Lock()

    async def verify(self, token: CompactToken) -> None:
        """See `KeySource`."""
        loaded = await self._fresh()
        found = loaded.keys.select(token)
        if not found and self._may_ask_again():
            found = (await self._ask()).keys.select(token)
        elif not found and self._failure is not None:
            raise self._failure
        verify_signature(token, found)

    async def metadata(self) -> tuple[ProviderMetadata, AddressClass]:
        """What the provider says of itself, and how far inside it is. Raises `UnavailableError`."""
        loaded = await self._fresh()
        if loaded.metadata is None:
            raise UnavailableError(
                "source_unavailable",
                "the identity source has no metadata: set oidc_discovery_url on the mount",
            )
        return loaded.metadata, loaded.reached

    async def check(self) -> None:
        """Ask once, now, as the settings are written. Raises `SourceError`."""
        self._loaded = await self._load()
        self._asked_at = self._loaded.at

    def _may_ask_again(self) -> bool:
        return self._world.monotonic() - self._asked_at >= REFETCH_SECONDS

    async def _fresh(self) -> _Loaded:
        """Keys that count; without a wait while they are young."""
        loaded, now = self._loaded, self._world.monotonic()
        if loaded is not None and now - loaded.at < REFRESH_SECONDS:
            return loaded
        if loaded is not None and now - loaded.at < STALE_SECONDS:
            if not self._may_ask_again():
                return loaded
            try:
                return await self._ask()
            except UnavailableError:
                return loaded
        return await self._ask()

    async def _ask(self) -> _Loaded:
        """Ask now, one for all that wait. Raises `UnavailableError`."""
        came = self._world.monotonic()
        if self._asking.statistics().tasks_waiting >= MAX_WAITING:
            raise _unavailable("too many logins wait for it")
        async with self._asking:
            if self._asked_at >= came:  # somebody asked while this one waited
                if self._failure is not None:
                    raise self._failure
                if self._loaded is not None:
                    return self._loaded
            self._failure = None
            try:
                with self._breaker.guard():
                    self._loaded = await self._load()
            except SourceError as error:
                self._failure = _unavailable(error.reason)
                raise self._failure from None
            except CircuitOpen:
                raise _unavailable("its last answers failed, it is asked again soon") from None
            finally:
                self._asked_at = self._world.monotonic()
            return self._loaded

    async def _load(self) -> _Loaded:
        settings = self._settings
        if not settings.discovery_url:
            answer = await self._get(settings.jwks_url, None)
            return self._made(answer, None, answer.reached)
        issuer = settings.discovery_url
        answer = await self._get(issuer.rstrip("/") + WELL_KNOWN, None)
        metadata = answer.decode(ProviderMetadata)
        if metadata.issuer != issuer:  # Discovery 1.0, 4.3: exactly
            raise SourceError("it names another issuer than its URL, if only by the last slash")
        found = await self._get(metadata.jwks_uri, answer.reached)
        return self._made(found, metadata, answer.reached)

    def _made(
        self, answer: SourceAnswer, metadata: ProviderMetadata | None, reached: AddressClass
    ) -> _Loaded:
        try:
            keys = keys_from_jwks(answer.body, self._settings.algorithms)
        except UnusableKeyError as error:
            raise SourceError(f"its key set is not usable: {error}") from None
        return _Loaded(keys, self._world.monotonic(), metadata, reached)

    async def _get(self, url: str, within: AddressClass | None) -> SourceAnswer:
        settings = self._settings
        answer = await self._client.send(
            SourceRequest(
                source=settings.source, url=url, ca=settings.ca, names=settings.names, within=within
            )
        )
        if answer.status != HTTPStatus.OK:
            raise SourceError(f"it answers {answer.status}")
        return answer


def _unavailable(reason: str) -> UnavailableError:
    return UnavailableError(
        "source_unavailable", f"the identity source cannot be asked: {reason}; try later"
    )
