"""Health and metrics for load balancers and Prometheus: beside the API, without a credential."""

from typing import Any, Final

import msgspec
import trio

from actors import World
from control.errors import ControlError
from control.metrics import CONTENT_TYPE, PrometheusMetrics
from control.model.people import PLATFORM
from control.store import people
from control.store.store import StoreReader
from protocols.errors import ErrorType
from protocols.http.asgi import Headers
from protocols.instant import SECOND, rfc3339
from protocols.openapi import ErrorBody
from protocols.telemetry.metrics_page import MetricsPage

READINESS_TIMEOUT: Final = 5.0
JSON: Final = "application/json"


class HealthEndpoints:
    """An ASGI application in front of the API."""

    def __init__(
        self, app: Any, store: StoreReader, metrics: PrometheusMetrics, world: World
    ) -> None:
        self._app = app
        self._store = store
        self._metrics = metrics
        self._metrics_page = MetricsPage(metrics.render, world.monotonic)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer health and metrics, and count the answers of the API."""
        path: bytes = scope["raw_path"]
        if path == b"/health/live":
            await _reply(send, 200, JSON, b'{"status":"live"}')
        elif path == b"/health/ready":
            ready = await self._is_ready()
            body = b'{"status":"ready"}' if ready else b'{"status":"database"}'
            await _reply(send, 200 if ready else 503, JSON, body)
        elif path == b"/metrics":
            await _reply(send, 200, CONTENT_TYPE, self._metrics_page.get())
        else:
            await self._app(scope, receive, self._counting(scope["method"], send))

    async def _is_ready(self) -> bool:
        """Whether the database answers."""
        with trio.move_on_after(READINESS_TIMEOUT):
            try:
                await self._store.read(lambda tx: people.get_organization(tx, PLATFORM))
            except ControlError:
                return False
            return True
        return False

    def _counting(self, method: str, send: Any) -> Any:
        async def counted(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._metrics.count_request(method, message["status"])
            await send(message)

        return counted


def refusal_response(world: World, status: int, code: str, message: str) -> tuple[Headers, bytes]:
    """An error of the HTTP server itself (too large, malformed HTTP), in the form of the API."""
    request_id = world.new_id()
    kind = ErrorType.UNAVAILABLE if status >= 500 else ErrorType.VALIDATION  # noqa: PLR2004
    now = rfc3339(world.now() // SECOND * SECOND)
    body = ErrorBody(type=kind, code=code, message=message, request_id=request_id, timestamp=now)
    headers = [(b"content-type", JSON.encode()), (b"x-request-id", request_id.encode())]
    return headers, msgspec.json.encode(body)


async def _reply(send: Any, status: int, content_type: str, body: bytes) -> None:
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
