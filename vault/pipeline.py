"""The one way through the agent: every operation, from whatever dialect, takes these six steps.

    1 authenticate → 2 authorize → 3 record intent → 4 handle → 5 record outcome → 6 reply

A mutation's intent is durable before anything changes; every outcome, a refusal included, is
durable before the caller hears of it. When no audit sink accepts, the caller gets 503 and no value.
Only failed authentications beyond their pace share a record (`authz.failures`), and what looks at
nothing but the caller's own words leaves none unless it is refused (`Handler.recorded`).
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import trio

from actors.world import World
from protocols.errors import where
from vault.audit.record import AuditEvent
from vault.authn.authenticator import Authenticator
from vault.authz.access import Access, Decision
from vault.authz.authorizer import Authorizer
from vault.authz.failures import FailureLimits, TooManyFailuresError
from vault.authz.limits import RateLimits
from vault.barrier import SECRETS, Barrier
from vault.errors import (
    AuthenticationError,
    AuthorizationError,
    InternalError,
    RateLimitError,
    UnavailableError,
    ValidationError,
    VaultError,
)
from vault.handlers.handler import Call, Handler, Handlers
from vault.handlers.sight import facts_of
from vault.metrics import Metrics
from vault.model.identity import ANONYMOUS, Identity, service_identity
from vault.model.operation import NO_FACTS, Capability, Facts, Operation

log: Final = logging.getLogger("freehold.pipeline")
DONE: Final = "done"  # an outcome, beside `none` and `unknown` of the store
ALLOWED: Final = Decision(allowed=True)


class Recorder(Protocol):
    """What the pipeline asks of the audit log."""

    async def record(self, event: AuditEvent) -> None:
        """As `vault.audit.broker.Broker.record`: durable on return."""
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

    async def follow(self) -> None:
        """Make all current. Raises `VaultError` where one of them cannot be."""
        ended = self._ended()
        for one in self._held:
            if one.is_stale:
                await one.refresh()
        self._seen = ended


NOTHING_HELD: Final = Following((), int)


class Trail:
    """What is known so far of one operation on its way, for its audit records."""

    __slots__ = ("capability", "decision", "decisive", "done", "handler", "identity", "op")

    def __init__(self, op: Operation, handler: Handler) -> None:
        self.op = op
        self.handler = handler
        self.identity: Identity = ANONYMOUS
        self.decision: Decision = ALLOWED
        self.capability: str = ""
        self.decisive = False  # tags or metadata of the secret can have a say
        self.done = False  # a mutation has happened, whatever comes of its record

    def intent(self) -> AuditEvent:
        """Step 3: what is about to be done."""
        return self._event("intent", "ok", request=self._request())

    def succeeded(self, result: object) -> AuditEvent:
        """Step 5 of an operation that was done."""
        show = self.handler.response
        response = None if show is None else show(result)
        request = None if self.handler.mutates else self._request()
        return self._event("outcome", "ok", request=request, response=response)

    def failed(self, error: VaultError) -> AuditEvent:
        """Step 5 of an operation that was refused or failed."""
        denied = isinstance(error, AuthenticationError | AuthorizationError | RateLimitError)
        return self._event("outcome", "denied" if denied else "failed", code=error.code)

    def tells(self, error: VaultError) -> bool:
        """Whether there is something to record: not a fault in words that nothing is done with."""
        return self.handler.recorded or not isinstance(error, ValidationError)

    def _request(self) -> object:
        show = self.handler.request
        return self.op.payload if show is None else show(self.op.payload)

    def _event(self, phase: str, result: str, **more: Any) -> AuditEvent:
        op, identity, origin = self.op, self.identity, self.op.origin
        return AuditEvent(
            request_id=op.request_id,
            phase=phase,
            operation=op.name,
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
            **more,
        )


class Pipeline:
    """Runs operations. Exists only while the agent is unsealed; built by `vault.app`."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        authorizer: Authorizer,
        limits: RateLimits,
        audit: Recorder,
        barrier: Barrier,
        handlers: Handlers,
        metrics: Metrics,
        world: World,
        failures: FailureLimits | None = None,
        following: Following = NOTHING_HELD,
    ) -> None:
        """`following` is made current before each decision."""
        self._following = following
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._limits = limits
        self._failures = failures
        self._audit = audit
        self._barrier = barrier
        self._handlers = handlers
        self._metrics = metrics
        self._world = world

    async def run(self, op: Operation) -> object:
        """The handler's result, or a `VaultError`; in both cases the audit record is durable."""
        trail = Trail(op, self._handlers[op.name])
        try:
            trail.identity = await self._authenticate(op)  # 1
            self._limits.take(trail.identity.id)
            if not self._following.is_current:
                await self._follow(trail.handler)
            facts = await self._facts(trail)
            trail.decision = self._authorize(trail, facts)  # 2
            call = Call(op, trail.identity, facts, trail.decisive)
            if trail.handler.mutates:
                return await self._mutate(trail, call)
            result = await trail.handler.run(call)  # 4
        except Exception as error:  # noqa: BLE001  # whatever failed: recorded, then told
            raise await self._failed(trail, error) from None  # 5
        if trail.handler.recorded:
            await self._audit.record(trail.succeeded(result))  # 5
        self._count(op.name, "ok")
        return result  # 6

    async def _follow(self, handler: Handler) -> None:
        try:
            await self._following.follow()
        except VaultError:
            if not handler.closes:
                raise

    async def _authenticate(self, op: Operation) -> Identity:
        """The caller; background work is one too, and is recorded under its own name."""
        if op.service:
            return service_identity(op.service)
        try:
            return await self._authenticator.authenticate(op.credential, op.origin)
        except AuthenticationError:
            if self._failures is not None:
                self._failures.fail(op.origin.ip)
            raise

    async def _mutate(self, trail: Trail, call: Call) -> object:
        """Steps 3 to 5 of a mutation, whole: a caller who leaves does not cut them in two.

        Every wait inside is bounded: by the deadline of its store or audit request, or of its turn
        among changes of the same kind.
        """
        with trio.CancelScope(shield=True):
            await self._audit.record(trail.intent())  # 3
            result = await trail.handler.run(call)  # 4
            trail.done = True
            await self._audit.record(trail.succeeded(result))  # 5
        self._count(trail.op.name, "ok")
        return result  # 6

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
        if handler.proposes is not None and trail.decisive:
            self._decide(trail, capability, handler.proposes(op.payload, facts))
        return trail.decision

    def _decide(self, trail: Trail, capability: Capability, facts: Facts) -> None:
        trail.decision = self._authorizer.decide(
            Access(
                capability=capability,
                path=trail.op.path,
                identity=trail.identity,
                origin=trail.op.origin,
                facts=facts,
                now=self._world.now(),
            )
        )
        if not trail.decision.allowed:
            raise AuthorizationError("permission_denied", "permission denied")

    async def _facts(self, trail: Trail) -> Facts:
        handler = trail.handler
        if not handler.on_secret:
            return NO_FACTS
        trail.decisive = self._authorizer.needs_facts(trail.identity)
        if not callable(handler.capability) and not trail.decisive:
            return NO_FACTS
        row = await self._barrier.get(SECRETS, trail.op.path)
        return NO_FACTS if row is None else facts_of(row)

    async def _failed(self, trail: Trail, error: Exception) -> VaultError:
        """Record that the operation was refused or failed; returns what to tell the caller."""
        told = (
            error
            if isinstance(error, VaultError)
            else unexpected(trail.op.request_id, trail.op.name, error)
        )
        if trail.done:  # the log has its intent; a record that it failed would be a lie
            told = UnavailableError(
                "outcome_unrecorded",
                "it was done, but its outcome is not on record; look before you repeat it",
                outcome=DONE,
            )
        self._count(trail.op.name, told.type)
        if not trail.done and not isinstance(told, TooManyFailuresError) and trail.tells(told):
            with trio.CancelScope(shield=True):
                try:
                    await self._audit.record(trail.failed(told))
                except VaultError as refused:
                    if "outcome" in told.details:  # what was done is not for the log to tell
                        outcome = told.details["outcome"]
                        raise UnavailableError(
                            refused.code, refused.message, outcome=outcome
                        ) from None
                    raise
        return told

    def _count(self, operation: str, status: str) -> None:
        self._metrics.operation(operation, status)


def unexpected(request_id: str, doing: str, error: BaseException) -> InternalError:
    """Our fault: type and place are logged under the request id; the text could hold a secret."""
    log.error("request %s: %s failed with %s", request_id, doing, where(error))
    return InternalError(
        "internal", f"internal error; the agent's log has it under request id {request_id}"
    )
