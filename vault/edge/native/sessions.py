"""`/api/v1/sessions`: a browser's way in and out; which sessions there are, and their end.

A browser's session has two secrets: the cookie's is never in a body, and the session key is in the
answer to signing in alone (`protocols.http.session_key`).
"""

from msgspec import Struct
from msgspec.structs import asdict

from protocols.http.session_key import parts_of
from protocols.instant import SECOND, rfc3339, rfc3339_or_none
from vault import operations
from vault.edge.browser_sessions import BrowserSessions
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, encode_reply, system_path
from vault.edge.reply import NO_CONTENT, Reply
from vault.edge.request import Request
from vault.errors import NotFoundError
from vault.model.operation import OperationType
from vault.model.payloads import Nothing, OpenSession, SessionSelector
from vault.model.results import BrowserSession, SessionInfo

sessions = Endpoints("sessions", "Sessions of people: signing in and out, who is where, the end.")


class SessionDialect(Dialect):
    """A dialect with sessions of browsers."""

    browsers: BrowserSessions | None = None
    """How a browser's cookies are read; None while the web interface is off."""


class SessionBody(Struct, frozen=True, kw_only=True):
    """Who is signed in.

    It ends at `expires_at`, in `left_seconds`, unless it is renewed before; at `ends_at` at last.
    """

    name: str
    policies: list[str]
    root: bool
    accessor: str
    created_at: str
    expires_at: str
    ends_at: str
    idle_seconds: int
    left_seconds: int


class OpenedBody(SessionBody, frozen=True, kw_only=True):
    """A new session. `session_key` goes with every request as `X-Session-Key`; shown this once."""

    session_key: str


class NewSession(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A browser's session. `exchange`: it takes the place of the token of a login, which ends."""

    exchange: bool = False


class SessionEntry(Struct, frozen=True, kw_only=True):
    """A session: how it was opened, from where, when it was used last, until when it lasts.

    `mount` is empty without an auth mount. `idle_until`: when it ends unless it is used; null:
    `expires_at` alone counts. `last_used` may be some seconds behind. `current`: it asks.
    """

    accessor: str
    method: str
    mount: str
    browser: bool
    address: str
    created_at: str
    last_used: str
    expires_at: str
    idle_until: str | None
    current: bool

    @classmethod
    def of(cls, found: SessionInfo) -> "SessionEntry":
        """From what is found."""
        return cls(
            accessor=found.accessor,
            method=found.method,
            mount=found.mount,
            browser=found.browser,
            address=found.address,
            created_at=rfc3339(found.created_at),
            last_used=rfc3339(found.last_used),
            expires_at=rfc3339(found.expires_at),
            idle_until=rfc3339_or_none(found.idle_until),
            current=found.is_current,
        )


class SessionList(Struct, frozen=True):
    """Sessions, the newest first."""

    sessions: list[SessionEntry]


@sessions.add("GET", "sessions", "List one's own sessions", returns=SessionList)
async def list_(dialect: Dialect, request: Request) -> SessionList:
    found = await dialect.run_operation(
        request, operations.LIST_SESSIONS, system_path("sessions"), Nothing()
    )
    return SessionList([SessionEntry.of(one) for one in found])


@sessions.add("DELETE", "sessions/{accessor}", "End one of one's own sessions", status=204)
async def revoke(dialect: Dialect, request: Request, accessor: str) -> None:
    await dialect.run_operation(
        request,
        operations.REVOKE_SESSION,
        system_path("sessions"),
        SessionSelector(accessor=accessor),
    )


@sessions.add("GET", "users/{id}/sessions", "List a user's sessions", returns=SessionList)
async def list_of_user(dialect: Dialect, request: Request, user_id: str) -> SessionList:
    found = await dialect.run_operation(
        request, operations.LIST_USER_SESSIONS, system_path("sessions", user_id), Nothing()
    )
    return SessionList([SessionEntry.of(one) for one in found])


@sessions.add(
    "DELETE", "users/{id}/sessions/{accessor}", "End one of a user's sessions", status=204
)
async def revoke_of_user(dialect: Dialect, request: Request, user_id: str, accessor: str) -> None:
    await dialect.run_operation(
        request,
        operations.REVOKE_USER_SESSION,
        system_path("sessions", user_id),
        SessionSelector(accessor=accessor, user=user_id),
    )


@sessions.add(
    "POST", "sessions", "Open a browser's session with a token or API key: cookie and session key",
    body=NewSession, returns=OpenedBody, status=201, errors=(404, 409),
)  # fmt: skip
async def open_(dialect: SessionDialect, request: Request, *, body: NewSession) -> Reply:
    if dialect.browsers is None:
        await _run(dialect, request, operations.READ_SESSION)
    made: BrowserSession = await dialect.run_operation(
        request,
        operations.OPEN_SESSION,
        system_path("sessions"),
        OpenSession(exchange=body.exchange),
    )
    browsers = _browsers(dialect)
    cookie, key = parts_of(made.text)
    told = OpenedBody(**asdict(_body(made, dialect.world.now())), session_key=key)
    return encode_reply(told, 201).with_header(
        *browsers.set_cookie(browsers.read_request(request), cookie)
    )


@sessions.add("GET", "sessions/current", "Who is signed in", returns=SessionBody, errors=(404,))
async def current(dialect: SessionDialect, request: Request) -> SessionBody:
    return await _session_body(dialect, request, operations.READ_SESSION)


@sessions.add(
    "POST", "sessions/current/renew", "Somebody is there: the idle time begins anew",
    returns=SessionBody, errors=(404,),
)  # fmt: skip
async def renew(dialect: SessionDialect, request: Request) -> SessionBody:
    return await _session_body(dialect, request, operations.RENEW_SESSION)


@sessions.add("DELETE", "sessions/current", "Sign out", status=204, errors=(404,))
async def close(dialect: SessionDialect, request: Request) -> Reply:
    await _run(dialect, request, operations.CLOSE_SESSION)
    browsers = _browsers(dialect)
    return Reply(NO_CONTENT).with_header(*browsers.set_cookie(browsers.read_request(request), ""))


async def _run(
    dialect: SessionDialect, request: Request, operation: OperationType[Nothing, BrowserSession]
) -> BrowserSession:
    """Without a web interface one learns that, once one has shown who one is."""
    asked = operation if dialect.browsers is not None else operations.READ_SESSION
    found = await dialect.run_operation(request, asked, system_path("sessions"), Nothing())
    _browsers(dialect)
    return found


def _browsers(dialect: SessionDialect) -> BrowserSessions:
    if dialect.browsers is None:
        raise NotFoundError("web_off", "the web interface is off (server.web)")
    return dialect.browsers


async def _session_body(
    dialect: SessionDialect, request: Request, operation: OperationType[Nothing, BrowserSession]
) -> SessionBody:
    found = await _run(dialect, request, operation)
    return _body(found, dialect.world.now())


def _body(found: BrowserSession, now: int) -> SessionBody:
    return SessionBody(
        name=found.name,
        policies=list(found.policies),
        root=found.root,
        accessor=found.accessor,
        created_at=rfc3339(found.created_at),
        expires_at=rfc3339(found.expires_at),
        ends_at=rfc3339(found.ends_at),
        idle_seconds=found.idle // SECOND,
        left_seconds=max(0, found.expires_at - now) // SECOND,
    )
