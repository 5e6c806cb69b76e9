"""Tests of the audit log as a thing that operations act on."""

from typing import Any

from tests.unit.vault.handlers.conftest import HERE, ROOT
from vault.audit.broker import BrokerState
from vault.audit.proof import Proof
from vault.audit.query import AuditPage, AuditQuery
from vault.audit.verification import VerificationState
from vault.handlers.audit import AuditHandlers
from vault.handlers.handler import Call
from vault.model.operation import Capability, Operation, OperationType
from vault.model.path import ResourcePath
from vault.model.payloads import HashAuditValue, Nothing, ReadAuditRecord


class FakeLog:
    """A broker, an index and a prover that say what they were asked."""

    def state(self) -> BrokerState:
        """Of seven records."""
        return BrokerState(7, (), "retention")

    def hash_value(self, value: object) -> str:
        """Recognisable."""
        return f"hash of {value}"

    async def search(self, wanted: AuditQuery) -> AuditPage:
        """Nothing, and the question as cursor."""
        return AuditPage([], wanted.operation)

    def trouble(self) -> str:
        """Of the anchor."""
        return "anchor"

    async def prove(self, seq: int) -> Proof:
        """Of this record."""
        return Proof("record", seq, [], "note")


class FakeVerification:
    """One that has found the log whole, and begins anew when asked."""

    state = VerificationState(state="whole", size=7)

    def start(self) -> VerificationState:
        """Under way."""
        return VerificationState(state="running")


async def ask(name: str, payload: object) -> Any:
    """Run one."""
    log = FakeLog()
    audits = AuditHandlers(log, log, log.prove, log.trouble, FakeVerification())  # type: ignore[arg-type]  # what it uses
    handler = audits.handlers()[name]
    op = Operation(
        type=OperationType(name),
        path=ResourcePath.parse("sys/audit"), payload=payload, request_id="r",
        credential=None, origin=HERE,
    )  # fmt: skip
    return await handler.run(Call(op, ROOT))


async def test_each_is_asked_of_its_part() -> None:
    """Query, proof, status and hash."""
    assert await ask("audit.query", AuditQuery(operation="x")) == AuditPage([], "x")
    assert (await ask("audit.proof", ReadAuditRecord(seq=3))).seq == 3
    assert await ask("audit.status", Nothing()) == BrokerState(7, (), "retention; anchor")
    assert (await ask("audit.verify", Nothing())).state == "running"
    assert (await ask("audit.verification", Nothing())).size == 7
    assert await ask("audit.hash", HashAuditValue(value=4)) == "hash of 4"


async def test_a_value_that_is_looked_for_is_not_recorded() -> None:
    """Its record would have the same hash, so that the search would find itself."""
    log = FakeLog()
    table = AuditHandlers(log, log, log.prove, log.trouble, FakeVerification()).handlers()  # type: ignore[arg-type]  # what it uses
    view = table["audit.hash"].audit_request
    assert view is not None
    assert view(HashAuditValue(value="secret")) is None
    assert table["audit.hash"].audit_response is None
    assert table["audit.hash"].capability is Capability.UPDATE
    assert {table[f"audit.{n}"].capability for n in ("query", "proof", "status")} == {
        Capability.READ
    }
