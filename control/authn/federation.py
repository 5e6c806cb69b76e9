"""Login at an organization's identity provider: OpenID Connect, code flow with PKCE (S256).

    begin: make state, nonce and a cookie; the browser goes to the provider
    finish: the browser comes back with state and code → ID token → account → a code of ours
    collect: our page, or a program at a loopback address (RFC 8252, 7.3), exchanges that code
        and its own verifier for the session

A state is good once, for ten minutes, and for the browser that began. Stored are digests of it, and
the challenge of the verifier of the page or program that began: neither a cookie nor an address
that somebody else has seen is enough for the session. Accounts are linked by issuer and subject
alone. An email address, which the provider has to call verified, only decides who gets a new
account.
"""

from typing import Final
from urllib.parse import urlencode

from msgspec import Struct

from actors import World
from actors.slewed_clock import EARLY
from control.authn.backchannel_logout import BackchannelLogout, session_id_digest
from control.authn.id_token import ExpectedClaims
from control.authn.oidc_provider import ClientCredentials, ProviderClient
from control.authn.provisioning import AccountProvisioner
from control.authn.session_opener import SessionOpener, SessionRequest
from control.crypto import (
    Sealer,
    constant_time_equal_bytes,
    new_bearer_secret,
    pkce_challenge,
    secret_digest,
)
from control.errors import AuthenticationError, NotFoundError
from control.model.identity import IdentityProvider, LoginFlow, Terms
from control.model.people import Token
from control.store import identities
from control.store.change_shield import stop_shielding
from control.store.rows import Tx
from control.store.store import Store
from protocols.client_network import client_network
from protocols.instant import SECOND

FLOW_LIFETIME: Final = 600 * SECOND
MAX_FLOWS: Final = 1000  # of one organization at once; of whoever has most, the oldest gives way
CALLBACK_PATH: Final = "/api/v1/oidc/callback"
LOGOUT_PATH: Final = "/api/v1/oidc/logout"
COLLECT_PREFIX: Final = "collect:"
"""What half a session says that waits to be collected; the challenge follows."""


class AuthorizationRedirect(Struct, frozen=True):
    """Where the browser goes, and the value of its cookie.

    `verifier`: the page keeps it and collects the session with it; empty where a program began.
    """

    url: str
    browser: str
    verifier: str


class AuthorizationResponse(Struct, frozen=True):
    """The query of the provider's redirect; `issuer` after RFC 9207, if it is there."""

    state: str
    code: str
    error: str
    issuer: str


class LoopbackClient(Struct, frozen=True):
    """A program that listens at `port` of the person's machine; `challenge`: RFC 7636, S256."""

    port: int
    challenge: str


class Federation:
    """Logins through identity providers."""

    def __init__(
        self,
        store: Store,
        *,
        sealer: Sealer,
        providers: ProviderClient,
        provisioner: AccountProvisioner,
        session_opener: SessionOpener,
        world: World,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._providers = providers
        self._provisioner = provisioner
        self.logouts = BackchannelLogout(store, providers, provisioner.session_ends, world)
        self._session_opener = session_opener
        self._world = world

    async def configure_provider(
        self, org: str, issuer: str, client_id: str, secret: str, terms: Terms
    ) -> IdentityProvider:
        """Set an organization's provider, once its metadata was fetched.

        Raises `ValidationError`, `UnavailableError`.
        """
        await self._providers.fetch_metadata(issuer)
        sealed = self._sealer.seal(secret.encode(), "identity-provider", org, issuer, client_id)
        row = IdentityProvider(org, issuer, client_id, sealed, terms, self._world.now())
        await self._store.write(lambda tx: identities.put_provider(tx, row))
        return row

    async def get_provider(self, org: str) -> IdentityProvider | None:
        """The organization's provider."""
        return await self._store.read(lambda tx: identities.get_provider(tx, org))

    async def remove_provider(self, org: str) -> None:
        """Remove the provider. Accounts that signed in by it stay. Raises `NotFoundError`."""
        if not await self._store.write(lambda tx: identities.delete_provider(tx, org)):
            raise _no_provider_error()

    async def begin_login(
        self,
        org: str,
        own: str,
        invitation: str = "",
        ip: str = "",
        program: LoopbackClient | None = None,
    ) -> AuthorizationRedirect:
        """Begin a login at the provider of `org`, back to our origin `own`, for a client at `ip`.

        `program`: where the browser is sent in the end, if a program began. Raises `NotFoundError`,
        `UnavailableError`.
        """
        provider = await self._provider(org)
        metadata = await self._providers.fetch_metadata(provider.issuer)
        state, nonce, browser, verifier = (new_bearer_secret(each) for each in ("s", "n", "b", "v"))
        ours = "" if program else new_bearer_secret("v")
        now = self._world.now()
        flow = LoginFlow(
            state=secret_digest(state),
            org=org,
            browser=secret_digest(browser),
            nonce=nonce,
            verifier=verifier,
            redirect=self.redirect_uri(own),
            invitation=invitation and secret_digest(invitation).hex(),
            expires_at=now + FLOW_LIFETIME,
            client=client_network(ip),
            port=program.port if program else 0,
            challenge=program.challenge if program else pkce_challenge(ours),
        )

        def change(tx: Tx) -> None:
            identities.delete_expired_flows(tx, now)
            if identities.count_flows(tx, org) >= MAX_FLOWS:
                identities.evict_flow(tx, org)
            identities.add_flow(tx, flow)

        await self._store.write(change)
        query = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": flow.redirect,
            "scope": " ".join(provider.terms.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": pkce_challenge(verifier),
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in metadata.authorization_endpoint else "?"
        return AuthorizationRedirect(
            f"{metadata.authorization_endpoint}{joint}{urlencode(query)}", browser, ours
        )

    async def take_flow(self, back: AuthorizationResponse, browser: str) -> LoginFlow:
        """Take the login that this response ends; a state is good once.

        Raises `AuthenticationError`.
        """
        digest = secret_digest(back.state)
        flow = await self._store.write(lambda tx: identities.take_flow(tx, digest))
        now = self._world.now()
        if (
            flow is None
            or not flow.expires_at - FLOW_LIFETIME - EARLY <= now < flow.expires_at
            or not constant_time_equal_bytes(flow.browser, secret_digest(browser))
        ):
            raise AuthenticationError(
                "oidc_state", "this login was not started here: start it again"
            )
        return flow

    async def finish_login(self, flow: LoginFlow, back: AuthorizationResponse) -> tuple[str, Token]:
        """The code by which the page or program that began collects a session.

        A client that disconnects while the provider is asked is not waited for: the flow is used
        up, and nothing else has happened. Raises `AuthenticationError`, `AuthorizationError` where
        there is no account.
        """
        stop_shielding()
        provider = await self._provider(flow.org)
        if back.issuer not in ("", provider.issuer):
            raise AuthenticationError(
                "oidc_issuer", "another provider answered than was asked: start the sign-in again"
            )
        if back.error or not back.code:
            raise AuthenticationError(
                "oidc_refused",
                "the identity provider refused the sign-in: ask its administrators",
            )
        secret = self._sealer.open(
            provider.client_secret,
            "identity-provider", flow.org, provider.issuer, provider.client_id,
        ).decode()  # fmt: skip
        client = ClientCredentials(provider.client_id, secret)
        token = await self._providers.exchange_code(
            provider.issuer, client, back.code, flow.verifier, flow.redirect
        )
        expected = ExpectedClaims(provider.issuer, client.id, flow.nonce, self._world.now())
        claims = await self._providers.verify_id_token(provider.issuer, token, expected)
        user = await self._provisioner.provision(provider, claims, flow.invitation)
        way = SessionRequest(
            exchange_code=COLLECT_PREFIX + flow.challenge,
            sid=session_id_digest(provider.issuer, claims),
        )
        return await self._session_opener.open_session(user, way)

    async def collect_session(
        self, code: str, verifier: str, way: SessionRequest
    ) -> tuple[str, Token]:
        """Exchange the code of `finish_login` and the verifier, once, for a session or half of one.

        Raises `AuthenticationError`.
        """

        def whole(tx: Tx, begun: Token) -> SessionRequest:
            provider = identities.get_provider(tx, begun.org)
            trusted = provider is not None and provider.terms.second_factor
            return SessionRequest(way.kind, way.origin, trusted=trusted)

        return await self._session_opener.exchange_half_session(
            code, COLLECT_PREFIX + pkce_challenge(verifier), whole
        )

    def logout_uri(self, org: str, own: str) -> str:
        """Where the provider of `org` posts logout tokens, at our origin."""
        return f"{own}{LOGOUT_PATH}/{org}"

    def redirect_uri(self, own: str) -> str:
        """The redirect URI that the provider has to know, at our origin `own`."""
        return own + CALLBACK_PATH

    async def logout_url(self, org: str, own: str) -> str:
        """The provider's own logout page; empty if it has none."""
        provider = await self._provider(org)
        metadata = await self._providers.fetch_metadata(provider.issuer)
        if not metadata.end_session_endpoint:
            return ""
        query = {"client_id": provider.client_id, "post_logout_redirect_uri": f"{own}/"}
        return f"{metadata.end_session_endpoint}?{urlencode(query)}"

    async def _provider(self, org: str) -> IdentityProvider:
        """The provider by which people sign in. Raises `NotFoundError`."""
        found = await self.get_provider(org)
        if found is None:
            raise _no_provider_error()
        return found


def _no_provider_error() -> NotFoundError:
    return NotFoundError(
        "not_found",
        "there is no identity provider here: sign in with a password, or have an owner set one up",
    )
