"""The one way through the agent: every operation, from whatever dialect, takes these six steps.

    1 authenticate → 2 authorize → 3 record intent → 4 handle → 5 record outcome → 6 reply

A mutation's intent is durable before anything changes; every outcome, a refusal included, is
durable before the caller hears of it. When no audit sink accepts, the caller gets 503 and no value.
Failed logins and denials over the rate limit are audited in summary. Handlers with
`is_audited=False` are audited only when denied.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import trio
from msgspec.structs import replace

from actors.world import World
from vault.audit.record import AuditEvent
from vault.audit_context import ALLOWED, AuditContext, unrecorded_error
from vault.authn.authenticator import Authenticator
from vault.authz.access import AccessRequest, Decision
from vault.authz.authorizer import Authorizer
from vault.authz.rate_limits import RateLimiter
from vault.authz.record_limits import FailureLimits, RecordLimits, TooManyFailuresError
from vault.barrier import SECRETS, Barrier
from vault.errors import (
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    RateLimitError,
    UnavailableError,
    VaultError,
)
from vault.handlers.handler import CHANGED_MEANWHILE, Call, Handler, Handlers
from vault.handlers.visibility import secret_facts
from vault.metrics import Metrics
from vault.model.identity import ANONYMOUS, OPERATOR, Identity, service_identity
from vault.model.operation import NO_FACTS, Capability, Operation, Origin, P, R, SecretFacts
from vault.model.path import ResourcePath


class AuditRecorder(Protocol):
    """What the pipeline asks of the audit log."""

    async def record(self, event: AuditEvent) -> None:
        """As `vault.audit.broker.AuditBroker.record`: durable on return."""
        ...


class FactsLookup(Protocol):
    """Who knows the facts of a secret."""

    async def __call__(self, path: ResourcePath, *, decisive: bool) -> SecretFacts:
        """Its facts; unless `decisive`, whether it is there and no more, which may be a guess."""
        ...


class Snapshot(Protocol):
    """What decides on requests and is held in another form than the rows that it is made of."""

    @property
    def is_stale(self) -> bool:
        """Whether what is stored may have changed since it was read."""
        ...

    async def refresh(self) -> None:
        """Read it again. Raises `VaultError`: then nothing can be decided."""
        ...


class SnapshotRefresher:
    """Refreshes stale snapshots. Compares one number while no transaction has ended."""

    def __init__(
        self, snapshots: Sequence[Snapshot], count_transactions: Callable[[], int]
    ) -> None:
        """`count_transactions`: those that are over; only these make anything stale."""
        self._snapshots = snapshots
        self._count_transactions = count_transactions
        self._seen = -1  # transactions that were over when nothing was stale

    @property
    def is_current(self) -> bool:
        """Whether there is nothing to do: each request asks."""
        return self._seen == self._count_transactions()

    @property
    def is_stale(self) -> bool:
        """Whether one of them has to be refreshed; in any thread, dearer than `is_current`."""
        return any(one.is_stale for one in self._snapshots)

    async def refresh_stale(self) -> None:
        """Make all current. Raises `VaultError` where one of them cannot be."""
        ended = self._count_transactions()
        for one in self._snapshots:
            if one.is_stale:
                await one.refresh()
        self._seen = ended


async def load_stored_facts(
    barrier: Barrier,
    path: ResourcePath,
    *,
    decisive: bool,  # noqa: ARG001  # as `FactsLookup` has it
) -> SecretFacts:
    """The facts as they are stored."""
    row = await barrier.get(SECRETS, path)
    return NO_FACTS if row is None else secret_facts(row)


MAX_DECISIONS: Final = 10  # on one operation whose secret comes and goes, or changes, meanwhile

CLOSING_RECORD_TIMEOUT: Final = 2.0
"""Seconds that each record of a seal is waited for: all three waits of one, with that of its order,
end within `vault.seal.manager.DRAIN_TIMEOUT`."""

log: Final = logging.getLogger("freehold.pipeline")

_PACED_BY_ADDRESS: Final = (ANONYMOUS, OPERATOR)  # each call of theirs, by `Pipeline._failures`

NO_SNAPSHOTS: Final = SnapshotRefresher((), int)


def _denied(trail: AuditContext[P, R]) -> AuthorizationError:
    """What the caller asked for and may not do.

    Where it depends on whether something is there which capability that takes, both are named.
    """
    wanted = trail.handler.capability
    capability = f"{Capability.CREATE} or {Capability.UPDATE}" if callable(wanted) else wanted
    path = str(trail.op.path)
    return AuthorizationError(
        "permission_denied",
        f"permission denied: {capability} on {path} is not allowed; ask for a policy that allows "
        "it (`freehold policy check` says what is missing)",
        capability=capability,
        path=path,
    )


class Pipeline:
    """Runs operations. Exists only while the agent is unsealed; built by `vault.app`."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        authorizer: Authorizer,
        limits: RateLimiter,
        audit: AuditRecorder,
        load_facts: FactsLookup,
        handlers: Handlers,
        metrics: Metrics,
        world: World,
        failures: FailureLimits | None = None,
        refusals: RecordLimits | None = None,
        self_service: RateLimiter | None = None,
        snapshots: SnapshotRefresher = NO_SNAPSHOTS,
    ) -> None:
        """`load_facts` looks facts up; `snapshots` are made current before each decision."""
        self._refusals = refusals
        self._self_service = self_service
        self._snapshots = snapshots
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._limits = limits
        self._failures = failures
        self._audit = audit
        self._lookup_facts = load_facts
        self._handlers = handlers
        self._metrics = metrics
        self._world = world

    async def run_operation(self, op: Operation[P, R]) -> R:
        """The handler's result, or a `VaultError`; in both cases the audit record is durable."""
        handler: Handler[P, R] = self._handlers[op.type.name]
        trail = AuditContext(op, handler)
        try:
            trail.identity = await self._authenticate(op, trail.handler)  # 1
            self._limits.acquire(trail.identity.id)
            if trail.handler.is_self_service:
                self._take_own(trail)
            if not self._snapshots.is_current:
                await self._refresh_snapshots(trail.handler)
            if not self._authorizer.is_ready(trail.identity):
                await self._authorizer.prepare(trail.identity)
            facts = await self._authorize_with_facts(trail)  # 2
            if trail.handler.precondition is not None:
                await trail.handler.precondition(trail.identity)
            trail.is_allowed = trail.handler.capability is not None
        except Exception as error:  # noqa: BLE001  # whatever failed: recorded, then told
            raise await self._record_failure(trail, error) from None  # 5
        call: Call[P] = Call(op, trail.identity, facts, trail.needs_facts)
        if trail.handler.mutates:
            return await self._run_mutation(trail, call)  # 3 to 6
        try:
            result = await trail.handler.run(call)  # 4
            if trail.handler.discloses is not None and not trail.handler.discloses(result):
                self._take_own(trail)
        except Exception as error:  # noqa: BLE001  # the same
            raise await self._record_failure(trail, error) from None  # 5
        if trail.handler.is_audited:
            try:
                await self._audit.record(trail.success_event(result))  # 5
            except VaultError as refused:
                self._count(op.name, refused.type)
                raise
        self._count(op.name, "ok")
        return result  # 6

    async def knows(self, credential: str | None, origin: Origin) -> bool:
        """Whether step 1 would succeed: asked before a large body is decoded."""
        return await self._authenticator.knows(credential, origin)

    def _take_own(self, trail: AuditContext[P, R]) -> None:
        """Count what anybody may do: else its records would fill the disk."""
        if self._self_service is not None:
            self._self_service.acquire(trail.identity.first)

    async def _refresh_snapshots(self, handler: Handler[P, R]) -> None:
        try:
            await self._snapshots.refresh_stale()
        except VaultError:
            if not handler.only_restricts:
                raise

    async def _authenticate(self, op: Operation[P, R], handler: Handler[P, R]) -> Identity:
        """The caller; background work is one too, and is recorded under its own name.

        Whoever shows no credential is held to the pace of those who fail.
        """
        if op.service:
            return service_identity(op.service)
        if handler.authorized_by_shares or handler.anonymous:
            if self._failures is not None:
                self._failures.count_failure(op.origin.ip)
            return OPERATOR if handler.authorized_by_shares else ANONYMOUS
        try:
            return await self._authenticator.authenticate(op.credential, op.origin)
        except AuthenticationError:
            if self._failures is not None:
                self._failures.count_failure(op.origin.ip)
            raise

    async def _run_mutation(self, trail: AuditContext[P, R], call: Call[P]) -> R:
        """Steps 3 to 6 of a mutation, whole: a caller who leaves does not cut them in two.

        Every wait inside is bounded: by the deadline of its store or audit request, of a worker's
        question to the leader, or of its turn among changes of the same kind.
        """
        try:
            with trio.CancelScope(shield=True):
                if trail.handler.closes is None:
                    await self._audit.record(trail.intent_event())  # 3
                else:
                    await self._close(trail, trail.handler.closes)
                result = await self._handle_mutation(trail, call)  # 4
                trail.is_done = True
                await self._record(trail, trail.success_event(result))  # 5
        except Exception as error:  # noqa: BLE001  # the same
            raise await self._record_failure(trail, error) from None  # 5
        self._count(trail.op.name, "ok")
        return result  # 6

    async def _close(self, trail: AuditContext[P, R], close: Callable[[], object]) -> None:
        """Step 3 of what closes: it does not depend on the log."""
        close()
        try:
            await self._record(trail, trail.intent_event())
        except VaultError as error:
            log.error(  # noqa: TRY400  # one line tells all
                "request %s: %s goes on, its intent is not on record: %s",
                trail.op.request_id,
                trail.op.name,
                error.message,
            )

    async def _record(self, trail: AuditContext[P, R], event: AuditEvent) -> None:
        """As the log's; of what closes for `CLOSING_RECORD_TIMEOUT`."""
        if trail.handler.closes is None:
            await self._audit.record(event)
            return
        try:
            with trio.fail_after(CLOSING_RECORD_TIMEOUT):
                await self._audit.record(event)
        except trio.TooSlowError:
            raise UnavailableError(
                "audit_unavailable", "the audit log does not answer; see to its disk"
            ) from None

    async def _handle_mutation(self, trail: AuditContext[P, R], call: Call[P]) -> R:
        """Step 4. What is not so any more, or was guessed wrong, is decided again, on what is so.

        `MAX_DECISIONS` times in all: whoever has met another change each time is told so.
        """
        for _ in range(MAX_DECISIONS - 1):
            try:
                return await trail.handler.run(call)
            except ConflictError as error:
                if error.code != CHANGED_MEANWHILE:
                    raise
            await self._refresh_snapshots(trail.handler)
            if not self._authorizer.is_ready(trail.identity):
                await self._authorizer.prepare(trail.identity)
            facts = SecretFacts(exists=not call.facts.exists)  # nothing else was asked
            trail.needs_facts = self._authorizer.needs_facts(trail.identity)  # by now they may
            if call.needs_facts or trail.needs_facts:
                facts = await self._lookup_facts(trail.op.path, decisive=True)
            trail.decision = self._authorize(trail, facts)
            call = replace(call, facts=facts, needs_facts=trail.needs_facts)
        return await trail.handler.run(call)

    async def _authorize_with_facts(self, trail: AuditContext[P, R]) -> SecretFacts:
        """Decide, and return on what. A guess may allow it; a no is made on what is so."""
        facts = await self._load_facts(trail)
        try:
            trail.decision = self._authorize(trail, facts)
        except AuthorizationError:
            if not facts.is_guess:
                raise
            facts = await self._lookup_facts(trail.op.path, decisive=True)
            trail.decision = self._authorize(trail, facts)
        return facts

    def _authorize(self, trail: AuditContext[P, R], facts: SecretFacts) -> Decision:
        """Decide on the thing as it is and, where the operation changes them, on its new facts.

        Otherwise whoever may write tags could tag a thing out of the rule that protects it.
        """
        op, handler = trail.op, trail.handler
        if handler.capability is None:
            return ALLOWED
        wanted = handler.capability
        capability = trail.capability = wanted(facts) if callable(wanted) else wanted
        self._decide(trail, capability, facts)
        if handler.proposed_facts is not None and trail.needs_facts:
            self._decide(trail, capability, handler.proposed_facts(op.payload, facts))
        return trail.decision

    def _decide(
        self, trail: AuditContext[P, R], capability: Capability, facts: SecretFacts
    ) -> None:
        trail.decision = self._authorizer.decide(
            AccessRequest(
                capability=capability,
                path=trail.op.path,
                identity=trail.identity,
                origin=trail.op.origin,
                facts=facts,
                now=self._world.now(),
            )
        )
        if not trail.decision.allowed:
            raise _denied(trail)

    async def _load_facts(self, trail: AuditContext[P, R]) -> SecretFacts:
        handler = trail.handler
        if not handler.targets_secret:
            return NO_FACTS
        trail.needs_facts = self._authorizer.needs_facts(trail.identity)
        if not callable(handler.capability) and not trail.needs_facts:
            return NO_FACTS
        return await self._lookup_facts(trail.op.path, decisive=trail.needs_facts)

    async def _record_failure(self, trail: AuditContext[P, R], error: Exception) -> VaultError:
        """Record that the operation was refused or failed; returns what to tell the caller."""
        told = trail.caller_error(error)
        if self._is_failure_recorded(trail, told):
            with trio.CancelScope(shield=True):
                try:
                    await self._record(trail, trail.failure_event(told))
                except VaultError as refused:
                    self._count(trail.op.name, refused.type)
                    raise unrecorded_error(told, refused) from None
        self._count(trail.op.name, told.type)
        return told

    def _is_failure_recorded(self, trail: AuditContext[P, R], told: VaultError) -> bool:
        """Whether there is a record to be made: none of what is done, few of one's refusals."""
        if (
            trail.is_done
            or isinstance(told, TooManyFailuresError)
            or not trail.records_failure(told)
        ):
            return False
        allowed = trail.is_allowed and not isinstance(told, RateLimitError)
        if allowed or trail.identity in _PACED_BY_ADDRESS or self._refusals is None:
            return True
        return self._refusals.allows(trail.identity.first)

    def _count(self, operation: str, status: str) -> None:
        self._metrics.count_operation(operation, status)
