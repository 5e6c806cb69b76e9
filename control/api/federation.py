"""Signing in at an identity provider, and which one an organization has."""

from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from msgspec import Meta, Struct

from control.api.endpoint import FORM, NO_CONTENT, SEE_OTHER, Call, Endpoints
from control.api.page import Page, buttons, page, passage, text
from control.api.sessions import Opened, opened, way_of
from control.authn.cookies import ASKED, OIDC, check_origin
from control.authn.federation import LIFE, Program, Returned
from control.authn.id_token import MAX_TOKEN
from control.crypto import mac, mark_of, mint, same
from control.errors import AuthorizationError, ControlError, ValidationError
from control.model.factors import Provider, Terms
from control.model.names import Entered
from control.model.people import Caller, Role
from protocols.instant import SECOND, rfc3339

federation = Endpoints(
    "oidc", "Signing in at an identity provider (OpenID Connect).", programs=False
)

HTML: Final = "text/html"
ANSWER: Final = "/api/v1/oidc/program/answer"
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


@federation.add(
    "POST", "oidc/begin", "Begin to sign in at the organization's identity provider", public=True,
    mutates=False, body=Begin, returns=BegunLogin, errors=(403, 404, 429, 503),
)  # fmt: skip
async def begin(call: Call, *, body: Begin) -> BegunLogin:
    check_origin(call.visit.browser)
    begun = await call.plane.federation.begin(
        body.organization, call.visit.own, body.invitation, call.visit.origin.ip
    )
    call.visit.give(OIDC, begun.browser, same_site="Lax", max_age=LIFE // SECOND)
    return BegunLogin(begun.url, begun.verifier)


@federation.add(
    "GET", "oidc/program",
    "A page that asks whether a program on the same machine may sign in (RFC 8252, 8.6)",
    public=True, mutates=False, query=Asked, documents=(HTML,),
)  # fmt: skip
async def begin_for(call: Call, *, query: Asked) -> Page:
    visit = call.visit
    secret = visit.browser.asked or mint("a")
    visit.give(ASKED, secret, max_age=LIFE // SECOND)
    where = {
        "organization": query.organization,
        "challenge": query.challenge,
        "port": str(query.port),
        "proof": _proof(secret, query),
    }
    at = rfc3339(call.plane.world.now() // SECOND * SECOND)
    yes, no = (f"{ANSWER}?{urlencode(where | {'answer': each})}" for each in ("yes", "no"))
    return page(
        "Let a program sign in as you?",
        text(
            "A program on this computer wants to act as you in <strong>{org}</strong>. It waits at "
            "127.0.0.1, port {port}, and asked at {at}.",
            org=query.organization, port=str(query.port), at=at,
        ),
        text(
            "Say yes only if you have just started it yourself, and it shows <code>{mark}</code> "
            "too: somebody else on this computer could have sent you here.",
            mark=mark_of(query.challenge),
        ),
        buttons({"Yes, sign it in": yes, "No": no}),
    )  # fmt: skip


@federation.add(
    "POST", "oidc/program/answer", "What the person says to that page: on to the provider, or no",
    public=True, mutates=False, query=Said, documents=(HTML,), errors=(403,),
)  # fmt: skip
async def answer(call: Call, *, query: Said) -> Page:
    visit, port = call.visit, query.port
    check_origin(visit.browser)
    if not same(query.proof, _proof(visit.browser.asked, query)):
        raise AuthorizationError("csrf", "this browser was not asked that: begin anew")
    visit.give(ASKED, "")
    if query.answer == "no":
        return passage("The program was told no", _at(port, error="declined"))
    try:
        begun = await call.plane.federation.begin(
            query.organization, visit.own, ip=visit.origin.ip,
            program=Program(port, query.challenge),
        )  # fmt: skip
    except ControlError as error:
        return passage("The program cannot sign in", _at(port, error=error.code))
    visit.give(OIDC, begun.browser, same_site="Lax", max_age=LIFE // SECOND)
    return passage("On to your identity provider", begun.url)


@federation.add(
    "POST", "oidc/session",
    "The session, for the code that the browser brought back and the verifier, once; with "
    "`X-Freehold-Session: cookie` for a browser",
    public=True, body=Brought, unrecorded=("code", "verifier"), returns=Opened,
    errors=(401, 403, 429, 503),
)  # fmt: skip
async def collect(call: Call, *, body: Brought) -> Opened:
    way = way_of(call)
    return await opened(call, *await call.plane.federation.collect(body.code, body.verifier, way))


@federation.add(
    "GET", "oidc/callback", "Where the provider sends the browser back to", public=True,
    mutates=True, query=Callback, unrecorded=("code", "state"), status=SEE_OTHER,
)  # fmt: skip
async def callback(call: Call, *, query: Callback) -> None:
    visit = call.visit
    visit.give(OIDC, "")
    visit.reply.location = "/"
    back = Returned(query.state, query.code, query.error, query.iss)
    port = 0
    try:
        flow = await call.plane.federation.taken(back, visit.browser.oidc)
        port, call.found.caller = flow.port, Caller(flow.org, "", Role.VIEWER, "")
        code, token = await call.plane.federation.finish(flow, back)
    except ControlError as error:
        here = f"/?{urlencode({'signin': error.code})}"
        visit.reply.location = _at(port, error=error.code) if port else here
        raise
    call.found.caller = Caller(token.org, token.user, token.role, token.id)
    # In the fragment, which no browser sends: no server and no proxy has it in its log.
    visit.reply.location = _at(port, code=code) if port else f"/#{urlencode({'signin': code})}"


@federation.add("GET", "oidc/logout", "Where to leave the provider too", anyone=True, returns=Place,
                errors=(404,))  # fmt: skip
async def leave(call: Call) -> Place:
    home, _ = call.caller.account
    return Place(await call.plane.federation.logout_url(home, call.visit.own))


@federation.add(
    "POST", "oidc/logout/{home}",
    "A provider tells that somebody was signed out there (OpenID Connect Back-Channel Logout 1.0)",
    public=True, media_type=FORM, body=LoggedOut, unrecorded=("logout_token",), status=NO_CONTENT,
    errors=(404, 429, 503),
)  # fmt: skip
async def signed_out(call: Call, home: str, *, body: LoggedOut) -> None:
    call.found.caller = await call.plane.federation.logouts.end(home, body.logout_token)


@federation.add(
    "GET", _ONE, "The organization's provider; null where people sign in by password alone",
    role=Role.ADMIN, programs=True, returns=ProviderView | None,
)  # fmt: skip
async def get(call: Call, org: str) -> ProviderView | None:
    found = await call.plane.federation.provider(org)
    return None if found is None else _view(call, found)


@federation.add(
    "PUT", _ONE, "Take this provider, once it has answered as one", role=Role.OWNER, fresh=True,
    body=NewProvider, unrecorded=("client_secret",), returns=ProviderView,
)  # fmt: skip
async def put(call: Call, org: str, *, body: NewProvider) -> ProviderView:
    terms = body.terms
    if "openid" not in terms.scopes:
        raise ValidationError("scopes_invalid", "add openid to the scopes", field="terms.scopes")
    kept = Terms(
        terms.scopes, terms.domains, terms.role, terms.role_claim, terms.roles, terms.second_factor
    )
    made = await call.plane.federation.configure(
        org, body.issuer, body.client_id, body.client_secret, kept
    )
    return _view(call, made)


@federation.add(
    "DELETE", _ONE, "Nobody signs in by it any more", role=Role.OWNER, fresh=True,
    status=NO_CONTENT,
)  # fmt: skip
async def remove(call: Call, org: str) -> None:
    await call.plane.federation.remove(org)


def _proof(secret: str, asked: Asked) -> str:
    """That the browser which has `secret` was asked this, and not something else."""
    words = "\0".join((asked.organization, asked.challenge, str(asked.port)))
    return mac(secret.encode(), words.encode()).hex() if secret else mint("never")


def _at(port: int, **said: str) -> str:
    """Where a program listens: an address and no name, which could be another's (RFC 8252, 8.3)."""
    return f"http://127.0.0.1:{port}/?{urlencode(said)}"


def _view(call: Call, row: Provider) -> ProviderView:
    return ProviderView(
        row.issuer,
        row.client_id,
        row.terms,
        call.plane.federation.redirect(call.visit.own),
        call.plane.federation.logout_uri(row.org, call.visit.own),
        rfc3339(row.changed_at),
    )
