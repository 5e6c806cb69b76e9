"""`/api/v1/sessions`: a browser's way in and out. Its secret is in a cookie, never in a body."""

from typing import TYPE_CHECKING

from msgspec import Struct

from vault.authn.browsing import csrf_of
from vault.edge.browsers import Browsers
from vault.edge.native.endpoint import Endpoints, encoded, system_path
from vault.edge.reply import NO_CONTENT, Reply
from vault.edge.request import Request
from vault.errors import NotFoundError
from vault.model.instant import SECOND, rfc3339
from vault.model.payloads import Nothing
from vault.model.results import Session

if TYPE_CHECKING:
    from vault.edge.native.dialect import Native

sessions = Endpoints("sessions", "Signing in and out of the agent's own web interface.")


class SessionBody(Struct, frozen=True, kw_only=True):
    """Who is signed in. `csrf` goes back as `X-CSRF-Token` with whatever changes something.

    It ends at `expires_at`, in `left_seconds`, unless it is renewed before; at `ends_at` at last.
    """

    name: str
    policies: list[str]
    root: bool
    accessor: str
    csrf: str
    created_at: str
    expires_at: str
    ends_at: str
    idle_seconds: int
    left_seconds: int


@sessions.add(
    "POST", "sessions", "Open a browser's session with a token or an API key, kept in a cookie",
    returns=SessionBody, status=201, errors=(404, 409),
)  # fmt: skip
async def open_(dialect: "Native", request: Request) -> Reply:
    made: Session = await _run(dialect, request, "session.open")
    browsers = _browsers(dialect)
    reply = encoded(_body(made, made.text, dialect.world.now()), 201)
    return reply.with_header(*browsers.kept(browsers.of(request), made.text))


@sessions.add("GET", "sessions/current", "Who is signed in", returns=SessionBody, errors=(404,))
async def current(dialect: "Native", request: Request) -> SessionBody:
    return await _told(dialect, request, "session.current")


@sessions.add(
    "POST", "sessions/current/renew", "Somebody is there: the idle time begins anew",
    returns=SessionBody, errors=(404,),
)  # fmt: skip
async def renew(dialect: "Native", request: Request) -> SessionBody:
    return await _told(dialect, request, "session.renew")


@sessions.add("DELETE", "sessions/current", "Sign out", status=204, errors=(404,))
async def close(dialect: "Native", request: Request) -> Reply:
    await _run(dialect, request, "session.close")
    browsers = _browsers(dialect)
    return Reply(NO_CONTENT).with_header(*browsers.kept(browsers.of(request), ""))


async def _run(dialect: "Native", request: Request, name: str) -> Session:
    """Without a web interface one learns that, once one has shown who one is."""
    asked = name if dialect.browsers is not None else "session.current"
    found: Session = await dialect.run(request, asked, system_path("sessions"), Nothing())
    _browsers(dialect)
    return found


def _browsers(dialect: "Native") -> Browsers:
    if dialect.browsers is None:
        raise NotFoundError("web_off", "the web interface is off (server.web)")
    return dialect.browsers


async def _told(dialect: "Native", request: Request, name: str) -> SessionBody:
    found = await _run(dialect, request, name)
    return _body(found, dialect.credential(request) or "", dialect.world.now())


def _body(found: Session, secret: str, now: int) -> SessionBody:
    return SessionBody(
        name=found.name,
        policies=list(found.policies),
        root=found.root,
        accessor=found.accessor,
        csrf=csrf_of(secret),
        created_at=rfc3339(found.created_at),
        expires_at=rfc3339(found.expires_at),
        ends_at=rfc3339(found.ends_at),
        idle_seconds=found.idle // SECOND,
        left_seconds=max(0, found.expires_at - now) // SECOND,
    )
