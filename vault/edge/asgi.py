"""The agent's ASGI application: picks the dialect by the path and measures every request."""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
import trio

from actors.world import World
from protocols.http.asgi import Address
from protocols.http.errors import RefusedError
from protocols.instant import SECOND, rfc3339
from vault.authz.rate_limits import TokenBuckets
from vault.edge.dialect import UNCLEAR_PATH, Dialect
from vault.edge.native.openapi import ErrorBody
from vault.edge.reply import Headers, Reply, Send, all_headers, send_reply
from vault.edge.request import Receive
from vault.errors import ErrorType, RateLimitError
from vault.metrics import Metrics
from vault.model.operation import Origin
from vault.model.path import ResourcePath
from vault.model.payloads import RefusedRequest

ALWAYS_SERVED: Final = frozenset(
    {
        b"/health/live",
        b"/health/ready",
        b"/v1/sys/health",
        b"/v1/sys/seal-status",
        b"/v1/sys/seal",
        b"/v1/sys/unseal",
        b"/v1/auth/token/lookup-self",
        b"/api/v1/system/seal",
        b"/api/v1/system/break-glass/open",
        b"/api/v1/system/actors",
        b"/api/v1/tokens/self",
        b"/api/v1/audit/status",
    }
)
"""What whoever looks after an overloaded agent needs: see it, log in, stop it."""

METRICS_PATH: Final = b"/metrics"
MAX_SCRAPES: Final = 8
"""Requests for the metrics in a second that are served in an overload. They need no credential and
have long answers, so they are not always served: nobody should wait for them who seals."""
log: Final = logging.getLogger("freehold.edge")


class EdgeApp:
    """Dialects by prefix; the last one takes what no other does."""

    def __init__(self, dialects: Sequence[Dialect], metrics: Metrics, world: World) -> None:
        self._dialects = [(dialect.prefix.encode(), dialect) for dialect in dialects[:-1]]
        self._fallback = dialects[-1]
        self._metrics = metrics
        self._world = world
        self._scrapes = TokenBuckets(MAX_SCRAPES, MAX_SCRAPES, 1)
        self._refusals: tuple[int, dict[str, tuple[Headers, bytes]]] = (-1, {})

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one HTTP request.

        Yield between reading, running and sending, so that concurrent requests run each stage
        together and share CPU caches (decision 14).
        """
        started = self._world.monotonic()
        path: bytes = scope["raw_path"]
        dialect = self._dialect_for(path)
        reply, endpoint = await dialect.handle(scope, receive)
        await trio.lowlevel.cancel_shielded_checkpoint()  # the reply to what was done is sent
        await send_reply(send, reply)
        elapsed = self._world.monotonic() - started
        if reply.refused:
            self._metrics.count_refusal(reply.refused)
        self._metrics.observe_request(scope["method"], endpoint, elapsed)

    def error_response(self, status: int, code: str, message: str) -> tuple[Headers, bytes]:
        """What the server answers itself, before there is a request for a dialect."""
        reply = server_error_reply(status, code, message, self._world)
        return all_headers(reply), reply.body

    async def refuse_unread(
        self, error: RefusedError, client: Address | None
    ) -> tuple[int, Headers, bytes]:
        """Record a request that no dialect has seen; returns status, headers and body.

        It is on record as anonymous: no credential in a head like that is trusted.
        """
        request_id = self._world.new_request_id()
        status, code, message = error.status, error.code, error.message
        origin = Origin(ip=client[0] if client else "", dialect="http")
        refused, path = RefusedRequest(code=code, message=message), ResourcePath.parse(UNCLEAR_PATH)
        failure = await self._fallback.record_unread(request_id, origin, path, refused)
        if failure is not None:
            status, code, message = failure.status, failure.code, failure.message
        reply = server_error_reply(status, code, message, self._world, request_id)
        if isinstance(failure, RateLimitError):
            reply = reply.with_header(b"retry-after", str(failure.details["retry_after"]))
        return status, all_headers(reply), reply.body

    def failure_response(self, path: bytes, error: Exception) -> tuple[int, Headers, bytes]:
        """How the dialect of this path tells what failed a request outside of it."""
        reply = self._dialect_for(path).failure_reply(error)
        if reply.refused:
            self._metrics.count_refusal(reply.refused)
        return reply.status, all_headers(reply), reply.body

    def overload_response(self, target: bytes) -> tuple[Headers, bytes] | None:
        """The 503 for a request when too many are in hand; None for one that is `ALWAYS_SERVED`.

        Made once a second for each dialect: it says nothing of the request, and has to be cheap.
        """
        path = target.partition(b"?")[0]
        now = self._world.monotonic()
        if path in ALWAYS_SERVED or (
            path == METRICS_PATH and not self._scrapes.take_token("", round(now * SECOND))
        ):
            return None
        dialect, second = self._dialect_for(path), int(now)
        if self._refusals[0] != second:
            self._refusals = second, {}
        answers = self._refusals[1]
        if (answer := answers.get(dialect.name)) is None:
            reply = dialect.overload_reply()
            answer = answers[dialect.name] = all_headers(reply), reply.body
        return answer

    def _dialect_for(self, path: bytes) -> Dialect:
        for prefix, dialect in self._dialects:
            if path.startswith(prefix):
                return dialect
        return self._fallback


class ServerErrorBody(ErrorBody, frozen=True, kw_only=True):
    """A typed error that is a Vault error too."""

    errors: list[str]


def server_error_reply(
    status: int, code: str, message: str, world: World, request_id: str = ""
) -> Reply:
    """The reply, under an id that the log has too. `message` is the server's own."""
    request_id = request_id or world.new_id()
    log.info("request %s refused by the server: %s", request_id, code)
    body = ServerErrorBody(
        type=_type_of(status),
        code=code,
        message=message,
        request_id=request_id,
        timestamp=rfc3339(world.now() // SECOND * SECOND),
        errors=[message],
    )
    return Reply(status, msgspec.json.encode(body)).with_header(b"x-request-id", request_id)


def _type_of(status: int) -> ErrorType:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return ErrorType.RATE_LIMIT
    fault = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return ErrorType.INTERNAL if fault else ErrorType.VALIDATION
