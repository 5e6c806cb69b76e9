"""`GET /api/v1/live`: who may open a feed. An ASGI application for websockets.

It stands beside Quart's: a websocket has no body, no parameters and one path, and everything that
Quart would add to it is between a browser and its bound.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from actors import World
from control.api.control_plane import ControlPlane
from control.authn.cookies import read_browser
from control.authn.sessions import ActiveSession
from control.errors import (
    AuthenticationError,
    AuthorizationError,
    ControlError,
    NotFoundError,
    RateLimitError,
)
from control.live.connection import LiveConnection
from control.live.hub import LiveHub
from control.model.operation import Operation
from control.model.people import Origin
from control.store.read_scope import anonymous_scope, session_scope, use_read_scope
from protocols.http.asgi import Receive, Scope, Send
from protocols.http.session_key import SUBPROTOCOL
from protocols.instant import SECOND, rfc3339
from protocols.live.limits import LiveLimits
from protocols.openapi import JSON, ErrorBody

LIVE_PATH: Final = "/api/v1/live"
OPERATION: Final = "live.open"
MAX_USER_AGENT: Final = 256
MAX_FEEDS: Final = {"session": 16, "account": 32, "organization": 500}
"""Feeds that are open at once, of the server's 1,000 (`protocols.http.limits`): a feed is a tab."""
RETRY_AFTER: Final = 30  # seconds
RECORDS_PER_MINUTE: Final = 60
"""Refusals of strangers that go on the trail; more are counted in the log: it is not theirs to
fill."""

log: Final = logging.getLogger("freehold.control.live")


class LiveEndpoint:
    """Answers 401, 403 and 404 before the upgrade; what passes is a `Browser`."""

    def __init__(
        self,
        plane: ControlPlane,
        hub: LiveHub,
        bounds: LiveLimits = LiveLimits(),  # noqa: B008  # frozen
    ) -> None:
        self._plane = plane
        self._hub = hub
        self._bounds = bounds
        self._world: World = plane.world
        self._minute = 0
        self._recorded = 0
        self._open_of: Counter[tuple[str, ...]] = Counter()
        self.refused_feeds = 0
        self.open_feeds = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one websocket."""
        op = self._operation(scope)
        try:
            with use_read_scope(anonymous_scope(op.origin.ip)):
                visit = await self._admit(scope, op)
            places = self._feed_owners(visit)
        except ControlError as error:
            await self._send_refusal(op, error, send)
            return
        with (
            self._count_feed(places),
            use_read_scope(session_scope(visit.caller.org, visit.token.id)),
        ):
            await receive()
            await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
            await LiveConnection(self._plane, self._hub, visit, op, self._bounds).run(receive, send)

    def _feed_owners(self, visit: ActiveSession) -> list[tuple[str, ...]]:
        """What this feed counts among. Raises `RateLimitError` where it would be one too many.

        An account is one in every organization in which it acts.
        """
        named = {
            "session": (visit.token.id,),
            "account": visit.caller.account,
            "organization": (visit.caller.org,),
        }
        for kind, name in named.items():
            most = MAX_FEEDS[kind]
            if self._open_of[kind, *name] >= most:
                raise RateLimitError(
                    "too_many_feeds",
                    f"this {kind} has {most} live feeds open: close a page and try again",
                    retry_after=RETRY_AFTER,
                )
        return [(kind, *name) for kind, name in named.items()]

    @contextmanager
    def _count_feed(self, places: list[tuple[str, ...]]) -> Iterator[None]:
        self.open_feeds += 1
        self._open_of.update(places)
        try:
            yield
        finally:
            self.open_feeds -= 1
            self._open_of.subtract(places)
            for place in places:
                if not self._open_of[place]:
                    del self._open_of[place]

    async def _admit(self, scope: Scope, op: Operation) -> ActiveSession:
        if scope["path"] != LIVE_PATH:
            raise NotFoundError("not_found", "there is no such path")
        named = any(name == b"origin" for name, _ in scope["headers"])
        if not (named and op.browser.same_origin):
            raise AuthorizationError("origin", "only our own pages may open a feed")
        return await self._plane.sessions.authenticate_browser(op.browser)

    def _operation(self, scope: Scope) -> Operation:
        headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]]
        told = dict(headers)
        scheme = "https" if scope["scheme"] == "wss" else "http"
        own = self._plane.public_url or f"{scheme}://{told.get('host', '')}"
        client = scope["client"]
        agent = told.get("user-agent", "")[:MAX_USER_AGENT]
        shown = "".join(c if c.isprintable() and c.isascii() else "?" for c in agent)
        return Operation(
            name=OPERATION,
            request_id=self._world.new_id(),
            credential=None,
            origin=Origin(client[0] if client else "", shown),
            browser=read_browser(headers, own, websocket=True),
            anyone=True,
        )

    async def _send_refusal(self, op: Operation, error: ControlError, send: Send) -> None:
        self.refused_feeds += 1
        if isinstance(error, AuthenticationError | AuthorizationError):
            await self._record_refusal(op, error)
        body = ErrorBody(
            type=error.type,
            code=error.code,
            message=error.message,
            request_id=op.request_id,
            timestamp=rfc3339(self._world.now() // SECOND * SECOND),
            details=dict(error.details),
        )
        headers = [(b"content-type", JSON.encode()), (b"x-request-id", op.request_id.encode())]
        if isinstance(error, RateLimitError):
            headers.append((b"retry-after", str(error.details["retry_after"]).encode()))
        start = {"type": "websocket.http.response.start", "status": error.status}
        await send({**start, "headers": [*headers, (b"cache-control", b"no-store")]})
        await send({"type": "websocket.http.response.body", "body": msgspec.json.encode(body)})

    async def _record_refusal(self, op: Operation, error: ControlError) -> None:
        minute = self._world.now() // (60 * SECOND)
        if minute != self._minute:
            self._minute, self._recorded = minute, 0
        self._recorded += 1
        if self._recorded > RECORDS_PER_MINUTE:
            log.warning("feed refused: %s, from %s", error.code, op.origin.ip)
            return
        await self._plane.audit_log.record(op, None, "outcome", "denied", error.code)
