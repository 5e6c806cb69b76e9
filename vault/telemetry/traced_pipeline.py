"""The pipeline with a span for each of its steps, in the place of the plain one where it is on.

A span tells operation, outcome and time. The step that was slow is seen; whose request it was, and
for what, is in the audit log alone.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from protocols.telemetry.tracing import Tracing
from vault.audit.record import AuditEvent
from vault.authz.access import Decision
from vault.errors import ConflictError
from vault.handlers.handler import CHANGED_MEANWHILE, Call, Handler
from vault.model.identity import Identity
from vault.model.operation import Operation, P, R, SecretFacts
from vault.pipeline import AuditContext, AuditRecorder, Pipeline, PipelineParts


class TracedPipeline(Pipeline):
    """As `Pipeline`; each step is a span below the operation's."""

    def __init__(self, tracing: Tracing, parts: PipelineParts) -> None:
        handlers = {name: _trace_handler(tracing, one) for name, one in parts.handlers.items()}
        audit = _TracedRecorder(tracing, parts.audit)
        super().__init__(replace(parts, audit=audit, handlers=handlers))
        self._tracing = tracing

    async def run_operation(self, op: Operation[P, R]) -> R:
        """See `Pipeline`."""
        with self._tracing.span(op.name, dialect=op.origin.dialect):
            return await super().run_operation(op)

    async def _authenticate(self, context: AuditContext[P, R]) -> Identity:
        with self._tracing.span("authenticate"):
            return await super()._authenticate(context)

    async def _authorize(self, context: AuditContext[P, R], facts: SecretFacts) -> Decision:
        with self._tracing.span("authorize"):
            return await super()._authorize(context, facts)


class _TracedRecorder:
    def __init__(self, tracing: Tracing, audit: AuditRecorder) -> None:
        self._tracing = tracing
        self._audit = audit

    async def record(self, event: AuditEvent) -> None:
        with self._tracing.span("record", phase=event.phase):
            await self._audit.record(event)


def _trace_handler(tracing: Tracing, handler: Handler[P, R]) -> Handler[P, R]:
    run: Callable[[Call[P]], Awaitable[R]] = handler.run

    async def traced(call: Call[P]) -> R:
        with tracing.span("handle"):
            try:
                return await run(call)
            except ConflictError as error:
                if error.code != CHANGED_MEANWHILE:
                    raise
                changed = error  # no fault: it is decided again
        raise changed

    return replace(handler, run=traced)
