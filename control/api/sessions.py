"""Signing in and out, and the sessions that one has."""

from typing import Annotated

from msgspec import Meta, Struct

from control.api import views
from control.api.endpoint import NO_CONTENT, Call, Endpoints
from control.authn.cookies import check_origin
from control.authn.sessions import Visit
from control.crypto import csrf_of
from control.model.people import Role, Token, TokenKind
from protocols.instant import rfc3339

sessions = Endpoints("sessions", "Signing in and out.")

Password = Annotated[str, Meta(max_length=1024)]


class Login(Struct, frozen=True, forbid_unknown_fields=True):
    """Who one is."""

    organization: Annotated[str, Meta(max_length=64)]
    name: Annotated[str, Meta(max_length=64)]
    password: Password


class Opened(Struct, frozen=True):
    """A new session. `secret` is for a program, and shown this once.

    In a browser the cookie has it; `csrf` goes back as `X-CSRF-Token` with whatever changes
    something.
    """

    secret: str
    csrf: str
    token: views.TokenView


class Me(Struct, frozen=True):
    """Who one is to the control plane."""

    organization: str
    name: str
    role: Role
    token: str


class OrganizationRole(Struct, frozen=True):
    """What one is in an organization."""

    id: str
    title: str
    role: Role


class Current(Struct, frozen=True):
    """The session one comes with. `until`: when it ends unless it is used before."""

    organization: str
    name: str
    role: Role
    super_admin: bool
    session: str
    kind: TokenKind
    csrf: str
    until: str
    expires_at: str
    organizations: list[OrganizationRole]


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
    body=Login, unrecorded=("password",), returns=Opened, errors=(401, 403, 503),
)  # fmt: skip
async def login(call: Call, *, body: Login) -> Opened:
    visit = call.visit
    if visit.wants_cookie:
        check_origin(visit.browser)
    secret, token = await call.plane.accounts.login(
        body.organization, body.name, body.password, visit.origin, kind=visit.kind
    )
    return await _opened(call, secret, token)


@sessions.add(
    "GET", "sessions/current", "Who one is, and what a page has to know", anyone=True,
    returns=Current,
)  # fmt: skip
async def current(call: Call) -> Current:
    visit = await call.plane.sessions.of(call.caller, call.visit.browser)
    return await _current(call, visit)


@sessions.add(
    "DELETE", "sessions/current", "End the credential one comes with", anyone=True,
    status=NO_CONTENT,
)  # fmt: skip
async def logout(call: Call) -> None:
    await call.plane.sessions.logout(call.caller)
    if call.visit.browser.cookie:
        call.visit.keep("")


@sessions.add(
    "GET", "sessions", "One's own sessions and API tokens, the newest first", anyone=True,
    returns=list[SessionView],
)  # fmt: skip
async def list_(call: Call) -> list[SessionView]:
    return [_view(row, call.caller.token) for row in await call.plane.sessions.mine(call.caller)]


@sessions.add(
    "DELETE", "sessions/{session}", "End one of one's own", anyone=True, status=NO_CONTENT
)
async def end(call: Call, session: str) -> None:
    await call.plane.sessions.end(call.caller, session)


@sessions.add("GET", "whoami", "Who one is, in short", anyone=True, returns=Me)
async def whoami(call: Call) -> Me:
    caller = call.caller
    return Me(caller.org, caller.name, caller.role, caller.token)


async def _opened(call: Call, secret: str, token: Token) -> Opened:
    """Tell the secret, or keep it in the browser; then the one it had before is over."""
    if not call.visit.wants_cookie:
        return Opened(secret, "", views.token(token))
    await call.plane.sessions.leave(call.visit.browser)
    call.visit.keep(secret)
    return Opened("", csrf_of(secret), views.token(token))


async def _current(call: Call, visit: Visit) -> Current:
    caller, token = visit.caller, visit.token
    own = await call.plane.users.organization(caller.org)
    return Current(
        organization=caller.org,
        name=caller.name,
        role=caller.role,
        super_admin=caller.is_platform,
        session=token.id,
        kind=token.kind,
        csrf=visit.csrf,
        until=rfc3339(visit.until),
        expires_at=rfc3339(token.expires_at),
        organizations=[OrganizationRole(own.id, own.title, caller.role)],
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
        seen_at=rfc3339(row.seen_at) if row.seen_at else None,
        expires_at=rfc3339(row.expires_at),
    )
