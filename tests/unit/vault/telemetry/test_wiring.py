"""What takes the plain parts' place where requests are traced."""

from typing import Any

import pytest
import trio

from actors import SystemWorld
from protocols.settings.telemetry import TelemetrySettings
from protocols.telemetry.activation import make_tracing
from protocols.telemetry.export_plan import ExportPlan, ExportTarget
from vault.pipeline import Pipeline
from vault.telemetry import wiring


def test_off_all_is_as_it_was() -> None:
    """The very pipeline and application, and no header is touched."""
    app = object()
    assert wiring.worker_tracing(TelemetrySettings(), SystemWorld(), 1) is None
    assert wiring.pipeline_factory(None) is Pipeline
    assert wiring.trace_app(app, None) is app
    assert wiring.traceparent_source(None)() == ""


@pytest.mark.parametrize("sample", [0.0, 1.0])
async def test_an_operation_of_another_process_is_below_its_span(sample: float) -> None:
    """Off it is run as ever."""
    plan = ExportPlan(otlp=ExportTarget(url="http://127.0.0.1:1" if sample else ""), sample=sample)
    tracing = make_tracing(plan, SystemWorld().new_id)
    above = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    told: list[str] = []

    async def run(op: object) -> object:
        await trio.lowlevel.checkpoint()
        told.append(wiring.traceparent_source(tracing)())
        return op

    op: Any = object()
    assert await wiring.run_below_span(run, tracing)(op, above) is op
    assert await wiring.run_below_span(run, tracing)(op, "") is op
    assert told == ([above, ""] if sample else ["", ""])


def test_on_a_request_is_passed_on_with_its_span() -> None:
    """The header is that of the span under way; a worker's spans say which one it was."""
    plan = ExportPlan(otlp=ExportTarget(url="http://127.0.0.1:1"), sample=1.0)
    tracing = make_tracing(plan, SystemWorld().new_id, {"worker": "7"})
    assert tracing is not None
    with tracing.request_span("GET", "") as span:
        told = wiring.traceparent_source(tracing)()
        assert told.split("-")[2] == f"{span.get_span_context().span_id:016x}"
    assert b"worker" in tracing.take_batch()
    assert wiring.pipeline_factory(tracing) is not Pipeline
