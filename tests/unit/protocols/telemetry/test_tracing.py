"""Spans: sampled as the caller wants, linked to it, without a word of anybody's."""

from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from actors import SystemWorld
from protocols.telemetry import tracing as module
from protocols.telemetry.tracing import Tracing, traceparent

ABOVE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{}"


def made(sample: float = 1.0) -> Tracing:
    """For a service `x`."""
    return Tracing({"service.name": "x"}, sample, SystemWorld().new_id)


def spans(tracing: Tracing) -> list[Any]:
    """What is exported."""
    body = tracing.take_batch()
    if not body:
        return []
    [told] = ExportTraceServiceRequest.FromString(body).resource_spans
    assert told.resource.attributes[0].value.string_value == "x"
    return list(told.scope_spans[0].spans)


def test_a_request_and_its_steps_are_one_trace() -> None:
    """The caller's trace goes on; what we ask of others belongs to it; an error is its type."""
    tracing = made(0.0)

    def fail() -> None:
        with tracing.span("handle", dialect="native"):
            assert traceparent().split("-")[1] == "0af7651916cd43dd8448eb211c80319c"
            raise KeyError("canary")

    with tracing.request_span("GET", ABOVE.format("01")), pytest.raises(KeyError):
        fail()
    assert traceparent() == ""
    body = tracing.take_batch()
    assert b"canary" not in body
    [told] = ExportTraceServiceRequest.FromString(body).resource_spans
    step, request = told.scope_spans[0].spans
    assert request.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    assert step.parent_span_id == request.span_id
    assert {a.key: a.value.string_value for a in step.attributes} == {
        "dialect": "native", "error.type": "KeyError",
    }  # fmt: skip
    assert tracing.take_batch() == b""


def test_whoever_does_not_sample_is_not_sampled() -> None:
    """A caller's decision counts; without a caller our share does."""
    for sample, above, wanted in ((1.0, ABOVE.format("00"), 0), (1.0, "", 1), (0.0, "", 0),
                                  (1.0, "garbage", 1)):  # fmt: skip
        tracing = made(sample)
        with tracing.request_span("GET", above):
            pass
        assert len(spans(tracing)) == wanted


def test_what_another_process_traced_is_sent_with_ours() -> None:
    """In batches, with what was dropped there; who handed it over has it no more."""
    below, above = made(), made()
    below.queue.dropped = 2
    for _ in range(module.MAX_BATCH_SPANS + 1):
        with below.request_span("GET", ""):
            pass
    with above.request_span("GET", ""):
        pass
    for body, count, dropped in below.take_for_parent():
        above.add_child_spans(body, count, dropped)
    assert [len(spans(above)) for _ in range(4)] == [1, module.MAX_BATCH_SPANS, 1, 0]
    assert (above.dropped_spans, below.dropped_spans, list(below.take_for_parent())) == (2, 0, [])


def test_what_is_handed_over_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By bytes; what has no place is counted, and there is room again once some is sent."""
    monkeypatch.setattr(module, "MAX_CHILD_BYTES", 10)
    tracing = made()
    for _ in range(3):
        tracing.add_child_spans(b"12345", 7, 0)
    assert tracing.dropped_spans == 7
    assert tracing.take_batch() == b"12345"
    tracing.add_child_spans(b"12345", 7, 0)
    assert [tracing.take_batch() for _ in range(3)] == [b"12345", b"12345", b""]
    assert tracing.dropped_spans == 7


def test_a_signal_is_no_error() -> None:
    """A request that is another process', or one that is cut, is not shown as failed."""

    class Signal(BaseException):
        pass

    def end() -> None:
        with tracing.span("x"):
            raise Signal

    tracing = made()
    with tracing.request_span("GET", ""), pytest.raises(Signal):
        end()
    step, _ = spans(tracing)
    assert {a.key: a.value.string_value for a in step.attributes} == {"ended.by": "Signal"}
    assert step.status.code == 0


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody takes them: the rest is dropped, and counted."""
    monkeypatch.setattr(module, "MAX_QUEUED_SPANS", 2)
    tracing = made()
    for _ in range(5):
        with tracing.request_span("GET", ""):
            pass
    assert tracing.queue.dropped == 3
    assert len(spans(tracing)) == 2
