"""The pipeline with spans: the same answers, each step to be seen, nobody's words in them."""

from functools import partial
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from actors import SystemWorld
from protocols.telemetry.tracing import Tracing
from tests.unit.vault import test_pipeline as plain
from tests.unit.vault.test_pipeline_again import upsert
from vault import pipeline
from vault.authn.roles import load_service_identity
from vault.errors import ConflictError
from vault.handlers.stores import SecretStore
from vault.handlers.visibility import load_stored_facts
from vault.model.operation import OperationType, SecretFacts
from vault.pipeline import PipelineParts
from vault.telemetry.traced_pipeline import TracedPipeline


def test_it_takes_the_same_steps() -> None:
    """Every step that it puts a span around is one that the pipeline still has."""
    own = {name for name in vars(TracedPipeline) if not name.startswith("__")}
    assert own == {"run_operation", "_authenticate", "_authorize"}
    assert own <= set(vars(pipeline.Pipeline))
    assert plain.__doc__


async def test_what_is_decided_again_is_no_error_of_its_step() -> None:
    """Both looks are seen."""
    tracing, parts = Tracing({}, 1.0, SystemWorld().new_id), plain.Parts()
    everything: Any = parts
    traced = TracedPipeline(
        tracing, PipelineParts(authenticator=everything, authorizer=everything, limits=everything,
        inline_logins=everything, audit=everything,
        load_facts=partial(load_stored_facts, SecretStore(everything)),
            load_service_identity=partial(load_service_identity, everything),
        handlers={"op": upsert(parts)}, metrics=everything,
        world=SystemWorld(),
    ))  # fmt: skip
    assert await traced.run_operation(plain.op()) == SecretFacts(exists=True)
    [told] = ExportTraceServiceRequest.FromString(tracing.take_batch()).resource_spans
    spans = told.scope_spans[0].spans
    assert [span.name for span in spans] == [
        "authenticate", "authorize", "record", "handle", "authorize", "handle", "record", "op",
    ]  # fmt: skip
    assert not any(span.status.code for span in spans)


async def test_another_conflict_is_an_error_of_its_step() -> None:
    """It is not decided again."""
    tracing, parts = Tracing({}, 1.0, SystemWorld().new_id), plain.Parts()
    everything: Any = parts
    refusing = plain.handler(parts, ConflictError("cas_mismatch", "another"), mutates=True)
    traced = TracedPipeline(
        tracing, PipelineParts(authenticator=everything, authorizer=everything, limits=everything,
        inline_logins=everything, audit=everything,
        load_facts=partial(load_stored_facts, SecretStore(everything)),
            load_service_identity=partial(load_service_identity, everything),
        handlers={"op": refusing}, metrics=everything, world=SystemWorld(),
    ))  # fmt: skip
    with pytest.raises(ConflictError):
        await traced.run_operation(plain.op())
    [told] = ExportTraceServiceRequest.FromString(tracing.take_batch()).resource_spans
    failed = {span.name for span in told.scope_spans[0].spans if span.status.code}
    assert failed == {"handle", "op"}


async def test_a_read_shows_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Authenticate, authorize, handle, record: below the operation, without path or value."""
    from dataclasses import dataclass

    from vault.audit.record import AuditEvent
    from vault.authz.access import Decision
    from vault.handlers.handler import Call, Handler
    from vault.metrics import Metrics
    from vault.model.identity import Identity, Method
    from vault.model.operation import Capability, Operation, Origin
    from vault.model.path import ResourcePath
    from vault.model.payloads import Nothing

    ann = Identity(id="u", name="canary-ann", method=Method.TOKEN, policies=("p",))

    @dataclass
    class Fake:
        records: list[AuditEvent]

        async def authenticate(self, *_: object) -> Identity:
            return ann

        def acquire(self, _: str) -> None:
            pass

        def is_ready(self, _: object) -> bool:
            return True

        def decide(self, _: object) -> Decision:
            return Decision(allowed=True)

        async def record(self, event: AuditEvent) -> None:
            self.records.append(event)

    async def handle(_: Call) -> str:
        return "canary-value"

    fake: Any = Fake([])
    tracing = Tracing({}, 1.0, SystemWorld().new_id)
    handlers = {"x.read": Handler(OperationType("op"), run=handle, capability=Capability.READ)}
    traced = TracedPipeline(
        tracing, PipelineParts(
        authenticator=fake, inline_logins=fake, authorizer=fake, limits=fake, audit=fake,
        load_facts=fake,
        load_service_identity=partial(load_service_identity, fake),
        handlers=handlers, metrics=Metrics(), world=SystemWorld(),
    ))  # fmt: skip
    op = Operation(
        type=OperationType("x.read"), path=ResourcePath.parse("s/canary-path"), payload=Nothing(),
        request_id="r", credential="canary-token", origin=Origin(ip="10.0.0.9", dialect="native"),
    )  # fmt: skip
    assert await traced.run_operation(op) == "canary-value"
    assert len(fake.records) == 1
    body = tracing.take_batch()
    assert b"canary" not in body
    assert b"10.0.0.9" not in body
    [told] = ExportTraceServiceRequest.FromString(body).resource_spans
    spans = told.scope_spans[0].spans
    names = [span.name for span in spans]
    assert names == ["authenticate", "authorize", "handle", "record", "x.read"]
    assert all(span.parent_span_id == spans[-1].span_id for span in spans[:-1])
