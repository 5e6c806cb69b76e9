"""Signing in and out, and the sessions that one has."""

from enum import StrEnum
from typing import Annotated, TypeVar

from msgspec import Meta, Struct

from control.api import views
from control.api.endpoint import NO_CONTENT, EndpointCall, EndpointGroup
from control.api.services import PeopleServices
from control.authn.cookies import require_same_origin
from control.authn.members import Belonging
from control.authn.session_opener import SessionRequest
from control.authn.sessions import ActiveSession, Sessions
from control.errors import AuthorizationError
from control.model.names import Entered, Slug
from control.model.people import Caller, Role, Token, TokenKind
from protocols.http.session_key import parts_of
from protocols.instant import rfc3339, rfc3339_or_none

S = TypeVar("S")
Call = EndpointCall[PeopleServices]

sessions = EndpointGroup[PeopleServices]("sessions", "Signing in and out.", allows_api_tokens=False)

Password = Annotated[str, Meta(max_length=1024)]
Code = Annotated[str, Meta(max_length=32)]
Challenge = Annotated[str, Meta(max_length=64)]


class Login(Struct, frozen=True, forbid_unknown_fields=True):
    """Who one is."""

    organization: Entered
    name: Entered
    password: Password


class State(StrEnum):
    """Whether one is signed in, or what has to be shown or set up first."""

    OPEN = "open"
    SECOND_FACTOR = "second-factor"
    ENROLMENT = "enrolment"


class Opened(Struct, frozen=True):
    """A new session, when the state is `open`. `secret` is for a program, and shown this once.

    A browser gets a cookie in its place, and `session_key`, shown this once, which goes with every
    request as `X-Session-Key`. In another state `challenge` is what the next step takes.
    """

    state: State
    secret: str = ""
    session_key: str = ""
    challenge: str = ""
    token: views.TokenView | None = None


class Confirmation(Struct, frozen=True, forbid_unknown_fields=True):
    """Who has a second factor gives a code; who has none, the password."""

    password: Password = ""
    code: Code = ""


class Chosen(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to act."""

    organization: Slug


class OwnPassword(Struct, frozen=True, forbid_unknown_fields=True):
    """The password that is, and the one to be."""

    old: Password
    new: Password


class Me(Struct, frozen=True):
    """Who one is to the control plane."""

    organization: str
    name: str
    role: Role
    token: str


class Current(Struct, frozen=True):
    """The session one comes with. `until`: when it ends unless it is used before.

    `password`: whether there is one; who has neither that nor a second factor shows who they are at
    the identity provider, by signing in anew.
    """

    organization: str
    home: str
    name: str
    role: Role
    super_admin: bool
    session: str
    kind: TokenKind
    until: str
    expires_at: str
    second_factor: bool
    password: bool
    organizations: list[Belonging]


class SessionView(Struct, frozen=True):
    """One of one's sessions and API tokens; `ip` and `user_agent`: where it was opened."""

    id: str
    kind: TokenKind
    label: str
    current: bool
    ip: str
    user_agent: str
    created_at: str
    seen_at: str | None
    expires_at: str


@sessions.route(
    "POST",
    "sessions",
    "Sign in; with `X-Freehold-Session: cookie` for a browser",
    public=True,
    hashes_password=True,
    unrecorded=("password",),
    errors=(401, 403, 429, 503),
)
async def login(call: Call, *, body: Login) -> Opened:
    way = session_request_of(call)
    secret, token = await call.services.accounts.login(
        body.organization, body.name, body.password, way
    )
    return await login_response(call, call.services.sessions, secret, token)


@sessions.route(
    "GET",
    "sessions/current",
    "Who one is, and what a page has to know",
    any_authenticated=True,
    allows_api_tokens=True,
)
async def current(call: Call) -> Current:
    visit = await call.services.sessions.token_of(call.caller)
    return await _current_view(call, visit)


@sessions.route(
    "DELETE",
    "sessions/current",
    "End the credential one comes with",
    any_authenticated=True,
    requires_recent_auth=False,
    allows_api_tokens=True,
    status=NO_CONTENT,
)
async def logout(call: Call) -> None:
    await call.services.sessions.logout(call.caller)
    if call.context.browser.cookie:
        call.context.set_session_cookie("")


@sessions.route(
    "POST",
    "sessions/current/confirm",
    "Show again who one is: what is dangerous asks for it after ten minutes",
    any_authenticated=True,
    requires_recent_auth=False,
    hashes_password=True,
    unrecorded=("password", "code"),
    status=NO_CONTENT,
)
async def confirm(call: Call, *, body: Confirmation) -> None:
    caller, services = call.caller, call.services
    shown = factor = await services.second_factors.verify_code(caller, body.code)
    if shown is None:
        shown = await services.accounts.is_own_password(caller, body.password)
    if not shown:
        raise AuthorizationError(
            "not_proven",
            "wrong password or code: try again, with a new code",
        )
    await services.sessions.record_proof(caller, factor=bool(factor))


@sessions.route(
    "PUT",
    "sessions/current/organization",
    "Act in another organization that one is a member of: a new session, the old one ends",
    any_authenticated=True,
    requires_recent_auth=False,
)
async def switch(call: Call, *, body: Chosen) -> Opened:
    return _credential_response(
        call, *await call.services.members.switch_organization(call.caller, body.organization)
    )


@sessions.route(
    "PUT",
    "password",
    "Change one's own password; every session and token ends",
    any_authenticated=True,
    requires_recent_auth=False,
    hashes_password=True,
    unrecorded=("old", "new"),
    status=NO_CONTENT,
)
async def own_password(call: Call, *, body: OwnPassword) -> None:
    caller, services = call.caller, call.services
    if not await services.accounts.is_own_password(caller, body.old):
        raise AuthorizationError("not_proven", "wrong current password: try again")
    org, name = caller.account
    await services.users.set_password(None, org, name, body.new)


@sessions.route(
    "GET", "sessions", "One's own sessions and API tokens, the newest first", any_authenticated=True
)
async def list_(call: Call) -> list[SessionView]:
    return [
        _view(row, call.caller.token) for row in await call.services.sessions.list_own(call.caller)
    ]


@sessions.route(
    "DELETE",
    "sessions/{session}",
    "End one of one's own",
    any_authenticated=True,
    requires_recent_auth=False,
    status=NO_CONTENT,
)
async def end(call: Call, session: str) -> None:
    await call.services.sessions.end_own(call.caller, session)


@sessions.route(
    "GET", "whoami", "Who one is, in short", any_authenticated=True, allows_api_tokens=True
)
async def whoami(call: Call) -> Me:
    caller = call.caller
    return Me(caller.org, caller.name, caller.role, caller.token)


def session_request_of(call: EndpointCall[S]) -> SessionRequest:
    """What kind of session a request is for. Raises `AuthorizationError` for another site's."""
    if call.context.wants_cookie:
        require_same_origin(call.context.browser)
    return SessionRequest(call.context.session_kind, call.context.origin)


async def login_response(
    call: EndpointCall[S], sessions: Sessions, credential: str, token: Token
) -> Opened:
    """Tell the credential; the session that the browser had before is over."""
    acting = token.acting or token.org
    call.resolved.caller = Caller(acting, token.user, token.role, token.id, token.org)
    if token.kind is TokenKind.HALF:
        return Opened(State(token.label), challenge=credential)
    if token.kind is TokenKind.BROWSER:
        await sessions.end_browser_session(call.context.browser)
    return _credential_response(call, credential, token)


def _credential_response(call: EndpointCall[S], credential: str, token: Token) -> Opened:
    """A program's whole credential; a browser's in two parts, one of them in a cookie."""
    if token.kind is not TokenKind.BROWSER:
        return Opened(State.OPEN, credential, token=views.token_view(token))
    cookie, key = parts_of(credential)
    call.context.set_session_cookie(cookie)
    return Opened(State.OPEN, session_key=key, token=views.token_view(token))


async def _current_view(call: Call, visit: ActiveSession) -> Current:
    caller, token = visit.caller, visit.token
    factor = await call.services.second_factors.factor_status(caller)
    account = await call.services.users.get_user(*caller.account)
    return Current(
        organization=caller.org,
        home=caller.account[0],
        name=caller.name,
        role=caller.role,
        super_admin=caller.is_platform,
        session=token.id,
        kind=token.kind,
        until=rfc3339(visit.until),
        expires_at=rfc3339(token.expires_at),
        second_factor=factor.active,
        password=bool(account.password),
        organizations=await call.services.members.organizations_of(caller),
    )


def _view(row: Token, current: str) -> SessionView:
    return SessionView(
        id=row.id,
        kind=row.kind,
        label=row.label,
        current=row.id == current,
        ip=row.ip,
        user_agent=row.user_agent,
        created_at=rfc3339(row.created_at),
        seen_at=rfc3339_or_none(row.seen_at),
        expires_at=rfc3339(row.expires_at),
    )
