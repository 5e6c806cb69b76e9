"""`/health/live`, `/health/ready` and `/metrics` of the operator."""

from collections.abc import Callable
from typing import Any, Final

from kube_operator.metrics import CONTENT_TYPE
from protocols.telemetry.metrics_page import MetricsPage

JSON: Final = "application/json"


class HealthEndpoints:
    """An ASGI application. A process that waits for the lease of another is ready, too."""

    def __init__(
        self, is_ready: Callable[[], bool], render: Callable[[], bytes],
        monotonic: Callable[[], float],
    ) -> None:  # fmt: skip
        self._is_ready = is_ready
        self._page = MetricsPage(render, monotonic)

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        """Answer one request."""
        path: bytes = scope["raw_path"]
        status, content_type, body = 200, JSON, b'{"status":"live"}'
        if path == b"/health/ready":
            ready = self._is_ready()
            status = 200 if ready else 503
            body = b'{"status":"ready"}' if ready else b'{"status":"starting"}'
        elif path == b"/metrics":
            content_type, body = CONTENT_TYPE, self._page.get()
        elif path != b"/health/live":
            status, body = 404, b'{"type":"not_found","code":"not_found","message":"no such page"}'
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
