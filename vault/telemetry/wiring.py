"""What takes the plain parts' place where requests are traced; off, none of it is imported."""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from socket import gethostname
from typing import TYPE_CHECKING, Any, TypeAlias

from actors import World
from protocols.settings.telemetry import Telemetry
from protocols.telemetry.plan import Plan
from protocols.telemetry.running import tracing_of
from vault.model.operation import Operation
from vault.pipeline import Pipeline

if TYPE_CHECKING:
    from protocols.telemetry.tracing import Tracing

RunOperation: TypeAlias = Callable[[Operation], Awaitable[object]]
"""What an operation comes to."""


def telemetry_plan(telemetry: Telemetry) -> Plan:
    """What an agent tells of itself, and where to."""
    return telemetry.plan("freehold-agent", gethostname())


def worker_tracing(telemetry: Telemetry, world: World, number: int) -> "Tracing | None":
    """A worker's, which hands its spans to the leader: they say which worker it was."""
    plan = telemetry_plan(telemetry)
    return tracing_of(plan, world.new_id, {**plan.resource, "worker": str(number)})


def pipeline_factory(tracing: "Tracing | None") -> Callable[..., Pipeline]:
    """What makes the pipeline."""
    if tracing is None:
        return Pipeline
    from vault.telemetry.traced_pipeline import TracedPipeline

    return partial(TracedPipeline, tracing)


def trace_app(app: Any, tracing: "Tracing | None") -> Any:
    """The application, with a span for each request."""
    if tracing is None:
        return app
    from protocols.telemetry.asgi import Traced

    return Traced(app, tracing)


def run_below_span(
    run: RunOperation, tracing: "Tracing | None"
) -> Callable[[Operation, str], Awaitable[object]]:
    """What runs an operation of another process, with its spans below the one that it names."""

    async def run_below(op: Operation, above: str) -> object:
        with nullcontext() if tracing is None else tracing.below(above):
            return await run(op)

    return run_below


def traceparent_source(tracing: "Tracing | None") -> Callable[[], str]:
    """What makes the `traceparent` of a request that is passed on; empty: it stays as it came."""
    if tracing is None:
        return str
    from protocols.telemetry.tracing import traceparent

    return traceparent
