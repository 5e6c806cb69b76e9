"""The one way through the agent: every operation, from whatever dialect, takes these six steps.

    1 authenticate → 2 authorize → 3 record intent → 4 handle → 5 record outcome → 6 reply

A mutation's intent is durable before anything changes; every outcome, a refusal included, is
durable before the caller hears of it. When no audit sink accepts, the caller gets 503 and no value.
Failed logins and denials over the rate limit are audited in summary. Handlers with
`is_audited=False` are audited only when denied.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, Protocol

import trio
from msgspec.structs import replace

from actors.world import World
from protocols.errors import locate
from vault.audit.record import AuditEvent
from vault.authn.authenticator import Authenticator
from vault.authn.inline_logins import InlineLogins
from vault.authn.methods.method import LoginStep
from vault.authz.access import CONTROL_GROUP, AccessRequest, Decision
from vault.authz.authorizer import Authorizer
from vault.authz.rate_limits import RateLimiter
from vault.authz.record_limits import (
    FailureLimits,
    RecordLimits,
    TooManyFailuresError,
    address_key,
)
from vault.authz.tickets import TICKET, DenialTickets
from vault.errors import (
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    InternalError,
    RateLimitError,
    UnavailableError,
    ValidationError,
    VaultError,
)
from vault.handlers.handler import CHANGED_MEANWHILE, Call, Handler, Handlers
from vault.metrics import Metrics
from vault.model.acl.access import AclCapability, ApiAccess, ApiForm
from vault.model.identity import ANONYMOUS, OPERATOR, Identity
from vault.model.operation import NO_FACTS, Capability, Operation, Origin, P, R, SecretFacts
from vault.model.path import ResourcePath

OUTCOME_DONE: Final = "done"  # an outcome, beside `none` and `unknown` of the store
ALLOWED: Final = Decision(allowed=True)
MAX_DECISIONS: Final = 10  # on one operation whose secret is changed by others meanwhile

SEAL_RECORD_TIMEOUT: Final = 2.0
"""Seconds that each record of a seal is waited for: all three waits of one, with that of its order,
end within `vault.seal.manager.DRAIN_TIMEOUT`."""

log: Final = logging.getLogger("freehold.pipeline")

STALE_READ: Final = "stale_read"
"""Code in the record of a read that was answered from memory, since the database did not answer."""
_DATABASE_AWAY: Final = frozenset({"store_unavailable", "store_timeout"})


class Pipeline:
    """Runs operations. Exists only while the agent is unsealed; built by `vault.core`."""

    def __init__(self, parts: PipelineParts) -> None:
        self._refusals = parts.refusals
        self._self_service = parts.self_service
        self._snapshots = parts.snapshots
        self._catch_up = parts.catch_up
        self._commits = parts.commits
        self._stale_reads = parts.stale_reads
        self._authenticator = parts.authenticator
        self._inline_logins = parts.inline_logins
        self._authorizer = parts.authorizer
        self._limits = parts.limits
        self._failures = parts.failures
        self._audit = parts.audit
        self._lookup_facts = parts.load_facts
        self._load_service_identity = parts.load_service_identity
        self._handlers = parts.handlers
        self._metrics = parts.metrics
        self._tickets = parts.tickets
        self._grants = parts.grants
        self._world = parts.world

    async def run_operation(self, op: Operation[P, R]) -> R:
        """The handler's result, or a `VaultError`; in both cases the audit record is durable."""
        handler: Handler[P, R] = self._handlers[op.type.name]
        context = AuditContext(op, handler)
        try:
            if not op.caught_up:
                await self._see_commits(context.handler)
        except Exception as error:  # noqa: BLE001  # whatever failed is recorded, then raised
            stale = self._find_stale_read(context, error)
            if stale is None:
                raise await self._record_failure(context, error) from None  # 5
            with stale.memory_only():
                return await self._run(context)
        return await self._run(context)

    async def _run(self, context: AuditContext[P, R]) -> R:
        op = context.op
        if op.served is not None:
            op.served.add_read(self._commits(), context.as_of)
        try:
            if not self._snapshots.is_current:  # who it is depends on them: on mounts of logins
                await self._refresh_snapshots(context.handler)
            context.identity = await self._authenticate(context)  # 1
            self._limits.acquire(context.identity.id)
            if context.handler.is_self_service:
                self._acquire_self_service(context)
            if not (self._snapshots.is_current or context.handler.only_restricts):
                await self._refresh_snapshots(context.handler)  # a login commits
            if not self._authorizer.is_ready(context.identity):
                await self._authorizer.prepare(context.identity)
            facts = await self._load_facts(context)
            context.decision = await self._authorize(context, facts)  # 2
            if context.handler.precondition is not None:
                await context.handler.precondition(context.identity)
            context.is_allowed = context.handler.capability is not None
        except Exception as error:  # noqa: BLE001  # whatever failed is recorded, then raised
            raise await self._record_failure(context, error) from None  # 5
        call: Call[P] = Call(
            op, context.identity, facts, context.needs_facts, context.decision, context.login
        )
        if context.handler.mutates:
            return await self._run_mutation(context, call)  # 3 to 6
        try:
            result = await context.handler.run(call)  # 4
            if context.handler.discloses is not None and not context.handler.discloses(result):
                self._acquire_self_service(context)
        except Exception as error:  # noqa: BLE001  # the same
            raise await self._record_failure(context, error) from None  # 5
        if context.handler.is_audited:
            await self._record_read(context, result)  # 5
        self._count(op.name, "ok")
        return result  # 6

    async def _record_read(self, context: AuditContext[P, R], result: R) -> None:
        try:
            if context.as_of:
                self._require_recent()
            await self._audit.record(context.success_event(result))
        except VaultError as refused:
            self._count(context.op.name, refused.type)
            raise

    def _find_stale_read(self, context: AuditContext[P, R], error: Exception) -> StaleReads | None:
        """How it is answered from memory, since the database does not answer; None: not at all.

        Sets what the audit record and the caller are told: as of when.
        """
        most, served = self._stale_reads, context.op.served
        if (
            most is None
            or served is None
            or not context.handler.may_be_stale
            or not isinstance(error, UnavailableError)
            or error.code not in _DATABASE_AWAY
            or served.required > self._commits()
        ):
            return None
        staleness = most.staleness()
        if staleness > most.limit:
            return None
        context.as_of = self._world.now() - staleness
        return most

    def _require_recent(self) -> None:
        """Raise `UnavailableError` if a stale read has become too old while it was answered."""
        if self._stale_reads is None or self._stale_reads.staleness() > self._stale_reads.limit:
            raise UnavailableError("store_unavailable", "the database does not answer")

    async def knows(self, credential: str | None, origin: Origin) -> bool:
        """Whether step 1 would succeed: asked before a large body is decoded."""
        await self.catch_up()
        return await self._authenticator.knows(credential, origin)

    async def catch_up(self) -> None:
        """See what any process or agent acknowledged before. Raises `VaultError`."""
        if self._catch_up is not None:
            await self._catch_up()
        if not self._snapshots.is_current:
            await self._snapshots.refresh_stale()

    async def _see_commits(self, handler: Handler[P, R]) -> None:
        """Take over what others committed; a seal does not depend on the database."""
        try:
            if self._catch_up is not None:
                await self._catch_up()
        except VaultError:
            if not (handler.only_restricts or handler.anonymous):
                raise

    def _acquire_self_service(self, context: AuditContext[P, R]) -> None:
        """Count what anybody may do: else its records would fill the disk."""
        if self._self_service is not None:
            self._self_service.acquire(context.identity.first)

    async def _refresh_snapshots(self, handler: Handler[P, R]) -> None:
        try:
            await self._snapshots.refresh_stale()
        except VaultError:
            if not handler.only_restricts:
                raise

    async def _authenticate(self, context: AuditContext[P, R]) -> Identity:
        """The caller; background work is one too, and is recorded under its own name.

        Whoever shows no credential is held to the pace of those who fail.
        """
        op, handler = context.op, context.handler
        if op.service:
            return await self._load_service_identity(op.service)
        if handler.authenticate is not None:
            return await self._log_in(context, handler.authenticate)
        if handler.authorized_by_shares or handler.anonymous:
            self._count_failure(context)
            return OPERATOR if handler.authorized_by_shares else ANONYMOUS
        try:
            if op.inline is not None:
                return await self._inline_logins.authenticate(op.inline, op.origin)
            return await self._authenticator.authenticate(op.credential, op.origin)
        except AuthenticationError:
            self._count_failure(context)
            raise

    def _count_failure(self, context: AuditContext[P, R]) -> None:
        """Count a failure of the address. What it fails with is then recorded without a limit."""
        if self._failures is not None:
            self._failures.count_failure(context.op.origin.ip)
        context.is_paced = True

    async def _log_in(
        self,
        context: AuditContext[P, R],
        authenticate: Callable[[Operation[P, R]], Awaitable[LoginStep]],
    ) -> Identity:
        """Who logs in, by what is in the payload. Whatever fails counts for the address."""
        try:
            context.login = await authenticate(context.op)
        except Exception:
            self._count_failure(context)
            raise
        return context.login.identity

    async def _run_mutation(self, context: AuditContext[P, R], call: Call[P]) -> R:
        """Steps 3 to 6 of a mutation, whole: a caller who leaves does not cut them in two.

        Every wait inside is bounded: by the deadline of its store or audit request, or of its turn
        among changes of the same kind.
        """
        try:
            with trio.CancelScope(shield=True):
                if context.handler.before_intent is None:
                    await self._audit.record(context.intent_event())  # 3
                else:
                    await self._run_before_intent(context, context.handler.before_intent)
                result = await self._handle_mutation(context, call)  # 4
                context.is_done = True
                if context.op.served is not None:
                    context.op.served.add_write(self._commits())
                await self._record(context, context.success_event(result))  # 5
        except Exception as error:  # noqa: BLE001  # the same
            raise await self._record_failure(context, error) from None  # 5
        self._count(context.op.name, "ok")
        return result  # 6

    async def _run_before_intent(
        self, context: AuditContext[P, R], run: Callable[[], object]
    ) -> None:
        """Step 3 of a seal: it does not depend on the log."""
        run()
        try:
            await self._record(context, context.intent_event())
        except VaultError as error:
            log.error(  # noqa: TRY400  # one line tells all
                "request %s: %s goes on, its intent is not on record: %s",
                context.op.request_id,
                context.op.name,
                error.message,
            )

    async def _record(self, context: AuditContext[P, R], event: AuditEvent) -> None:
        """As the log's; of a seal for at most `SEAL_RECORD_TIMEOUT`."""
        if context.handler.before_intent is None:
            await self._audit.record(event)
            return
        try:
            with trio.fail_after(SEAL_RECORD_TIMEOUT):
                await self._audit.record(event)
        except trio.TooSlowError:
            raise UnavailableError(
                "audit_unavailable", "the audit log does not answer; see to its disk"
            ) from None

    async def _handle_mutation(self, context: AuditContext[P, R], call: Call[P]) -> R:
        """Step 4.

        If the secret changed since authorization, authorize again with its current facts.

        `MAX_DECISIONS` times at most: a caller that meets a change each time gets the conflict.
        """
        for _ in range(MAX_DECISIONS - 1):
            try:
                return await context.handler.run(call)
            except ConflictError as error:
                if error.code != CHANGED_MEANWHILE:
                    raise
            await self._refresh_snapshots(context.handler)
            if not self._authorizer.is_ready(context.identity):
                await self._authorizer.prepare(context.identity)
            facts = SecretFacts(exists=not call.facts.exists)  # nothing else was asked
            context.needs_facts = self._authorizer.needs_facts(context.identity)  # by now they may
            if call.needs_facts or context.needs_facts:
                facts = await self._lookup_facts(context.op.path, in_full=True)
            context.decision = await self._authorize(context, facts)
            call = replace(
                call, facts=facts, needs_facts=context.needs_facts, decision=context.decision
            )
        return await context.handler.run(call)

    async def _authorize(self, context: AuditContext[P, R], facts: SecretFacts) -> Decision:
        """Decide on the thing as it is and, where the operation changes them, on its new facts.

        Otherwise whoever may write tags could tag a thing out of the rule that protects it.
        """
        op, handler = context.op, context.handler
        if handler.capability is None:
            return ALLOWED
        wanted = handler.capability
        capability = context.capability = wanted(facts) if callable(wanted) else wanted
        looked_at = [facts]
        if handler.proposed_facts is not None and context.needs_facts:
            looked_at.append(handler.proposed_facts(op.payload, facts))
        for each in looked_at:
            for form in handler.api_forms(op.payload):
                access = self._decide(context, capability, each, form)
                if not context.decision.allowed:
                    await self._lift_refusal(context, access)
        return context.decision

    def _decide(
        self,
        context: AuditContext[P, R],
        capability: Capability,
        facts: SecretFacts,
        form: ApiForm,
    ) -> AccessRequest:
        """Decide by the policies; returns the question."""
        access = AccessRequest(
            capability=capability,
            path=context.op.path,
            identity=context.identity,
            origin=context.op.origin,
            facts=facts,
            now=self._world.now(),
            api=_api_access(context, capability),
            form=form,
        )
        context.decision = self._authorizer.decide(access)
        return access

    async def _lift_refusal(self, context: AuditContext[P, R], access: AccessRequest) -> None:
        """Raise `AuthorizationError`, with a ticket, unless a grant allows what is refused."""
        if self._grants is not None:
            context.decision = await self._grants.decide(access, context.decision)
            if context.decision.allowed:
                return
        ticket = self._tickets and self._tickets.issue(
            access, context.op.request_id, with_facts=context.needs_facts
        )
        raise _denied(context, ticket or "")

    async def _load_facts(self, context: AuditContext[P, R]) -> SecretFacts:
        handler = context.handler
        if not handler.targets_secret:
            return NO_FACTS
        context.needs_facts = self._authorizer.needs_facts(context.identity)
        if not callable(handler.capability) and not context.needs_facts:
            return NO_FACTS
        return await self._lookup_facts(context.op.path, in_full=context.needs_facts)

    async def _record_failure(self, context: AuditContext[P, R], error: Exception) -> VaultError:
        """Record that the operation was refused or failed; returns what to tell the caller."""
        failure = context.caller_error(error)
        if self._is_failure_recorded(context, failure):
            with trio.CancelScope(shield=True):
                try:
                    await self._record(context, context.failure_event(failure))
                except VaultError as refused:
                    self._count(context.op.name, refused.type)
                    raise unrecorded_error(failure, refused) from None
        self._count(context.op.name, failure.type)
        return failure

    def _is_failure_recorded(self, context: AuditContext[P, R], failure: VaultError) -> bool:
        """Whether there is a record to be made: none of what is done, few of one's refusals."""
        if (
            context.is_done
            or isinstance(failure, TooManyFailuresError)
            or not context.records_failure(failure)
        ):
            return False
        allowed = context.is_allowed and not isinstance(failure, RateLimitError)
        if allowed or context.is_paced or context.op.service or self._refusals is None:
            return True
        if context.identity == ANONYMOUS:  # it failed before it was asked who it is
            return self._refusals.allows(address_key(context.op.origin.ip))
        return self._refusals.allows(context.identity.first)

    def _count(self, operation: str, status: str) -> None:
        self._metrics.count_operation(operation, status)


def _api_access(context: AuditContext[P, R], capability: Capability) -> ApiAccess | None:
    """What policies in Vault's language are asked; there `create` is of a secret that is not yet.

    What is for administrators here needs `sudo` there, beside the verb.
    """
    api = context.op.api
    if api is None:
        return None
    creates = capability is Capability.CREATE and context.handler.targets_secret
    if creates and api.operation is AclCapability.UPDATE:
        return replace(api, operation=AclCapability.CREATE)
    return replace(api, needs_sudo=True) if capability is Capability.SUDO else api


class AuditRecorder(Protocol):
    """What the pipeline asks of the audit log."""

    async def record(self, event: AuditEvent) -> None:
        """As `vault.audit.broker.AuditBroker.record`: durable on return."""
        ...


class FactsLookup(Protocol):
    """Who knows the facts of a secret."""

    async def __call__(self, path: ResourcePath, *, in_full: bool) -> SecretFacts:
        """Its facts; unless `in_full`, whether it exists and perhaps no more."""
        ...


class Grants(Protocol):
    """Access that is granted for a time."""

    async def decide(self, access: AccessRequest, refused: Decision) -> Decision:
        """Return the refusal, or that a grant allows what was refused."""
        ...


class Snapshot(Protocol):
    """What decides on requests and is kept in another form than its rows."""

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


class StaleReads(NamedTuple):
    """Reads are answered from memory while the database does not answer (`storage.stale_reads`).

    `limit`, `staleness`: how old what is in memory may be at most, and how old it is, in ns.
    `memory_only`: for the length of the block the task asks no database.
    """

    limit: int
    staleness: Callable[[], int]
    memory_only: Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class PipelineParts:
    """What a pipeline is made of.

    `snapshots` are made current before each authentication and each decision. `catch_up`: so that
    what other processes acknowledged is seen. `commits`: the number of the last one that is seen.
    `stale_reads` None: nothing is answered while that fails.
    """

    authenticator: Authenticator
    inline_logins: InlineLogins
    authorizer: Authorizer
    limits: RateLimiter
    audit: AuditRecorder
    load_facts: FactsLookup
    load_service_identity: Callable[[str], Awaitable[Identity]]
    handlers: Handlers
    metrics: Metrics
    world: World
    failures: FailureLimits | None = None
    refusals: RecordLimits | None = None
    self_service: RateLimiter | None = None
    snapshots: SnapshotRefresher = SnapshotRefresher((), int)  # noqa: RUF009  # holds nothing
    catch_up: Callable[[], Awaitable[None]] | None = None
    commits: Callable[[], int] = int
    stale_reads: StaleReads | None = None
    tickets: DenialTickets | None = None
    grants: Grants | None = None


class AuditContext(Generic[P, R]):
    """What is known of one operation so far, for its audit records."""

    __slots__ = (
        "as_of",
        "capability",
        "decision",
        "handler",
        "identity",
        "is_allowed",
        "is_done",
        "is_paced",
        "login",
        "needs_facts",
        "op",
    )  # fmt: skip

    def __init__(self, op: Operation[P, R], handler: Handler[P, R]) -> None:
        self.op = op
        self.handler = handler
        self.identity: Identity = ANONYMOUS
        self.decision: Decision = ALLOWED
        self.capability: str = ""
        self.as_of = 0  # Unix ns, of a read that is answered from memory alone
        self.login: LoginStep | None = None  # of a login, once step 1 is done
        self.needs_facts = False  # tags or metadata of the secret can have a say
        self.is_allowed = False  # a policy allows it: what anybody may try has not been allowed
        self.is_paced = False  # it has counted as a failure of its address
        self.is_done = False  # a mutation has happened, whatever comes of its record

    def intent_event(self) -> AuditEvent:
        """Step 3: what is about to be done."""
        return self._event("intent", "ok", request=self._request())

    def success_event(self, result: R) -> AuditEvent:
        """Step 5 of an operation that was done."""
        show = self.handler.audit_response
        response = None if show is None else show(result)
        request = None if self.handler.mutates else self._request()
        code = STALE_READ if self.as_of else ""
        return self._event("outcome", "ok", code=code, request=request, response=response)

    def failure_event(self, error: VaultError) -> AuditEvent:
        """Step 5 of an operation that was refused or failed."""
        denied = isinstance(error, AuthenticationError | AuthorizationError | RateLimitError)
        request = self._request() if self.handler.only_refuses else None
        result = "denied" if denied else "failed"
        return self._event("outcome", result, code=error.code, request=request)

    def caller_error(self, error: Exception) -> VaultError:
        """The error that the caller gets for what has ended the operation."""
        failure = (
            error
            if isinstance(error, VaultError)
            else internal_error(self.op.request_id, self.op.name, error)
        )
        if self.is_done:  # the log has its intent; a record that it failed would be a lie
            return UnavailableError(
                "outcome_unrecorded",
                "it was done, but its outcome is not on record; look before you repeat it",
                outcome=OUTCOME_DONE,
            )
        return failure

    def records_failure(self, error: VaultError) -> bool:
        """Whether there is something to record: not a fault in words that nothing is done with."""
        return self.handler.is_audited or not isinstance(error, ValidationError)

    def _request(self) -> object:
        show = self.handler.audit_request
        return self.op.payload if show is None else show(self.op.payload)

    def _event(
        self,
        phase: str,
        result: str,
        *,
        code: str = "",
        request: object = None,
        response: object = None,
    ) -> AuditEvent:
        op, identity, origin = self.op, self.identity, self.op.origin
        return AuditEvent(
            request_id=op.request_id,
            phase=phase,
            operation=op.type.name,
            path=str(op.path),  # msgspec encodes exact types only
            capability=self.capability,
            actor_id=identity.id,
            actor_name=identity.name,
            method=identity.method,
            credential=identity.credential,
            ip=origin.ip,
            user_agent=origin.user_agent,
            dialect=origin.dialect,
            result=result,
            rule=self.decision.rule,
            alert=self.decision.alert,
            code=code,
            request=request,
            response=response,
        )


def _denied(context: AuditContext[P, R], ticket: str) -> AuthorizationError:
    """What the caller asked for and may not do, and a ticket for an administrator.

    Where it depends on whether something is there which capability that takes, both are named.
    """
    wanted = context.handler.capability
    capability = f"{Capability.CREATE} or {Capability.UPDATE}" if callable(wanted) else wanted
    path = str(context.op.path)
    if context.decision.reason == CONTROL_GROUP:
        return AuthorizationError(
            "control_group_unsupported",
            f"permission denied: {capability} on {path} takes the approval of a control group, "
            "which this agent cannot ask for; ask an administrator for a grant or for a policy "
            "without control_group",
            capability=capability,
            path=path,
            **({TICKET: ticket} if ticket else {}),
        )
    return AuthorizationError(
        "permission_denied",
        f"permission denied: {capability} on {path} is not allowed; ask for a policy that allows "
        "it (`freehold policy check` says what is missing)",
        capability=capability,
        path=path,
        **({TICKET: ticket} if ticket else {}),
    )


def unrecorded_error(failure: VaultError, refused: VaultError) -> VaultError:
    """The caller's error where a failure cannot be recorded, for the reason `refused`."""
    if "outcome" not in failure.details:
        return refused
    outcome = failure.details["outcome"]  # the log does not know what was done
    return UnavailableError(refused.code, refused.message, outcome=outcome)


def internal_error(request_id: str, operation: str, error: BaseException) -> InternalError:
    """Our fault: type and place are logged under the request id; the text could hold a secret."""
    log.error("request %s: %s failed with %s", request_id, operation, locate(error))
    return InternalError(
        "internal", f"internal error; the agent's log has it under request id {request_id}"
    )
