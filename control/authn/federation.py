"""Signing in at an organization's identity provider: OpenID Connect, code flow with PKCE (S256).

    begin: state, nonce and a cookie are made; the browser goes to the provider
    finish: it comes back with state and code → ID token → account → a code of ours
    collect: our page, or a program which the browser goes to then (RFC 8252, 7.3), exchanges that
        code and its own verifier for the session

A state is good once, for ten minutes, and for the browser that began: what it came with is kept as
digests. Of whoever began, page or program, the challenge of its verifier is kept: neither a cookie
nor an address that somebody else has seen is enough for the session. Accounts are
linked by issuer and subject alone; an email address, which the provider has to call verified,
matters only for who gets a new account.
"""

from typing import Final
from urllib.parse import urlencode

from msgspec import Struct

from actors import World
from actors.slewed_clock import EARLY
from control.authn.admission import Admission
from control.authn.id_token import Expected
from control.authn.logouts import Logouts, sid_of
from control.authn.opening import Opening, Way
from control.authn.provider import Client, Providers
from control.crypto import Sealer, challenge_of, digest_of, mint, same_bytes
from control.errors import AuthenticationError, NotFoundError
from control.model.factors import Flow, Provider, Terms
from control.model.people import Token
from control.store import identities
from control.store.rows import Tx
from control.store.store import Store
from protocols.client import client_of
from protocols.instant import SECOND

LIFE: Final = 600 * SECOND
MAX_FLOWS: Final = 1000  # of one organization at once; of whoever has most, the oldest gives way
CALLBACK: Final = "/api/v1/oidc/callback"
LOGOUT: Final = "/api/v1/oidc/logout"
HANDED: Final = "collect:"
"""What half a session says that waits to be collected; the challenge follows."""


class Begun(Struct, frozen=True):
    """Where the browser goes, and what its cookie is to hold.

    `verifier`: what our page keeps and collects the session with; empty where a program began.
    """

    url: str
    browser: str
    verifier: str


class Returned(Struct, frozen=True):
    """What it comes back with; `issuer` after RFC 9207, if the provider names itself."""

    state: str
    code: str
    error: str
    issuer: str


class Program(Struct, frozen=True):
    """One that listens at `port` of the person's machine; `challenge`: RFC 7636's, by S256."""

    port: int
    challenge: str


class Federation:
    """Logins by way of providers."""

    def __init__(
        self,
        store: Store,
        *,
        sealer: Sealer,
        providers: Providers,
        admission: Admission,
        opening: Opening,
        world: World,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._providers = providers
        self._admission = admission
        self.logouts = Logouts(store, providers, admission.ends, world)
        self._opening = opening
        self._world = world

    async def configure(
        self, org: str, issuer: str, client_id: str, secret: str, terms: Terms
    ) -> Provider:
        """Take this provider for an organization, once it has answered as one.

        Raises `ValidationError`, `UnavailableError`.
        """
        await self._providers.metadata(issuer)
        sealed = self._sealer.seal(secret.encode(), "identity-provider", org, issuer, client_id)
        row = Provider(org, issuer, client_id, sealed, terms, self._world.now())
        await self._store.write(lambda tx: identities.put_provider(tx, row))
        return row

    async def provider(self, org: str) -> Provider | None:
        """Which one the organization has."""
        return await self._store.read(lambda tx: identities.provider(tx, org))

    async def remove(self, org: str) -> None:
        """Nobody signs in by it any more; who has, stays. Raises `NotFoundError`."""
        if not await self._store.write(lambda tx: identities.drop_provider(tx, org)):
            raise _no_provider()

    async def begin(
        self,
        org: str,
        own: str,
        invitation: str = "",
        ip: str = "",
        program: Program | None = None,
    ) -> Begun:
        """A login at the provider of `org`, back to our origin `own`, for somebody at `ip`.

        `program`: what the browser is sent to in the end.
        Raises `NotFoundError`, `UnavailableError`.
        """
        provider = await self._provider(org)
        metadata = await self._providers.metadata(provider.issuer)
        state, nonce, browser, verifier = (mint(each) for each in ("s", "n", "b", "v"))
        ours = "" if program else mint("v")
        now = self._world.now()
        flow = Flow(
            state=digest_of(state),
            org=org,
            browser=digest_of(browser),
            nonce=nonce,
            verifier=verifier,
            redirect=self.redirect(own),
            invitation=invitation and digest_of(invitation).hex(),
            expires_at=now + LIFE,
            client=client_of(ip),
            port=program.port if program else 0,
            challenge=program.challenge if program else challenge_of(ours),
        )

        def change(tx: Tx) -> None:
            identities.sweep_flows(tx, now)
            if identities.count_flows(tx, org) >= MAX_FLOWS:
                identities.crowd_out_flow(tx, org)
            identities.add_flow(tx, flow)

        await self._store.write(change)
        query = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": flow.redirect,
            "scope": " ".join(provider.terms.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in metadata.authorization_endpoint else "?"
        return Begun(f"{metadata.authorization_endpoint}{joint}{urlencode(query)}", browser, ours)

    async def taken(self, back: Returned, browser: str) -> Flow:
        """The login that this is the end of, whatever comes of it. Raises `AuthenticationError`."""
        digest = digest_of(back.state)
        flow = await self._store.write(lambda tx: identities.take_flow(tx, digest))
        now = self._world.now()
        if (
            flow is None
            or not flow.expires_at - LIFE - EARLY <= now < flow.expires_at
            or not same_bytes(flow.browser, digest_of(browser))
        ):
            raise AuthenticationError("oidc_state", "this login was not begun here; begin anew")
        return flow

    async def finish(self, flow: Flow, back: Returned) -> tuple[str, Token]:
        """The code by which whoever began collects a session, for whom the provider names.

        Raises `AuthenticationError`, `AuthorizationError` for who has no account.
        """
        provider = await self._provider(flow.org)
        if back.issuer not in ("", provider.issuer):
            raise AuthenticationError(
                "oidc_issuer", "another provider has answered than was asked: begin anew"
            )
        if back.error or not back.code:
            raise AuthenticationError(
                "oidc_refused",
                "the identity provider did not let you in: its own administrators know why",
            )
        secret = self._sealer.open(
            provider.client_secret,
            "identity-provider", flow.org, provider.issuer, provider.client_id,
        ).decode()  # fmt: skip
        client = Client(provider.client_id, secret)
        token = await self._providers.exchange(
            provider.issuer, client, back.code, flow.verifier, flow.redirect
        )
        expected = Expected(provider.issuer, client.id, flow.nonce, self._world.now())
        claims = await self._providers.claims(provider.issuer, token, expected)
        user = await self._admission.admit(provider, claims, flow.invitation)
        way = Way(handed=HANDED + flow.challenge, sid=sid_of(provider.issuer, claims))
        return await self._opening.open(user, way)

    async def collect(self, code: str, verifier: str, way: Way) -> tuple[str, Token]:
        """A session, or half of one, for the code that `finish` gave and the verifier; once.

        Raises `AuthenticationError`.
        """

        def whole(tx: Tx, begun: Token) -> Way:
            provider = identities.provider(tx, begun.org)
            trusted = provider is not None and provider.terms.second_factor
            return Way(way.kind, way.origin, trusted=trusted)

        return await self._opening.exchange(code, HANDED + challenge_of(verifier), whole)

    def logout_uri(self, org: str, own: str) -> str:
        """Where the provider of `org` tells us that somebody was signed out, at our origin."""
        return f"{own}{LOGOUT}/{org}"

    def redirect(self, own: str) -> str:
        """What a provider has to know of us, at our origin `own`."""
        return own + CALLBACK

    async def logout_url(self, org: str, own: str) -> str:
        """Where a browser goes to leave the provider too; empty if it has no such place."""
        provider = await self._provider(org)
        metadata = await self._providers.metadata(provider.issuer)
        if not metadata.end_session_endpoint:
            return ""
        query = {"client_id": provider.client_id, "post_logout_redirect_uri": f"{own}/"}
        return f"{metadata.end_session_endpoint}?{urlencode(query)}"

    async def _provider(self, org: str) -> Provider:
        """The one by which people come in. Raises `NotFoundError`."""
        found = await self.provider(org)
        if found is None:
            raise _no_provider()
        return found


def _no_provider() -> NotFoundError:
    return NotFoundError(
        "not_found",
        "there is no identity provider here: sign in with a password, or have an owner set one up",
    )
