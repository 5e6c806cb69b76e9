"""What is known of one operation on its way, and what is told and recorded of its end."""

import logging
from typing import Any, Final, Generic

from protocols.errors import locate
from vault.audit.record import AuditEvent
from vault.authz.access import Decision
from vault.errors import (
    AuthenticationError,
    AuthorizationError,
    InternalError,
    RateLimitError,
    UnavailableError,
    ValidationError,
    VaultError,
)
from vault.handlers.handler import Handler
from vault.model.identity import ANONYMOUS, Identity
from vault.model.operation import Operation, P, R

log: Final = logging.getLogger("freehold.pipeline")
OUTCOME_DONE: Final = "done"  # an outcome, beside `none` and `unknown` of the store
ALLOWED: Final = Decision(allowed=True)


class AuditContext(Generic[P, R]):
    """What is known so far of one operation on its way, for its audit records."""

    __slots__ = (
        "capability",
        "decision",
        "handler",
        "identity",
        "is_allowed",
        "is_done",
        "needs_facts",
        "op",
    )  # fmt: skip

    def __init__(self, op: Operation[P, R], handler: Handler[P, R]) -> None:
        self.op = op
        self.handler = handler
        self.identity: Identity = ANONYMOUS
        self.decision: Decision = ALLOWED
        self.capability: str = ""
        self.needs_facts = False  # tags or metadata of the secret can have a say
        self.is_allowed = False  # a policy allows it: what anybody may try has not been allowed
        self.is_done = False  # a mutation has happened, whatever comes of its record

    def intent_event(self) -> AuditEvent:
        """Step 3: what is about to be done."""
        return self._event("intent", "ok", request=self._request())

    def success_event(self, result: R) -> AuditEvent:
        """Step 5 of an operation that was done."""
        show = self.handler.audit_response
        response = None if show is None else show(result)
        request = None if self.handler.mutates else self._request()
        return self._event("outcome", "ok", request=request, response=response)

    def failure_event(self, error: VaultError) -> AuditEvent:
        """Step 5 of an operation that was refused or failed."""
        denied = isinstance(error, AuthenticationError | AuthorizationError | RateLimitError)
        request = self._request() if self.handler.only_refuses else None
        result = "denied" if denied else "failed"
        return self._event("outcome", result, code=error.code, request=request)

    def caller_error(self, error: Exception) -> VaultError:
        """What the caller is told of what has ended the operation."""
        told = (
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
        return told

    def records_failure(self, error: VaultError) -> bool:
        """Whether there is something to record: not a fault in words that nothing is done with."""
        return self.handler.is_audited or not isinstance(error, ValidationError)

    def _request(self) -> object:
        show = self.handler.audit_request
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


def unrecorded_error(told: VaultError, refused: VaultError) -> VaultError:
    """What is told when that an operation failed cannot be recorded, for the reason `refused`."""
    if "outcome" not in told.details:
        return refused
    outcome = told.details["outcome"]  # what was done is not for the log to tell
    return UnavailableError(refused.code, refused.message, outcome=outcome)


def internal_error(request_id: str, doing: str, error: BaseException) -> InternalError:
    """Our fault: type and place are logged under the request id; the text could hold a secret."""
    log.error("request %s: %s failed with %s", request_id, doing, locate(error))
    return InternalError(
        "internal", f"internal error; the agent's log has it under request id {request_id}"
    )
