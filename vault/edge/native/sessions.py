"""`/api/v1/sessions`: a browser's way in and out.

A session has two secrets: the cookie's is never in a body, and the session key is in the answer to
signing in alone (`protocols.http.session_key`).
"""

from msgspec import Struct
from msgspec.structs import asdict

from protocols.http.session_key import parts_of
from protocols.instant import SECOND, rfc3339
from vault import operations
from vault.edge.browser_sessions import BrowserSessions
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, encode_reply, system_path
from vault.edge.reply import NO_CONTENT, Reply
from vault.edge.request import Request
from vault.errors import NotFoundError
from vault.model.operation import OperationType
from vault.model.payloads import Nothing
from vault.model.results import BrowserSession

sessions = Endpoints("sessions", "Signing in and out of the agent's own web interface.")


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


@sessions.add(
    "POST", "sessions", "Open a browser's session with a token or API key: cookie and session key",
    returns=OpenedBody, status=201, errors=(404, 409),
)  # fmt: skip
async def open_(dialect: SessionDialect, request: Request) -> Reply:
    made: BrowserSession = await _run(dialect, request, operations.OPEN_SESSION)
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
