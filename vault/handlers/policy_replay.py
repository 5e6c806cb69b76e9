"""The policy time machine: what is on record, decided again under a candidate. It changes nothing.

The newest records first, a page at a time: read by the index, decided in a thread, so that no
request waits for it. Records, time and memory are bounded; what was not looked at is said.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import msgspec
import trio

from actors.world import World
from vault import operations
from vault.audit.query import MAX_PAGE, AuditQuery
from vault.authn.credential_owners import CredentialOwners
from vault.authz.policy import Policy, validate_policy, without_edition
from vault.authz.policy_replay import (
    DecisionFilter,
    DecisionPair,
    RecordedDecision,
    ReplayCounts,
    ReplayedAccess,
    recorded_path,
)
from vault.authz.policy_store import PolicySnapshot, PolicyStore
from vault.errors import ConflictError, ValidationError
from vault.handlers.audit import AuditSearch
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.stores import SecretStore
from vault.handlers.usage import OpaqueId
from vault.handlers.visibility import secret_facts
from vault.model.audit_row import AuditRow
from vault.model.identity import ROOT_POLICY, Identity, Method
from vault.model.name import canonical_name
from vault.model.operation import NO_FACTS, Capability, SecretFacts
from vault.model.policy_replay import (
    MAX_CHANGES,
    MAX_RECORDS,
    MAX_WRITTEN,
    ConditionFact,
    DecisionChange,
    PolicyReplayReport,
    ReplayPolicies,
    Stop,
    Undecided,
)

MAX_SECONDS: Final = 20.0  # of one replay; a caller waits for it
MAX_CACHED: Final = 10_000  # credentials, and secrets, that one replay keeps in mind


@dataclass(frozen=True)
class PolicyReplayHandlers:
    """The handler of `policy.replay`. One runs at a time."""

    policies: PolicyStore
    index: AuditSearch
    owners: CredentialOwners
    load_service: Callable[[str], Awaitable[Identity]]
    secrets: SecretStore
    opaque: OpaqueId
    operations: Handlers
    """All operations: which of them change something, and which are about a secret."""
    world: World
    _lock: trio.Lock = field(default_factory=trio.Lock)

    def handlers(self) -> Handlers:
        """The operation this file serves."""
        return handler_table(
            Handler(
                operations.REPLAY_POLICIES,
                run=self.replay,
                capability=Capability.READ,
                audit_request=_audit_request,
                audit_response=_audit_response,
            )
        )

    async def replay(self, call: Call[ReplayPolicies]) -> PolicyReplayReport:
        """Decide what is on record again, under the policies in force and under the candidate.

        Both decide for each caller with their identity of now, and address and time of the record.
        Raises `ValidationError` with the faulty field, and `ConflictError` (`replay_running`)
        while another one is under way.
        """
        payload = call.payload
        _check(payload)
        present = self.policies.snapshot
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            raise ConflictError(
                "replay_running", "another replay is under way; try again when it has ended"
            ) from None
        try:
            candidate = await self.world.run_sync(_candidate_snapshot, payload, present)
            return await _PolicyReplayRun(self, payload, present.with_changes(), candidate).run()
        finally:
            self._lock.release()


def _candidate_snapshot(payload: ReplayPolicies, present: PolicySnapshot) -> PolicySnapshot:
    fleet = present.bundle
    if payload.bundle is not None:
        fleet = msgspec.structs.replace(fleet, policies=_read_policies(payload.bundle, "bundle"))
    gone = [canonical_name(name, f"delete[{i}]") for i, name in enumerate(payload.delete)]
    for i, name in enumerate(gone):
        if name == ROOT_POLICY or name not in present.policies:
            raise ValidationError(
                "policy_invalid",
                f"delete[{i}] is no policy of this agent that could be deleted",
                field=f"delete[{i}]",
            )
    return present.with_changes(_read_policies(payload.write, "write"), gone, fleet)


class _PolicyReplayRun:
    """One replay on its way."""

    def __init__(
        self,
        handlers: PolicyReplayHandlers,
        payload: ReplayPolicies,
        now: PolicySnapshot,
        then: PolicySnapshot,
    ) -> None:
        self._handlers = handlers
        self._payload = payload
        self._current = now
        self._candidate = then
        self._counts = ReplayCounts()
        mutating = frozenset(name for name, h in handlers.operations.items() if h.mutates)
        self._decisions = DecisionFilter(mutating)
        self._callers: dict[tuple[str, str], Identity | None] = {}
        self._facts: dict[str, tuple[int, SecretFacts] | None] = {}
        self._records = 0
        self._reached = payload.until
        self._stopped = Stop.NOTHING

    async def run(self) -> PolicyReplayReport:
        """All of it, or as much as the bounds leave."""
        ends, cursor = self._handlers.world.monotonic() + MAX_SECONDS, ""
        while True:
            page = await self._handlers.index.search(self._query(cursor))
            await self._add_page(page.events)
            cursor = page.cursor
            if not cursor:
                self._reached = self._payload.since
                break
            self._stopped = self._bound(ends)
            if self._stopped:
                break
        return await self._result()

    def _query(self, cursor: str) -> AuditQuery:
        payload = self._payload
        limit = min(MAX_PAGE, payload.records - self._records)
        return AuditQuery(since=payload.since, until=payload.until, cursor=cursor, limit=limit)

    def _bound(self, ends: float) -> Stop:
        if self._records >= self._payload.records:
            return Stop.RECORDS
        return Stop.TIME if self._handlers.world.monotonic() >= ends else Stop.NOTHING

    async def _add_page(self, rows: list[AuditRow]) -> None:
        self._records += len(rows)
        if rows:
            self._reached = rows[-1].time
        known = []
        for recorded in self._decisions.filter_rows(rows):
            question = await self._question(recorded.row)
            if isinstance(question, Undecided):
                self._counts.add_undecidable(question)
            else:
                known.append((recorded, question))
        await self._decide(known)

    async def _question(self, row: AuditRow) -> ReplayedAccess | Undecided:
        path = recorded_path(row)
        if path is None:
            return Undecided.RECORD_CUT
        identity = await self._caller(row)
        if identity is None or identity.id != row.actor_id:
            return Undecided.CREDENTIAL_GONE
        handler = self._handlers.operations.get(row.operation)
        on_secret = handler is None or handler.targets_secret
        facts = None if on_secret else NO_FACTS
        return ReplayedAccess(row, path, identity, facts, self._payload.facts)

    async def _caller(self, row: AuditRow) -> Identity | None:
        """Who the credential stands for, judged at the time of its newest record."""
        if row.method == Method.SERVICE:
            return await self._handlers.load_service(row.actor_id.removeprefix("service:"))
        key = (row.method, row.credential)
        if key not in self._callers:
            if len(self._callers) >= MAX_CACHED:
                self._callers.clear()
            self._callers[key] = await self._handlers.owners.identity_at(*key, at=row.time)
        return self._callers[key]

    async def _decide(self, known: list[tuple[RecordedDecision, ReplayedAccess]]) -> None:
        pairs = await self._decide_questions([question for _, question in known])
        again = []
        for (recorded, question), pair in zip(known, pairs, strict=True):
            facts = None
            if None in pair and question.facts is None:
                facts = await self._known_facts(question)
            if facts is None:
                self._counts.add_decided(recorded, pair)
            else:
                again.append((recorded, msgspec.structs.replace(question, facts=facts)))
        for (recorded, _), pair in zip(
            again, await self._decide_questions([q for _, q in again]), strict=True
        ):
            self._counts.add_decided(recorded, pair)

    async def _decide_questions(self, questions: list[ReplayedAccess]) -> list[DecisionPair]:
        if not questions:
            return []
        return await self._handlers.world.run_sync(
            partial(_decide_all, questions, self._current, self._candidate)
        )

    async def _known_facts(self, question: ReplayedAccess) -> SecretFacts | None:
        """The secret's, if they are what they were; of a write its own are not on record."""
        row, handler = question.row, self._handlers.operations.get(question.row.operation)
        if handler is None or handler.proposed_facts is not None:
            return None
        if not self._payload.facts & {ConditionFact.TAGS, ConditionFact.METADATA}:
            return None
        if row.path not in self._facts:
            if len(self._facts) >= MAX_CACHED:
                self._facts.clear()
            found = await self._handlers.secrets.get(question.path)
            self._facts[row.path] = (
                None if found is None else (found.updated_at, secret_facts(found))
            )
        held = self._facts[row.path]
        return held[1] if held is not None and held[0] <= row.time else None

    async def _result(self) -> PolicyReplayReport:
        counts, payload = self._counts, self._payload
        changes = counts.changes()
        shown = [await self._named(change) for change in changes[: payload.limit]]
        return PolicyReplayReport(
            since=payload.since,
            until=payload.until,
            reached=self._reached,
            stopped=self._stopped,
            records=self._records,
            accesses=counts.accesses,
            unchanged=counts.unchanged,
            denied=counts.denied,
            allowed=counts.allowed,
            undecided=counts.undecided,
            drifted=counts.drifted,
            changes=tuple(shown),
            others=len(changes) - len(shown) + counts.uncounted,
        )

    async def _named(self, change: DecisionChange) -> DecisionChange:
        """With opaque ids if they are asked for."""
        if not self._payload.opaque:
            return change
        opaque, handler = self._handlers.opaque, self._handlers.operations.get(change.operation)
        row = None
        if handler is not None and handler.targets_secret:
            row = await self._handlers.secrets.get(change.path)
        return msgspec.structs.replace(
            change,
            identity=opaque("identity", change.actor_id),
            secret=b"" if row is None else opaque("secret", row.id),
        )


def _decide_all(
    questions: list[ReplayedAccess], now: PolicySnapshot, then: PolicySnapshot
) -> list[DecisionPair]:
    return [question.decide_both(now, then) for question in questions]


def _check(payload: ReplayPolicies) -> None:
    if not 0 < payload.since <= payload.until:
        raise ValidationError("since_invalid", "since must lie before until", field="since")
    for name, most, least in (("limit", MAX_CHANGES, 0), ("records", MAX_RECORDS, 1)):
        if not least <= getattr(payload, name) <= most:
            raise ValidationError(f"{name}_invalid", f"{name} is {least} to {most}", field=name)
    for name in ("write", "delete", "bundle"):
        if len(getattr(payload, name) or ()) > MAX_WRITTEN:
            raise ValidationError(
                "policy_invalid", f"{name} may hold at most {MAX_WRITTEN}", field=name
            )


def _read_policies(documents: tuple[dict[str, Any], ...], field_: str) -> tuple[Policy, ...]:
    """The documents, validated; faults are told with their place."""
    found: dict[str, Policy] = {}
    for i, document in enumerate(documents):
        place = f"{field_}[{i}]"
        try:
            policy = validate_policy(without_edition(document))
        except ValidationError as fault:
            inner = fault.details.get("field") or ""
            raise ValidationError(
                fault.code, f"{place}: {fault.message}", field=f"{place}.{inner}".rstrip(".")
            ) from None
        if policy.name in found:
            raise ValidationError("policy_invalid", f"{place} is named twice", field=place)
        found[policy.name] = policy
    return tuple(found.values())


def _audit_request(payload: ReplayPolicies) -> object:
    """For the record: which policies, not what they say."""
    return {
        "write": [document.get("name") for document in payload.write],
        "delete": list(payload.delete),
        "bundle": None if payload.bundle is None else [one.get("name") for one in payload.bundle],
        "since": payload.since,
        "until": payload.until,
    }


def _audit_response(found: PolicyReplayReport) -> object:
    return {"records": found.records, "denied": found.denied, "allowed": found.allowed}
