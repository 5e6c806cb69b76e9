"""Spans by OpenTelemetry's SDK, kept in a bounded queue until they are exported. No thread.

A span has a name from the program, an outcome and times: no path, no name, no value of anybody.
What a caller's `traceparent` (W3C Trace Context) says of sampling is kept to.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

MAX_QUEUED_SPANS: Final = 8192
"""Spans that wait for the next export; more are dropped, the newest first, and counted."""
MAX_BATCH_SPANS: Final = 1024
MAX_CHILD_BYTES: Final = 16 << 20
"""Bytes of spans of the processes below that wait here; more are dropped, and counted."""
_W3C: Final = TraceContextTextMapPropagator()


class SpanQueue(SpanProcessor):
    """Where spans that ended wait."""

    def __init__(self) -> None:
        self.spans: deque[ReadableSpan] = deque()
        self.dropped = 0

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it, if there is room."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if len(self.spans) < MAX_QUEUED_SPANS:
            self.spans.append(span)
        else:
            self.dropped += 1


class _Ids(IdGenerator):
    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id

    def generate_span_id(self) -> int:
        return int(self._new_id().replace("-", "")[16:], 16) or 1

    def generate_trace_id(self) -> int:
        return int(self._new_id().replace("-", ""), 16)


class Tracing:
    """Makes spans for one process, and takes in those of the processes below it.

    `sample`: the share of requests that begin a trace here.
    """

    def __init__(
        self, resource: Mapping[str, str], sample: float, new_id: Callable[[], str]
    ) -> None:
        self.queue = SpanQueue()
        self._child_spans: deque[bytes] = deque()
        self._child_bytes = 0
        provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample)),
            resource=Resource(dict(resource)),
            shutdown_on_exit=False,
            id_generator=_Ids(new_id),
            span_limits=SpanLimits(max_attributes=16, max_events=0, max_links=0),
        )
        provider.add_span_processor(self.queue)
        self._tracer = provider.get_tracer("freehold")

    @contextmanager
    def request_span(self, method: str, traceparent: str) -> Iterator[Span]:
        """A request that somebody made of us; spans within the block are below it."""
        carrier = {"traceparent": traceparent} if traceparent else {}
        above = _W3C.extract(carrier, Context())
        with self._tracer.start_as_current_span(
            method,
            above,
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span

    @contextmanager
    def continue_trace(self, traceparent: str) -> Iterator[None]:
        """Spans within the block are below this one of another process, if there is one."""
        above = _W3C.extract({"traceparent": traceparent} if traceparent else {}, Context())
        token = attach(above)
        try:
            yield
        finally:
            detach(token)

    @contextmanager
    def span(self, name: str, **attributes: str) -> Iterator[Span]:
        """A part of what is under way. An exception shows as its type alone.

        What is not an `Exception` (a cancellation, a request that is another process') is a signal:
        it ends the step, and is no error.
        """
        with self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except Exception as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise
            except BaseException as signal:
                span.set_attribute("ended.by", type(signal).__name__)
                raise

    @property
    def dropped_spans(self) -> int:
        """Spans that found no place, here or in a process below, since this one began."""
        return self.queue.dropped

    def take_batch(self) -> bytes:
        """The next export's body; empty when nothing waits."""
        queue = self.queue.spans
        spans = [queue.popleft() for _ in range(min(len(queue), MAX_BATCH_SPANS))]
        if spans:
            return encode_spans(spans).SerializeToString()
        body = self._child_spans.popleft() if self._child_spans else b""
        self._child_bytes -= len(body)
        return body

    def take_for_parent(self) -> Iterator[tuple[bytes, int, int]]:
        """All queued spans, for the parent's `add_child_spans`: body, spans in it, dropped before.

        What was dropped is counted there from then on.
        """
        while self.queue.spans or self.queue.dropped:
            count = min(len(self.queue.spans), MAX_BATCH_SPANS)
            dropped, self.queue.dropped = self.queue.dropped, 0
            yield self.take_batch(), count, dropped

    def add_child_spans(self, body: bytes, count: int, dropped: int) -> None:
        """What a process below handed over: sent after our own, as far as there is room."""
        self.queue.dropped += dropped
        if self._child_bytes + len(body) > MAX_CHILD_BYTES:
            self.queue.dropped += count
        elif body:
            self._child_spans.append(body)
            self._child_bytes += len(body)


def traceparent() -> str:
    """The header of the span that is under way, for what we ask of others; empty for none."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier.get("traceparent", "")
