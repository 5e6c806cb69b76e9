"""`GET /api/v1/live`: live feeds for browsers. An ASGI application for WebSockets.

It does not run in Quart: a WebSocket has no body, no parameters and one path, and Quart would add
buffers between a browser and its bound.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec.structs import replace

from actors import World
from control.authn.cookies import read_browser
from control.authn.sessions import ActiveSession, Sessions
from control.authn.users import Users
from control.errors import (
    AuthenticationError,
    AuthorizationError,
    ControlError,
    NotFoundError,
    RateLimitError,
    ValidationError,
)
from control.live.hub import LiveHub, ViewKey
from control.live.topics import TOPICS
from control.model.operation import Operation
from control.model.people import Caller, Origin
from control.pipeline import Pipeline
from control.services.agent_registry import AgentRegistry
from control.services.audit_log import AuditLog
from control.store.read_scope import anonymous_scope, session_scope, use_read_scope
from protocols.http.asgi import Receive, Scope, Send
from protocols.http.session_key import SUBPROTOCOL
from protocols.instant import MINUTE, SECOND, rfc3339
from protocols.live.connection import CLOSE_SESSION_ENDED, CLOSE_TRY_AGAIN_LATER, FeedConnection
from protocols.live.limits import LiveLimits
from protocols.live.requests import UnwatchRequest, WatchRequest
from protocols.openapi import JSON, ErrorBody

LIVE_PATH: Final = "/api/v1/live"
OPERATION: Final = "live.open"
MAX_USER_AGENT: Final = 256
MAX_FEEDS: Final = {"session": 16, "account": 32, "organization": 500}
"""Feeds that are open at once, of the server's 1,000 (`protocols.http.limits`): a feed is a tab."""
RETRY_AFTER: Final = 30  # seconds
RECORDS_PER_MINUTE: Final = 60
"""Refusals of strangers that go in the audit log; more are counted in the log: it is not theirs to
fill."""

log: Final = logging.getLogger("freehold.control.live")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveServices:
    """The services for live feeds."""

    world: World
    public_url: str
    pipeline: Pipeline
    sessions: Sessions
    users: Users
    agents: AgentRegistry
    audit_log: AuditLog


class LiveEndpoint:
    """Answers 401, 403 and 404 before the upgrade; the rest becomes a `LiveConnection`."""

    def __init__(
        self,
        services: LiveServices,
        hub: LiveHub,
        bounds: LiveLimits = LiveLimits(),  # noqa: B008  # frozen
    ) -> None:
        self._services = services
        self._hub = hub
        self._bounds = bounds
        self._world: World = services.world
        self._minute = 0
        self._recorded = 0
        self._open_of: Counter[tuple[str, ...]] = Counter()
        self.refused_feeds = 0
        self.open_feeds = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket."""
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
            await LiveConnection(self._services, self._hub, visit, op, self._bounds).run(
                receive, send
            )

    def _feed_owners(self, visit: ActiveSession) -> list[tuple[str, ...]]:
        """The session, account and organization that a feed counts for.

        Raises `RateLimitError` where it would be one too many. An account counts in all of its
        organizations together.
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
        return await self._services.sessions.authenticate_browser(op.browser)

    def _operation(self, scope: Scope) -> Operation:
        headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]]
        told = dict(headers)
        scheme = "https" if scope["scheme"] == "wss" else "http"
        own = self._services.public_url or f"{scheme}://{told.get('host', '')}"
        client = scope["client"]
        agent = told.get("user-agent", "")[:MAX_USER_AGENT]
        shown = "".join(c if c.isprintable() and c.isascii() else "?" for c in agent)
        return Operation(
            name=OPERATION,
            request_id=self._world.new_id(),
            credential=None,
            origin=Origin(client[0] if client else "", shown),
            browser=read_browser(headers, own, websocket=True),
            any_authenticated=True,
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
        minute = self._world.now() // MINUTE
        if minute != self._minute:
            self._minute, self._recorded = minute, 0
        self._recorded += 1
        if self._recorded > RECORDS_PER_MINUTE:
            log.warning("feed refused: %s, from %s", error.code, op.origin.ip)
            return
        await self._services.audit_log.record(op, None, "outcome", "denied", error.code)


class LiveConnection:
    """One WebSocket: its subscriptions, its messages, and the end of its session."""

    def __init__(
        self,
        services: LiveServices,
        hub: LiveHub,
        visit: ActiveSession,
        op: Operation,
        bounds: LiveLimits,
    ) -> None:
        self._services = services
        self._hub = hub
        self._visit = visit
        self._op = op
        self._views: dict[int, ViewKey] = {}
        self._talk = FeedConnection(bounds, services.world.monotonic)
        self._feed = self._talk.feed

    async def run(self, receive: Receive, send: Send) -> None:
        """Serve it until it ends."""
        try:
            await self._talk.run(receive, send, self._handle_request, self._wait_session_end)
        finally:
            for number, view in self._views.items():
                self._hub.unsubscribe(view, self._feed, number)

    async def _wait_session_end(self) -> tuple[int, str]:
        try:
            await self._services.sessions.wait_ended(self._visit)
        except ControlError:
            return CLOSE_TRY_AGAIN_LATER, "sessions cannot be looked at for now"
        return CLOSE_SESSION_ENDED, "the session is over"

    async def _handle_request(self, request: WatchRequest | UnwatchRequest) -> None:
        if isinstance(request, UnwatchRequest):
            self._end_view(request.unwatch)
            return
        number = request.watch
        self._end_view(number)
        try:
            view = await self._authorize_view(request)
        except ControlError as error:
            self._feed.refuse_watch(number, error.code, error.message)
            return
        self._hub.subscribe(view, self._feed, number)
        self._views[number] = view

    def _end_view(self, number: int) -> None:
        self._feed.remove_watch(number)
        view = self._views.pop(number, None)
        if view is not None:
            self._hub.unsubscribe(view, self._feed, number)

    async def _authorize_view(self, request: WatchRequest) -> ViewKey:
        """The requested view, through the pipeline: refusals are recorded as any other's."""
        kind = TOPICS.get(request.topic)
        if kind is None:
            raise ValidationError(
                "topic_unknown", "there is no such topic: docs/spec/live.md lists them"
            )
        if bool(request.of) is not kind.of:
            raise ValidationError(
                "of_missing",
                "this topic needs an agent in `of`, or must not have one: docs/spec/live.md lists"
                " them",
            )
        view = ViewKey(request.topic, request.org, request.of)
        op = replace(
            self._op,
            name="live.watch",
            request_id=self._services.world.new_id(),
            org=request.org,
            role=kind.role,
            any_authenticated=False,
            target="/".join(filter(None, (request.topic, request.of))),
        )

        async def exists(caller: Caller) -> ViewKey:
            if caller.org != view.org:
                await self._services.users.get_organization(view.org)
            if view.of:
                await self._services.agents.get_agent(view.org, view.of)
            return view

        return await self._services.pipeline.run(op, exists)
