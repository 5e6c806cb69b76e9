"""The audit log: search it, prove that a record is in it, see whether it is well."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from vault import operations
from vault.audit.broker import AuditBroker, BrokerState
from vault.audit.proof import Proof
from vault.audit.query import AuditPage, AuditQuery
from vault.audit.verification import VerificationJob, VerificationState
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.operation import Capability
from vault.model.payloads import HashAuditValue, Nothing, ReadAuditRecord


class AuditSearch(Protocol):
    """The index of audit events."""

    async def search(self, query: AuditQuery) -> AuditPage:
        """As `vault.audit.sinks.database.AuditIndex.search`."""


Prover = Callable[[int], Awaitable[Proof]]
"""Raises `NotFoundError` for a record that is not (or no longer) there."""


@dataclass(frozen=True)
class AuditHandlers:
    """The handlers of `audit.*`."""

    broker: AuditBroker
    index: AuditSearch
    prover: Prover
    fault: Callable[[], str]
    """What else is wrong with log or anchor, empty when nothing is."""
    verification: VerificationJob

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        read = Capability.READ
        return handler_table(
            Handler(
                operations.QUERY_AUDIT,
                run=self.query,
                capability=read,
                audit_response=lambda page: {"count": len(page.events)},
            ),
            Handler(operations.PROVE_AUDIT_RECORD, run=self.prove, capability=read),
            Handler(operations.READ_AUDIT_STATUS, run=self.status, capability=read),
            Handler(operations.VERIFY_AUDIT, run=self.verify, capability=Capability.UPDATE),
            Handler(
                operations.READ_AUDIT_VERIFICATION, run=self.verification_state, capability=read
            ),
            Handler(
                operations.HASH_AUDIT_VALUE,
                run=self.hash_value,
                capability=Capability.UPDATE,
                audit_request=lambda _: None,
            ),
        )

    async def query(self, call: Call[AuditQuery]) -> AuditPage:
        """Events for which all of the payload holds, newest first."""
        payload = call.payload
        return await self.index.search(payload)

    async def prove(self, call: Call[ReadAuditRecord]) -> Proof:
        """The record, its path to the root, and the signed checkpoint of that root."""
        payload = call.payload
        return await self.prover(payload.seq)

    async def verify(self, _: Call[Nothing]) -> VerificationState:
        """Have the whole log checked; one that is under way goes on."""
        return self.verification.start()

    async def verification_state(self, _: Call[Nothing]) -> VerificationState:
        """How far that is, or what it found."""
        return self.verification.state

    async def status(self, _: Call[Nothing]) -> BrokerState:
        """How many records there are, how each sink does, and what is wrong."""
        return self.state()

    def state(self) -> BrokerState:
        """The same, for whoever follows it."""
        state = self.broker.state()
        troubles = (state.trouble, self.fault())
        return replace(state, trouble="; ".join(filter(None, troubles)))

    async def hash_value(self, call: Call[HashAuditValue]) -> str:
        """What a value reads as in every record, so that it can be looked for."""
        payload = call.payload
        return self.broker.hash_value(payload.value)
