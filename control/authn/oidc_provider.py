"""HTTP client for identity providers: metadata, keys, and the exchange of a code for an ID token.

People name the addresses, so requests are restricted: https alone (plain http on loopback where the
settings allow it for development), only hosts that the settings name if they name any, else only
public addresses. The connection goes to the address that was checked, no redirect is followed,
every body and every wait is bounded, few requests run at once, and an error does not reveal what
was there.
"""

import ssl
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx2
import jwt
import msgspec
import trio
from msgspec import Struct

from actors import World
from actors.errors import LimiterFull
from actors.fair_limiter import FairLimiter, Share
from control.authn import id_token
from control.errors import AuthenticationError, UnavailableError, ValidationError
from control.notify.errors import PermanentDeliveryError, TransientDeliveryError
from control.notify.network_policy import ANY_NETWORK
from control.notify.network_policy import NetworkPolicy as Outward
from protocols import json_text
from protocols.outbound import PRIVATE_NETWORKS, Resolver, TargetUrl, is_loopback, resolve_host

SECONDS: Final = 10.0  # for one answer
MAX_BODY: Final = 256 * 1024
MAX_CONCURRENT: Final = 8
MAX_CONCURRENT_EACH: Final = 4  # of one issuer: one that is slow does not hold all
MAX_WAITING: Final = 256  # of all
MAX_WAITING_EACH: Final = 64
METADATA_LIFETIME: Final = 3600.0  # how long what it says of itself is believed
KEY_REFETCH_INTERVAL: Final = (
    60.0  # a key that is not known makes us ask again, no sooner than this
)
MAX_CACHED_ISSUERS: Final = 1000  # issuers
_REQUEST_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}
_BASIC_AUTH: Final = "client_secret_basic"
_WELL_KNOWN: Final = "/.well-known/openid-configuration"

T = TypeVar("T")


class Metadata(Struct, frozen=True):
    """A provider's metadata (OpenID Connect Discovery 1.0, section 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = (_BASIC_AUTH,)


class ProviderHosts(Struct, frozen=True):
    """Where providers may be. `hosts` empty: public addresses, with `private` private ones too.

    A host that the settings name may be at any address. `loopback`: this machine.
    """

    hosts: tuple[str, ...] = ()
    private: bool = False
    loopback: bool = False

    def address_policy(self, host: str) -> Outward:
        """The addresses that this host may have."""
        beside = PRIVATE_NETWORKS if self.private else ()
        return Outward(ANY_NETWORK if host in self.hosts else beside, self.loopback)


class ClientCredentials(Struct, frozen=True):
    """Our client credentials at a provider; `secret` empty: a public client."""

    id: str
    secret: str


class _KeySet(Struct):
    keys: list[dict[str, Any]]


class _TokenResponse(Struct):
    id_token: str


class _CachedProvider(Struct):
    metadata: Metadata
    at: float  # on the monotonic clock, as `keys_at`
    keys: list[dict[str, Any]]
    keys_at: float


class ProviderClient:
    """Requests to all providers, and a cache of their metadata and keys."""

    def __init__(
        self,
        hosts: ProviderHosts,
        world: World,
        resolver: Resolver = resolve_host,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._reach = hosts
        self._world = world
        self._look_up = resolver
        self._known: dict[str, _CachedProvider] = {}
        self._turns = FairLimiter(
            MAX_CONCURRENT,
            group=Share(MAX_CONCURRENT_EACH, MAX_WAITING_EACH),
            member=Share(MAX_CONCURRENT_EACH, MAX_WAITING_EACH),
            waiting=MAX_WAITING,
        )
        self._tls = tls or ssl.create_default_context()

    async def fetch_metadata(self, issuer: str) -> Metadata:
        """The issuer's metadata, an hour old at most.

        Raises `ValidationError`, `UnavailableError`.
        """
        return (await self._cached_provider(issuer)).metadata

    async def exchange_code(
        self, issuer: str, client: ClientCredentials, code: str, verifier: str, redirect: str
    ) -> str:
        """The ID token for a code. Raises `AuthenticationError`, `UnavailableError`."""
        metadata = await self.fetch_metadata(issuer)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": verifier,
        }
        headers = {}
        if client.secret and _BASIC_AUTH in metadata.token_endpoint_auth_methods_supported:
            # RFC 6749, 2.3.1: both are form-encoded before they are joined.
            pair = f"{quote(client.id, safe='')}:{quote(client.secret, safe='')}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = client.id
            if client.secret:
                form["client_secret"] = client.secret
        status, body = await self._request(issuer, "POST", metadata.token_endpoint, headers, form)
        if status != httpx2.codes.OK:
            raise AuthenticationError(
                "oidc_refused",
                "the identity provider refused the code: start again, or check client id and "
                "secret",
            )
        return _decode_json(body, _TokenResponse).id_token

    async def verify_id_token(
        self, issuer: str, token: str, expected: id_token.ExpectedClaims
    ) -> id_token.Claims:
        """The claims of a token of this issuer.

        Raises `AuthenticationError`, `UnavailableError`.
        """
        return id_token.verify_claims(token, await self.signing_key_of(issuer, token), expected)

    async def signing_key_of(self, issuer: str, token: str) -> jwt.PyJWK:
        """The issuer's key that a token names. Raises `AuthenticationError`, `UnavailableError`."""
        algorithm, kid = id_token.token_header(token)
        known = await self._cached_provider(issuer)
        key = id_token.select_key(known.keys, algorithm, kid)
        if key is None and self._world.monotonic() - known.keys_at >= KEY_REFETCH_INTERVAL:
            await self._fetch_keys(known)
            key = id_token.select_key(known.keys, algorithm, kid)
        if key is None:
            raise id_token.token_error("its key is not the provider's")
        return key

    def check_url(self, url: str) -> TargetUrl:
        """Parse the URL. Raises `ValidationError` for a host that must not be asked."""
        try:
            place = self._reach.address_policy("").parse_url(url)
        except ValidationError:
            raise _unfit_error() from None
        named = not self._reach.hosts or place.host in self._reach.hosts
        if not named or (place.scheme == "http" and not is_loopback(place.host)):
            raise _unfit_error()
        return place

    async def _cached_provider(self, issuer: str) -> _CachedProvider:
        known, now = self._known.get(issuer), self._world.monotonic()
        if known is not None and now - known.at < METADATA_LIFETIME:
            return known
        self.check_url(issuer)
        status, body = await self._request(issuer, "GET", issuer.rstrip("/") + _WELL_KNOWN)
        if status != httpx2.codes.OK:
            raise _unreachable_error()
        metadata = _decode_json(body, Metadata)
        if metadata.issuer != issuer:  # Discovery 1.0, 4.3: exactly
            raise ValidationError(
                "issuer_mismatch",
                "the provider names another issuer: give the issuer exactly as the provider does",
                field="issuer",
            )
        for url in (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri):
            self.check_url(url)
        if metadata.end_session_endpoint:
            self.check_url(metadata.end_session_endpoint)
        made = _CachedProvider(metadata, now, [], 0)
        await self._fetch_keys(made)
        if len(self._known) >= MAX_CACHED_ISSUERS:
            self._known.clear()
        self._known[issuer] = made
        return made

    async def _fetch_keys(self, known: _CachedProvider) -> None:
        known.keys_at = self._world.monotonic()  # first, so that many at once ask once
        told = known.metadata
        status, body = await self._request(told.issuer, "GET", told.jwks_uri)
        if status != httpx2.codes.OK:
            raise _unreachable_error()
        known.keys = _decode_json(body, _KeySet).keys

    async def _request(
        self,
        issuer: str,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Status and body, when it is the issuer's turn.

        Raises `ValidationError`, `UnavailableError`.
        """
        place = self.check_url(url)
        sent = {**_REQUEST_HEADERS, **(headers or {}), "Host": place.host_header}
        try:
            with trio.fail_after(SECONDS):
                async with (
                    self._turns.slot(issuer),
                    httpx2.AsyncClient(verify=self._tls, timeout=SECONDS, trust_env=False) as http,
                    http.stream(
                        method, place.url_at(await self._resolve_address(place)), headers=sent,
                        data=form, follow_redirects=False, extensions={"sni_hostname": place.host},
                    ) as reply,
                ):  # fmt: skip
                    return reply.status_code, await _read_bounded(reply)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, trio.TooSlowError, LimiterFull):
            raise _unreachable_error() from None

    async def _resolve_address(self, place: TargetUrl) -> str:
        """The address to connect to. The certificate is still checked for the name."""
        plain = place.scheme == "http"
        outward = self._reach.address_policy(place.host)
        try:
            return await outward.resolve_address(place.host, place.port, self._look_up, plain=plain)
        except TransientDeliveryError:
            raise _unreachable_error() from None
        except PermanentDeliveryError:
            raise (_unfit_error() if plain else _private_error()) from None


async def _read_bounded(reply: httpx2.Response) -> bytes:
    """The body as sent: no compression was requested.

    The rest of a body that is too long is read and dropped, within the time of any answer: to stop
    in the middle would leave the client's generators to the garbage collector.
    """
    body, size = bytearray(), 0
    async for piece in reply.aiter_raw():
        size += len(piece)
        if size <= MAX_BODY:
            body += piece
    if size > MAX_BODY:
        raise _unreachable_error()
    return bytes(body)


def _decode_json(body: bytes, shape: type[T]) -> T:
    try:
        return json_text.decode(body, type=shape)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise _unreachable_error() from None


def _unfit_error() -> ValidationError:
    return ValidationError(
        "issuer_invalid",
        "an identity provider needs an https address on a host that identity.hosts allows",
        field="issuer",
    )


def _private_error() -> ValidationError:
    return ValidationError(
        "issuer_private",
        "the identity provider has a private address: allow it with identity.private or "
        "identity.hosts in the settings",
        field="issuer",
    )


def _unreachable_error() -> UnavailableError:
    return UnavailableError(
        "oidc_unavailable",
        "the identity provider does not answer: try later, or check its address; a private one "
        "needs identity.private or identity.hosts in the settings",
    )
