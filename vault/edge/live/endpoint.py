"""`GET /api/v1/live`: who may open a feed. An ASGI application for websockets.

A browser comes with its session, from our own page. What is refused is refused before the
upgrade, and is on record as every operation is.
"""

from typing import Final

import trio

from protocols.http.asgi import Receive, Scope, Send
from protocols.http.session_key import HEADER, SUBPROTOCOL, offered_key
from protocols.live.connection import CLOSE_SERVICE_RESTART, CLOSE_SESSION_ENDED, close_websocket
from vault import operations
from vault.authn.stream_subscriber import StreamSubscriber
from vault.edge.browser_sessions import BrowserSessions
from vault.edge.live.connection import LiveConnection, LiveContext
from vault.edge.native.dialect import NativeDialect
from vault.edge.reply import all_headers
from vault.edge.request import begin_request
from vault.errors import NotFoundError, VaultError
from vault.model.operation import Operation, Origin
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing

PATH: Final = "/api/v1/live"
LIVE_RESOURCE: Final = ResourcePath.parse("sys/live")
MAX_USER_AGENT: Final = 256  # characters of a User-Agent that are kept, as of any request


class LiveEndpoint:
    """Answers 401, 403, 404 and 503 before the upgrade; then runs a `LiveConnection`."""

    def __init__(
        self, context: LiveContext, browsers: BrowserSessions, native: NativeDialect
    ) -> None:
        self._context = context
        self._seal = context.seal
        self._world = context.world
        self._browsers = browsers
        self._native = native

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one websocket."""
        request_id = self._world.new_request_id()
        if scope["path"] != PATH:
            await self._refuse(await self._elsewhere(scope, request_id), request_id, send)
            return
        visit = self._browsers.read_websocket(scope["headers"])
        op = Operation(
            type=operations.OPEN_FEED,
            path=LIVE_RESOURCE,
            payload=Nothing(),
            request_id=request_id,
            credential=visit.credential or None,
            origin=_origin(scope),
        )
        try:
            if not (visit.same_origin and visit.has_origin):
                await self._seal.run_operation(_refusal(op))
                raise RuntimeError("a refused request was carried out")
            subscriber = await self._seal.run_operation(op)
        except VaultError as error:
            await self._refuse(error, request_id, send)
            return
        await receive()
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        browser = LiveConnection(self._context, subscriber, op)
        with subscriber.register_stream() as cut:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._close_when_sealed, send)
                await browser.run(receive, send)
                nursery.cancel_scope.cancel()
        if cut.cancelled_caught:
            await close_websocket(send, CLOSE_SESSION_ENDED, "the session is over")

    async def _close_when_sealed(self, send: Send) -> None:
        if self._seal.is_open:
            await self._seal.wait_seal_change()
        await close_websocket(send, CLOSE_SERVICE_RESTART, "the vault is sealed")

    async def _elsewhere(self, scope: Scope, request_id: str) -> VaultError:
        """What is told of a websocket at another path, once that is on record."""
        offer = dict(scope["headers"])
        key = offered_key(offer.get(b"sec-websocket-protocol", b"").decode("latin-1"))
        headers = [*scope["headers"], (HEADER.lower().encode(), key.encode("latin-1"))]
        asked = {**scope, "method": "GET", "headers": headers}
        request = begin_request(asked, request_id=request_id, dialect="live")
        request.path = scope["path"]
        error = NotFoundError("route_not_found", "there is no such path in this API")
        return await self._native.record_malformed(request, None, error)

    async def _refuse(self, error: VaultError, request_id: str, send: Send) -> None:
        reply = self._native.error_reply(error, request_id).with_header(b"x-request-id", request_id)
        start = {"type": "websocket.http.response.start", "status": reply.status}
        await send({**start, "headers": all_headers(reply)})
        await send({"type": "websocket.http.response.body", "body": reply.body})


def _refusal(op: Operation[Nothing, StreamSubscriber]) -> Operation[dict[str, str], None]:
    """What puts it on record that a browser asked from no page of ours."""
    return Operation(
        type=operations.REFUSE_SESSION,
        path=op.path,
        payload={},
        request_id=op.request_id,
        credential=op.credential,
        origin=op.origin,
    )


def _origin(scope: Scope) -> Origin:
    headers, client = dict(scope["headers"]), scope["client"]
    return Origin(
        ip=client[0] if client else "",
        user_agent=headers.get(b"user-agent", b"").decode("latin-1")[:MAX_USER_AGENT],
        dialect="live",
        browser=True,
    )
