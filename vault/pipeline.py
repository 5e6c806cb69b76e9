"""The one way through the agent: every operation, from whatever dialect, takes these six steps.

    1 authenticate → 2 authorize → 3 record intent → 4 handle → 5 record outcome → 6 reply

A mutation's intent is durable before anything changes; every outcome, a refusal included, is
durable before the caller hears of it. When no audit sink accepts, the caller gets 503 and no value.
Only failed authentications and refusals beyond their pace share a record (`authz.failures`), and
what looks at nothing but the caller's own words leaves none unless it is refused
(`Handler.recorded`).
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import trio
from msgspec.structs import replace

from actors.world import World
from vault.audit.record import AuditEvent
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
    VaultError,
)
from vault.handlers.handler import CHANGED_MEANWHILE, Call, Handler, Handlers
from vault.handlers.visibility import secret_facts
from vault.metrics import Metrics
from vault.model.identity import ANONYMOUS, OPERATOR, Identity, service_identity
from vault.model.operation import NO_FACTS, Capability, Facts, Operation, Origin
from vault.model.path import ResourcePath
from vault.trail import ALLOWED, Trail, unrecorded


class Recorder(Protocol):
    """What the pipeline asks of the audit log."""

    async def record(self, event: AuditEvent) -> None:
        """As `vault.audit.broker.AuditBroker.record`: durable on return."""
        ...


class Look(Protocol):
    """Who knows the facts of a secret."""

    async def __call__(self, path: ResourcePath, *, decisive: bool) -> Facts:
        """Its facts; unless `decisive`, whether it is there and no more, which may be a guess."""
        ...


class Held(Protocol):
    """What decides on requests and is held in another form than the rows that it is made of."""

    @property
    def is_stale(self) -> bool:
        """Whether what is stored may have changed since it was read."""
        ...

    async def refresh(self) -> None:
        """Read it again. Raises `VaultError`: then nothing can be decided."""
        ...


class Following:
    """What is held, made to follow what is stored. A look at one number while nothing has ended."""

    def __init__(self, held: Sequence[Held], ended: Callable[[], int]) -> None:
        """`ended` counts the transactions that are over; only these make anything stale."""
        self._held = held
        self._ended = ended
        self._seen = -1  # transactions that were over when nothing was stale

    @property
    def is_current(self) -> bool:
        """Whether there is nothing to do: each request asks."""
        return self._seen == self._ended()

    @property
    def is_stale(self) -> bool:
        """Whether one of them has to be refreshed; in any thread, dearer than `is_current`."""
        return any(one.is_stale for one in self._held)

    async def follow(self) -> None:
        """Make all current. Raises `VaultError` where one of them cannot be."""
        ended = self._ended()
        for one in self._held:
            if one.is_stale:
                await one.refresh()
        self._seen = ended


async def stored_facts(
    barrier: Barrier,
    path: ResourcePath,
    *,
    decisive: bool,  # noqa: ARG001  # as `Look` has it
) -> Facts:
    """The facts as they are stored."""
    row = await barrier.get(SECRETS, path)
    return NO_FACTS if row is None else secret_facts(row)


DECISIONS: Final = 10  # on one operation whose secret comes and goes, or changes, meanwhile

_PACED_BY_ADDRESS: Final = (ANONYMOUS, OPERATOR)  # each call of theirs, by `Pipeline._failures`

NOTHING_HELD: Final = Following((), int)


def _denied(trail: Trail) -> AuthorizationError:
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
        audit: Recorder,
        facts: Look,
        handlers: Handlers,
        metrics: Metrics,
        world: World,
        failures: FailureLimits | None = None,
        refusals: RecordLimits | None = None,
        self_service: RateLimiter | None = None,
        following: Following = NOTHING_HELD,
    ) -> None:
        """Facts are looked up with `facts`; `following` is made current before each decision."""
        self._refusals = refusals
        self._self_service = self_service
        self._following = following
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._limits = limits
        self._failures = failures
        self._audit = audit
        self._look = facts
        self._handlers = handlers
        self._metrics = metrics
        self._world = world

    async def run(self, op: Operation) -> object:
        """The handler's result, or a `VaultError`; in both cases the audit record is durable."""
        trail = Trail(op, self._handlers[op.name])
        try:
            trail.identity = await self._authenticate(op, trail.handler)  # 1
            self._limits.acquire(trail.identity.id)
            if trail.handler.is_self_service:
                self._take_own(trail)
            if not self._following.is_current:
                await self._follow(trail.handler)
            if not self._authorizer.is_ready(trail.identity):
                await self._authorizer.prepare(trail.identity)
            facts = await self._authorized(trail)  # 2
            if trail.handler.precondition is not None:
                await trail.handler.precondition(trail.identity)
            trail.allowed = trail.handler.capability is not None
        except Exception as error:  # noqa: BLE001  # whatever failed: recorded, then told
            raise await self._failed(trail, error) from None  # 5
        call = Call(op, trail.identity, facts, trail.decisive)
        if trail.handler.mutates:
            return await self._carry_out(trail, call)  # 3 to 6
        try:
            result = await trail.handler.run(call)  # 4
            if trail.handler.discloses is not None and not trail.handler.discloses(result):
                self._take_own(trail)
        except Exception as error:  # noqa: BLE001  # the same
            raise await self._failed(trail, error) from None  # 5
        if trail.handler.is_audited:
            try:
                await self._audit.record(trail.succeeded(result))  # 5
            except VaultError as refused:
                self._count(op.name, refused.type)
                raise
        self._count(op.name, "ok")
        return result  # 6

    async def knows(self, credential: str | None, origin: Origin) -> bool:
        """Whether step 1 would succeed: asked before a large body is decoded."""
        return await self._authenticator.knows(credential, origin)

    def _take_own(self, trail: Trail) -> None:
        """Count what anybody may do: else its records would fill the disk."""
        if self._self_service is not None:
            self._self_service.acquire(trail.identity.first)

    async def _follow(self, handler: Handler) -> None:
        try:
            await self._following.follow()
        except VaultError:
            if not handler.only_restricts:
                raise

    async def _authenticate(self, op: Operation, handler: Handler) -> Identity:
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

    async def _carry_out(self, trail: Trail, call: Call) -> object:
        """Steps 3 to 6 of a mutation, whole: a caller who leaves does not cut them in two.

        Every wait inside is bounded: by the deadline of its store or audit request, of a worker's
        question to the leader, or of its turn among changes of the same kind.
        """
        try:
            with trio.CancelScope(shield=True):
                await self._audit.record(trail.intent())  # 3
                result = await self._changed(trail, call)  # 4
                trail.done = True
                await self._audit.record(trail.succeeded(result))  # 5
        except Exception as error:  # noqa: BLE001  # the same
            raise await self._failed(trail, error) from None  # 5
        self._count(trail.op.name, "ok")
        return result  # 6

    async def _changed(self, trail: Trail, call: Call) -> object:
        """Step 4. What is not so any more, or was guessed wrong, is decided again, on what is so.

        `DECISIONS` times in all: whoever has met another change each time is told so.
        """
        for _ in range(DECISIONS - 1):
            try:
                return await trail.handler.run(call)
            except ConflictError as error:
                if error.code != CHANGED_MEANWHILE:
                    raise
            await self._follow(trail.handler)
            if not self._authorizer.is_ready(trail.identity):
                await self._authorizer.prepare(trail.identity)
            facts = Facts(exists=not call.facts.exists)  # nothing else was asked
            trail.decisive = self._authorizer.needs_facts(trail.identity)  # by now they may
            if call.needs_facts or trail.decisive:
                facts = await self._look(trail.op.path, decisive=True)
            trail.decision = self._authorize(trail, facts)
            call = replace(call, facts=facts, needs_facts=trail.decisive)
        return await trail.handler.run(call)

    async def _authorized(self, trail: Trail) -> Facts:
        """Decide, and return on what. A guess may allow it; a no is made on what is so."""
        facts = await self._facts(trail)
        try:
            trail.decision = self._authorize(trail, facts)
        except AuthorizationError:
            if not facts.guess:
                raise
            facts = await self._look(trail.op.path, decisive=True)
            trail.decision = self._authorize(trail, facts)
        return facts

    def _authorize(self, trail: Trail, facts: Facts) -> Decision:
        """Decide on the thing as it is and, where the operation changes them, on its new facts.

        Otherwise whoever may write tags could tag a thing out of the rule that protects it.
        """
        op, handler = trail.op, trail.handler
        if handler.capability is None:
            return ALLOWED
        wanted = handler.capability
        capability = trail.capability = wanted(facts) if callable(wanted) else wanted
        self._decide(trail, capability, facts)
        if handler.proposed_facts is not None and trail.decisive:
            self._decide(trail, capability, handler.proposed_facts(op.payload, facts))
        return trail.decision

    def _decide(self, trail: Trail, capability: Capability, facts: Facts) -> None:
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

    async def _facts(self, trail: Trail) -> Facts:
        handler = trail.handler
        if not handler.targets_secret:
            return NO_FACTS
        trail.decisive = self._authorizer.needs_facts(trail.identity)
        if not callable(handler.capability) and not trail.decisive:
            return NO_FACTS
        return await self._look(trail.op.path, decisive=trail.decisive)

    async def _failed(self, trail: Trail, error: Exception) -> VaultError:
        """Record that the operation was refused or failed; returns what to tell the caller."""
        told = trail.told(error)
        if self._tells(trail, told):
            with trio.CancelScope(shield=True):
                try:
                    await self._audit.record(trail.failed(told))
                except VaultError as refused:
                    self._count(trail.op.name, refused.type)
                    raise unrecorded(told, refused) from None
        self._count(trail.op.name, told.type)
        return told

    def _tells(self, trail: Trail, told: VaultError) -> bool:
        """Whether there is a record to be made: none of what is done, few of one's refusals."""
        if trail.done or isinstance(told, TooManyFailuresError) or not trail.tells(told):
            return False
        allowed = trail.allowed and not isinstance(told, RateLimitError)
        if allowed or trail.identity in _PACED_BY_ADDRESS or self._refusals is None:
            return True
        return self._refusals.allows(trail.identity.first)

    def _count(self, operation: str, status: str) -> None:
        self._metrics.operation(operation, status)
