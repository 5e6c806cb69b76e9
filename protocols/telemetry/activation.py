"""Telemetry for as long as a process runs; what is off is not even imported."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from protocols.telemetry.export_plan import ExportPlan
from protocols.telemetry.metric_families import MetricFamilies

if TYPE_CHECKING:
    from protocols.telemetry.tracing import Tracing


def make_tracing(
    plan: ExportPlan, new_id: Callable[[], str], resource: Mapping[str, str] | None = None
) -> "Tracing | None":
    """What makes spans; None where there are to be none. `resource`: in place of the plan's."""
    if not (plan.otlp.url and plan.traces):
        return None
    from protocols.telemetry.tracing import Tracing

    return Tracing(plan.resource if resource is None else resource, plan.sample, new_id)


@asynccontextmanager
async def running_exporter(
    plan: ExportPlan,
    families: Callable[[], MetricFamilies],
    tracing: "Tracing | None",
    *,
    now: Callable[[], int],
    sleep: Callable[[float], Awaitable[None]],
) -> AsyncIterator[None]:
    """Send by the plan for the length of the block, and at its end the spans that still wait."""
    if not (plan.remote_write.url or plan.otlp.url):
        yield
        return
    from protocols.telemetry.exporter import TelemetryExporter

    exporter = TelemetryExporter(plan, families, tracing, now=now, sleep=sleep)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exporter.run)
        yield
        nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await exporter.flush_spans()
