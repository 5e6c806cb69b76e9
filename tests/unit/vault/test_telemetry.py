"""What takes the plain parts' place where requests are traced."""

from actors import SystemWorld
from protocols.settings.telemetry import Telemetry
from protocols.telemetry.plan import Plan, Target
from protocols.telemetry.running import tracing_of
from vault import telemetry
from vault.pipeline import Pipeline


def test_off_all_is_as_it_was() -> None:
    """The very pipeline and application, and no header is touched."""
    app = object()
    assert telemetry.worker_tracing(Telemetry(), SystemWorld(), 1) is None
    assert telemetry.pipeline_of(None) is Pipeline
    assert telemetry.traced(app, None) is app
    assert telemetry.header_of(None)() == ""


def test_on_a_request_is_passed_on_with_its_span() -> None:
    """The header is that of the span under way; a worker's spans say which one it was."""
    plan = Plan(otlp=Target(url="http://127.0.0.1:1"), sample=1.0)
    tracing = tracing_of(plan, SystemWorld().new_id, {"worker": "7"})
    assert tracing is not None
    with tracing.request("GET", "") as span:
        told = telemetry.header_of(tracing)()
        assert told.split("-")[2] == f"{span.get_span_context().span_id:016x}"
    assert b"worker" in tracing.take()
    assert telemetry.pipeline_of(tracing) is not Pipeline
