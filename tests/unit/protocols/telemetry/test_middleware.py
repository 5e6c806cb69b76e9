"""A span for each request, in front of an application."""

from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from actors import SystemWorld
from protocols.telemetry.middleware import TracingMiddleware
from protocols.telemetry.tracing import Tracing

ABOVE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class App:
    """Answers 204."""

    seen = 0

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        """One request."""
        self.seen += 1
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})

    def refuse(self) -> str:
        """What the server asks beside."""
        return "no"


async def test_method_and_status_and_no_more() -> None:
    """No path; a made-up method is one word; websockets pass by; the rest is the application's."""
    app = App()
    tracing = Tracing({}, 0.0, SystemWorld().new_id)
    traced = TracingMiddleware(app, tracing)

    async def send(_: Any) -> None:
        pass

    for kind, method in (("http", "GET"), ("http", "CANARY"), ("websocket", "GET")):
        scope = {"type": kind, "method": method, "raw_path": b"/canary-path",
                 "headers": [(b"cookie", b"canary"), (b"traceparent", ABOVE)]}  # fmt: skip
        await traced(scope, None, send)
    body = tracing.take_batch()
    assert b"canary" not in body.lower()
    [told] = ExportTraceServiceRequest.FromString(body).resource_spans
    assert [span.name for span in told.scope_spans[0].spans] == ["GET", "_OTHER"]
    found = {a.key: a.value for a in told.scope_spans[0].spans[0].attributes}
    assert found["http.response.status_code"].int_value == 204
    assert (app.seen, traced.refuse()) == (3, "no")
