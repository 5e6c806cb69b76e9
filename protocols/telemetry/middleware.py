"""A span for each request, in front of an ASGI application. Where it is off, it is not there."""

from typing import Any, Final

from protocols.telemetry.tracing import Tracing

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "LIST", "OPTIONS"})


class TracingMiddleware:
    """Hands everything on. No path and no header but `traceparent` is looked at."""

    def __init__(self, app: Any, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request; websockets pass by."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        above = next((v for k, v in scope["headers"] if k == b"traceparent"), b"")
        with self._tracing.request_span(method, above.decode("latin-1")) as span:

            async def send_traced(message: Any) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            await self._app(scope, receive, send_traced)

    def __getattr__(self, name: str) -> Any:
        """What the server asks of the application beside requests."""
        return getattr(self._app, name)
