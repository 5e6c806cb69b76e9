"""Signing in at an identity provider, and which one an organization has."""

from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from msgspec import Meta, Struct

from control.api.endpoint import FORM_MEDIA_TYPE, NO_CONTENT, SEE_OTHER, EndpointCall, EndpointGroup
from control.api.html_page import HtmlPage, button_forms, html_page, paragraph, redirect_page
from control.api.services import FederationServices
from control.api.sessions import Opened, login_response, session_request_of
from control.authn.cookies import CONSENT, OIDC, require_same_origin
from control.authn.federation import FLOW_LIFETIME, AuthorizationResponse, LoopbackClient
from control.authn.id_token import MAX_TOKEN
from control.crypto import constant_time_equal, mac, new_bearer_secret, short_fingerprint
from control.errors import AuthorizationError, ControlError, ValidationError
from control.model.identity import IdentityProvider, Terms
from control.model.names import Entered
from control.model.people import Caller, Role
from protocols.instant import SECOND, rfc3339

Call = EndpointCall[FederationServices]

federation = EndpointGroup[FederationServices](
    "oidc", "Signing in at an identity provider (OpenID Connect).", allows_api_tokens=False
)

HTML: Final = "text/html"
CONSENT_PATH: Final = "/api/v1/oidc/program/answer"
_ONE = "organizations/{org}/identity-provider"
_ISSUER = r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$"
Word = Annotated[str, Meta(min_length=1, max_length=256, pattern="^[!-~]+$")]
Domain = Annotated[str, Meta(max_length=253, pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]


class ProviderTerms(Struct, frozen=True, forbid_unknown_fields=True):
    """What to make of the provider's word.

    `domains`: whose verified addresses get an account by themselves, with `role`; else one has to
    be invited. `roles`: value of the claim `role_claim` → role, at each login. `second_factor`: the
    provider asks for one, so that we do not.
    """

    scopes: Annotated[tuple[Word, ...], Meta(max_length=16)] = ("openid", "email", "profile")
    domains: Annotated[tuple[Domain, ...], Meta(max_length=64)] = ()
    role: Role = Role.VIEWER
    role_claim: Annotated[str, Meta(max_length=128)] = ""
    roles: Annotated[dict[Annotated[str, Meta(max_length=256)], Role], Meta(max_length=64)] = {}
    second_factor: bool = False


class NewProvider(Struct, frozen=True, forbid_unknown_fields=True):
    """A provider; without a secret we are a public client to it."""

    issuer: Annotated[str, Meta(min_length=9, max_length=1024, pattern=_ISSUER)]
    client_id: Word
    client_secret: Annotated[str, Meta(max_length=1024)] = ""
    terms: ProviderTerms = ProviderTerms()


class ProviderView(Struct, frozen=True):
    """A provider; its secret is not told. `redirect_uri` is what it has to know of us.

    `logout_uri` is for its back-channel logout, if it has that.
    """

    issuer: str
    client_id: str
    terms: Terms
    redirect_uri: str
    logout_uri: str
    changed_at: str


class Begin(Struct, frozen=True, forbid_unknown_fields=True):
    """Where one has an account, or the link that one was invited by."""

    organization: Entered
    invitation: Annotated[str, Meta(max_length=64)] = ""


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """A program that listens at `port` of 127.0.0.1, and what tells of its own secret (S256)."""

    organization: Entered
    challenge: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{43}$")]
    port: Annotated[int, Meta(ge=1024, le=65_535)]


class Said(Asked, frozen=True, forbid_unknown_fields=True):
    """What a person said to that, on our page; `proof`: that this browser was asked this."""

    answer: Literal["yes", "no"]
    proof: Annotated[str, Meta(max_length=64)]


class Brought(Struct, frozen=True, forbid_unknown_fields=True):
    """What the browser brought back, and the secret of whoever began."""

    code: Annotated[str, Meta(max_length=64)]
    verifier: Annotated[str, Meta(min_length=43, max_length=128)]


class LoggedOut(Struct, frozen=True):
    """What a provider posts (Back-Channel Logout 1.0, 2.5); more is not looked at."""

    logout_token: Annotated[str, Meta(max_length=MAX_TOKEN)]


class Place(Struct, frozen=True):
    """Where the browser is to go."""

    url: str


class BegunLogin(Struct, frozen=True):
    """Where the browser is to go, and what the page keeps until it is back: `oidc/session`."""

    url: str
    verifier: str


class Callback(Struct, frozen=True):
    """What the provider sends the browser back with; more is not looked at.

    Their length is that of a request line at most.
    """

    state: str = ""
    code: str = ""
    error: str = ""
    iss: str = ""


@federation.route(
    "POST",
    "oidc/begin",
    "Begin to sign in at the organization's identity provider",
    public=True,
    mutates=False,
    errors=(403, 404, 429, 503),
)
async def begin(call: Call, *, body: Begin) -> BegunLogin:
    require_same_origin(call.context.browser)
    begun = await call.services.federation.begin_login(
        body.organization, call.context.own_origin, body.invitation, call.context.origin.ip
    )
    call.context.set_cookie(OIDC, begun.browser, same_site="Lax", max_age=FLOW_LIFETIME // SECOND)
    return BegunLogin(begun.url, begun.verifier)


@federation.route(
    "GET",
    "oidc/program",
    "A page that asks whether a program on the same machine may sign in (RFC 8252, 8.6)",
    public=True,
    mutates=False,
    documents=(HTML,),
)
async def begin_for(call: Call, *, query: Asked) -> HtmlPage:
    visit = call.context
    secret = visit.browser.asked or new_bearer_secret("a")
    visit.set_cookie(CONSENT, secret, max_age=FLOW_LIFETIME // SECOND)
    where = {
        "organization": query.organization,
        "challenge": query.challenge,
        "port": str(query.port),
        "proof": _browser_proof(secret, query),
    }
    at = rfc3339(call.world.now() // SECOND * SECOND)
    yes, no = (f"{CONSENT_PATH}?{urlencode(where | {'answer': each})}" for each in ("yes", "no"))
    return html_page(
        "Let a program sign in as you?",
        paragraph(
            "A program on this computer wants to act as you in <strong>{org}</strong>. It waits at "
            "127.0.0.1, port {port}, and asked at {at}.",
            org=query.organization, port=str(query.port), at=at,
        ),
        paragraph(
            "Say yes only if you have just started it yourself, and it shows <code>{mark}</code> "
            "too: somebody else on this computer could have sent you here.",
            mark=short_fingerprint(query.challenge),
        ),
        button_forms({"Yes, sign it in": yes, "No": no}),
    )  # fmt: skip


@federation.route(
    "POST",
    "oidc/program/answer",
    "What the person says to that page: on to the provider, or no",
    public=True,
    mutates=False,
    documents=(HTML,),
    errors=(403,),
)
async def answer(call: Call, *, query: Said) -> HtmlPage:
    visit, port = call.context, query.port
    require_same_origin(visit.browser)
    if not constant_time_equal(query.proof, _browser_proof(visit.browser.asked, query)):
        raise AuthorizationError("csrf", "this browser was not asked that: start the sign-in again")
    visit.set_cookie(CONSENT, "")
    if query.answer == "no":
        return redirect_page("The program was told no", _loopback_url(port, error="declined"))
    try:
        begun = await call.services.federation.begin_login(
            query.organization, visit.own_origin, ip=visit.origin.ip,
            program=LoopbackClient(port, query.challenge),
        )  # fmt: skip
    except ControlError as error:
        return redirect_page("The program cannot sign in", _loopback_url(port, error=error.code))
    visit.set_cookie(OIDC, begun.browser, same_site="Lax", max_age=FLOW_LIFETIME // SECOND)
    return redirect_page("On to your identity provider", begun.url)


@federation.route(
    "POST",
    "oidc/session",
    "The session, for the code that the browser brought back and the verifier, once; with "
    "`X-Freehold-Session: cookie` for a browser",
    public=True,
    unrecorded=("code", "verifier"),
    errors=(401, 403, 429, 503),
)
async def collect(call: Call, *, body: Brought) -> Opened:
    way = session_request_of(call)
    collected = await call.services.federation.collect_session(body.code, body.verifier, way)
    return await login_response(call, call.services.sessions, *collected)


@federation.route(
    "GET",
    "oidc/callback",
    "Where the provider sends the browser back to",
    public=True,
    mutates=True,
    unrecorded=("code", "state"),
    status=SEE_OTHER,
)
async def callback(call: Call, *, query: Callback) -> None:
    visit = call.context
    visit.set_cookie(OIDC, "")
    visit.reply.location = "/"
    back = AuthorizationResponse(query.state, query.code, query.error, query.iss)
    port = 0
    try:
        flow = await call.services.federation.take_flow(back, visit.browser.oidc)
        port, call.resolved.caller = flow.port, Caller(flow.org, "", Role.VIEWER, "")
        code, token = await call.services.federation.finish_login(flow, back)
    except ControlError as error:
        here = f"/?{urlencode({'signin': error.code})}"
        visit.reply.location = _loopback_url(port, error=error.code) if port else here
        raise
    call.resolved.caller = Caller(token.org, token.user, token.role, token.id)
    # In the fragment, which no browser sends: no server and no proxy has it in its log.
    visit.reply.location = (
        _loopback_url(port, code=code) if port else f"/#{urlencode({'signin': code})}"
    )


@federation.route(
    "GET", "oidc/logout", "Where to leave the provider too", any_authenticated=True, errors=(404,)
)
async def leave(call: Call) -> Place:
    home, _ = call.caller.account
    return Place(await call.services.federation.logout_url(home, call.context.own_origin))


@federation.route(
    "POST",
    "oidc/logout/{home}",
    "A provider tells that somebody was signed out there (OpenID Connect Back-Channel Logout 1.0)",
    public=True,
    media_type=FORM_MEDIA_TYPE,
    unrecorded=("logout_token",),
    status=NO_CONTENT,
    errors=(404, 429, 503),
)
async def signed_out(call: Call, home: str, *, body: LoggedOut) -> None:
    call.resolved.caller = await call.services.federation.logouts.end_sessions(
        home, body.logout_token
    )


@federation.route(
    "GET",
    _ONE,
    "The organization's provider; null where people sign in by password alone",
    role=Role.ADMIN,
    allows_api_tokens=True,
)
async def get(call: Call, org: str) -> ProviderView | None:
    found = await call.services.federation.get_provider(org)
    return None if found is None else _provider_view(call, found)


@federation.route(
    "PUT",
    _ONE,
    "Take this provider, once it has answered as one",
    role=Role.OWNER,
    requires_recent_auth=True,
    unrecorded=("client_secret",),
)
async def put(call: Call, org: str, *, body: NewProvider) -> ProviderView:
    terms = body.terms
    if "openid" not in terms.scopes:
        raise ValidationError("scopes_invalid", "add openid to the scopes", field="terms.scopes")
    kept = Terms(
        terms.scopes, terms.domains, terms.role, terms.role_claim, terms.roles, terms.second_factor
    )
    made = await call.services.federation.configure_provider(
        org, body.issuer, body.client_id, body.client_secret, kept
    )
    return _provider_view(call, made)


@federation.route(
    "DELETE",
    _ONE,
    "Nobody signs in by it any more",
    role=Role.OWNER,
    requires_recent_auth=True,
    status=NO_CONTENT,
)
async def remove(call: Call, org: str) -> None:
    await call.services.federation.remove_provider(org)


def _browser_proof(secret: str, asked: Asked) -> str:
    """That the browser which has `secret` was asked this, and not something else."""
    words = "\0".join((asked.organization, asked.challenge, str(asked.port)))
    return mac(secret.encode(), words.encode()).hex() if secret else new_bearer_secret("never")


def _loopback_url(port: int, **said: str) -> str:
    """Where a program listens: an address and no name, which could be another's (RFC 8252, 8.3)."""
    return f"http://127.0.0.1:{port}/?{urlencode(said)}"


def _provider_view(call: Call, row: IdentityProvider) -> ProviderView:
    return ProviderView(
        row.issuer,
        row.client_id,
        row.terms,
        call.services.federation.redirect_uri(call.context.own_origin),
        call.services.federation.logout_uri(row.org, call.context.own_origin),
        rfc3339(row.changed_at),
    )
