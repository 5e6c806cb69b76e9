"""What takes the plain parts' place where requests are traced."""

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
