"""What takes the plain parts' place where requests are traced; off, none of it is imported."""

from collections.abc import Callable
from functools import partial
from socket import gethostname
from typing import TYPE_CHECKING, Any

from actors import World
from protocols.settings.telemetry import TelemetrySettings
from protocols.telemetry.activation import make_tracing
from protocols.telemetry.export_plan import ExportPlan
from vault.pipeline import Pipeline, PipelineParts

if TYPE_CHECKING:
    from protocols.telemetry.tracing import Tracing


def telemetry_plan(telemetry: TelemetrySettings) -> ExportPlan:
    """What an agent exports, and where to."""
    return telemetry.export_plan("freehold-agent", gethostname())


def worker_tracing(telemetry: TelemetrySettings, world: World, number: int) -> "Tracing | None":
    """A worker's, which hands its spans to the leader: they say which worker it was."""
    plan = telemetry_plan(telemetry)
    return make_tracing(plan, world.new_id, {**plan.resource, "worker": str(number)})


def pipeline_factory(tracing: "Tracing | None") -> Callable[[PipelineParts], Pipeline]:
    """What makes the pipeline."""
    if tracing is None:
        return Pipeline
    from vault.telemetry.traced_pipeline import TracedPipeline

    return partial(TracedPipeline, tracing)


def trace_app(app: Any, tracing: "Tracing | None") -> Any:
    """The application, with a span for each request."""
    if tracing is None:
        return app
    from protocols.telemetry.middleware import TracingMiddleware

    return TracingMiddleware(app, tracing)


def traceparent_source(tracing: "Tracing | None") -> Callable[[], str]:
    """What makes the `traceparent` of a request that is passed on; empty: it stays as it came."""
    if tracing is None:
        return str
    from protocols.telemetry.tracing import traceparent

    return traceparent
