"""Signing in and out, and the sessions that one has."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from control.api import views
from control.api.endpoint import NO_CONTENT, Call, Endpoints
from control.authn.cookies import check_origin
from control.authn.members import Belonging
from control.authn.opening import Way
from control.authn.sessions import Visit
from control.errors import AuthorizationError
from control.model.names import Entered, Slug
from control.model.people import Caller, Role, Token, TokenKind
from protocols.http.session_key import parts_of
from protocols.instant import rfc3339, rfc3339_or_none

sessions = Endpoints("sessions", "Signing in and out.", programs=False)

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


@sessions.add(
    "POST", "sessions", "Sign in; with `X-Freehold-Session: cookie` for a browser", public=True,
    hashes=True, body=Login, unrecorded=("password",), returns=Opened,
    errors=(401, 403, 429, 503),
)  # fmt: skip
async def login(call: Call, *, body: Login) -> Opened:
    way = way_of(call)
    secret, token = await call.plane.accounts.login(
        body.organization, body.name, body.password, way
    )
    return await opened(call, secret, token)


@sessions.add(
    "GET", "sessions/current", "Who one is, and what a page has to know", anyone=True,
    programs=True, returns=Current,
)  # fmt: skip
async def current(call: Call) -> Current:
    visit = await call.plane.sessions.of(call.caller)
    return await _current(call, visit)


@sessions.add(
    "DELETE", "sessions/current", "End the credential one comes with", anyone=True, fresh=False,
    programs=True, status=NO_CONTENT,
)  # fmt: skip
async def logout(call: Call) -> None:
    await call.plane.sessions.logout(call.caller)
    if call.visit.browser.cookie:
        call.visit.keep("")


@sessions.add(
    "POST", "sessions/current/confirm",
    "Show again who one is: what is dangerous asks for it after ten minutes", anyone=True,
    fresh=False, hashes=True, body=Confirmation, unrecorded=("password", "code"),
    status=NO_CONTENT,
)  # fmt: skip
async def confirm(call: Call, *, body: Confirmation) -> None:
    caller, plane = call.caller, call.plane
    shown = factor = await plane.factors.prove(caller, body.code)
    if shown is None:
        shown = await plane.accounts.is_password(caller, body.password)
    if not shown:
        raise AuthorizationError(
            "not_proven",
            "this password or code does not count: try again, a code with the next one",
        )
    await plane.sessions.proven(caller, factor=bool(factor))


@sessions.add(
    "PUT", "sessions/current/organization",
    "Act in another organization that one is a member of: a new session, the old one ends",
    anyone=True, fresh=False, body=Chosen, returns=Opened,
)  # fmt: skip
async def switch(call: Call, *, body: Chosen) -> Opened:
    return _told(call, *await call.plane.members.switch(call.caller, body.organization))


@sessions.add(
    "PUT", "password", "Change one's own password; every session and token ends", anyone=True,
    fresh=False, hashes=True, body=OwnPassword, unrecorded=("old", "new"), status=NO_CONTENT,
)  # fmt: skip
async def own_password(call: Call, *, body: OwnPassword) -> None:
    caller, plane = call.caller, call.plane
    if not await plane.accounts.is_password(caller, body.old):
        raise AuthorizationError("not_proven", "the old password is not this one: try again")
    org, name = caller.account
    await plane.users.set_password(None, org, name, body.new)


@sessions.add(
    "GET", "sessions", "One's own sessions and API tokens, the newest first", anyone=True,
    returns=list[SessionView],
)  # fmt: skip
async def list_(call: Call) -> list[SessionView]:
    return [_view(row, call.caller.token) for row in await call.plane.sessions.mine(call.caller)]


@sessions.add(
    "DELETE", "sessions/{session}", "End one of one's own", anyone=True, fresh=False,
    status=NO_CONTENT,
)  # fmt: skip
async def end(call: Call, session: str) -> None:
    await call.plane.sessions.end(call.caller, session)


@sessions.add("GET", "whoami", "Who one is, in short", anyone=True, programs=True, returns=Me)
async def whoami(call: Call) -> Me:
    caller = call.caller
    return Me(caller.org, caller.name, caller.role, caller.token)


def way_of(call: Call) -> Way:
    """What kind of session a request is for. Raises `AuthorizationError` for another site's."""
    if call.visit.wants_cookie:
        check_origin(call.visit.browser)
    return Way(call.visit.kind, call.visit.origin)


async def opened(call: Call, credential: str, token: Token) -> Opened:
    """Tell the credential; the session that the browser had before is over."""
    acting = token.acting or token.org
    call.found.caller = Caller(acting, token.user, token.role, token.id, token.org)
    if token.kind is TokenKind.HALF:
        return Opened(State(token.label), challenge=credential)
    if token.kind is TokenKind.BROWSER:
        await call.plane.sessions.leave(call.visit.browser)
    return _told(call, credential, token)


def _told(call: Call, credential: str, token: Token) -> Opened:
    """A program's whole credential; a browser's in two parts, one of them in a cookie."""
    if token.kind is not TokenKind.BROWSER:
        return Opened(State.OPEN, credential, token=views.token(token))
    cookie, key = parts_of(credential)
    call.visit.keep(cookie)
    return Opened(State.OPEN, session_key=key, token=views.token(token))


async def _current(call: Call, visit: Visit) -> Current:
    caller, token = visit.caller, visit.token
    factor = await call.plane.factors.standing(caller)
    account = await call.plane.users.get(*caller.account)
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
        organizations=await call.plane.members.of(caller),
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
