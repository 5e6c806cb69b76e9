"""The pipeline: every call of the API takes these steps.

    1 authenticate → 2 authorize → 3 record intent → 4 handle → 5 record outcome → 6 reply

A mutation's intent is durable before anything changes, its outcome before the reply. Reads are not
recorded. Refusals of known callers are recorded at a bounded rate (`CallerRefusalLog`). Of
anonymous requests these are recorded, at a bounded rate, too (`AnonymousRefusalLog`): logins, good
and bad, requests by other sites' pages, and a session's cookie without its session key, which
another port may have read.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import trio
from msgspec.structs import replace

from control.authn.passwords import Passwords
from control.authn.sessions import SESSION_KEY, Sessions, check_same_origin
from control.errors import (
    AuthorizationError,
    ControlError,
    InternalError,
    NotFoundError,
    UnavailableError,
)
from control.model.operation import Operation
from control.model.people import Caller, Role
from control.services.audit_log import AuditLog
from control.services.refusals import AnonymousRefusalLog, CallerRefusalLog
from control.store.change_shield import shield_change, start_shielding
from control.store.read_scope import anonymous_scope, session_scope, use_read_scope
from protocols.errors import locate

T = TypeVar("T")
Handler = Callable[[Caller], Awaitable[T]]

COOKIE_WITHOUT_KEY: Final = "sessions.cookie_alone"
"""The operation under which the audit log says how many of these were only counted."""
ANONYMOUS: Final = Caller("", "", Role.VIEWER, "")
log: Final = logging.getLogger("freehold.control.pipeline")


class Pipeline:
    """Runs operations."""

    def __init__(
        self,
        sessions: Sessions,
        audit_log: AuditLog,
        passwords: Passwords,
        anonymous_refusals: AnonymousRefusalLog,
        caller_refusals: CallerRefusalLog,
    ) -> None:
        self._sessions = sessions
        self._passwords = passwords
        self._audit_log = audit_log
        self.anonymous_refusals = anonymous_refusals
        self.caller_refusals = caller_refusals

    async def run(self, op: Operation, handle: Handler[T]) -> T:
        """Return what `handle` returns for the caller; raise a `ControlError`."""
        caller, reader = ANONYMOUS, anonymous_scope(op.origin.ip)
        try:
            if not op.public:
                with use_read_scope(reader):
                    caller = await self._sessions.identify(op)  # 1
                reader = session_scope(caller.org, caller.token)
                if op.any_authenticated:  # on the record of where the caller acts
                    op = replace(op, org=caller.org)
                check_same_origin(op)  # 2
                authorize(op, caller)
                if not op.allows_api_tokens:
                    self._sessions.check_person(caller)
                if op.requires_recent_auth:
                    self._sessions.check_fresh(caller)
            if not op.mutates:
                with use_read_scope(reader):
                    return await handle(caller)  # 4, 6
        except Exception as error:  # noqa: BLE001  # whatever failed: recorded, then told
            raise await self._record_refusal(op, caller, error) from None
        with use_read_scope(reader):
            if not op.hashes_password:
                return await self._mutate(op, caller, handle)
            async with self._passwords.hash_turn(reader.group, reader.member):
                return await self._mutate(op, caller, handle)

    async def knows_caller(self, op: Operation) -> bool:
        """Whether step 1 would succeed: asked before a large body is decoded.

        `run` has to follow, whatever the answer: it raises the error.
        """
        try:
            with use_read_scope(anonymous_scope(op.origin.ip)):
                await self._sessions.identify(op)
        except ControlError:
            return False
        return True

    async def _mutate(self, op: Operation, caller: Caller, handle: Handler[T]) -> T:
        """Steps 3 to 5. A caller who disconnects does not interrupt them.

        A public operation has no step 3. Until it writes something it can be cancelled: nothing has
        happened then, and its place in queues is free for others.
        """
        with shield_change(started=not op.public):
            if not op.public:
                await self._audit_log.record(op, caller, "intent", "ok")  # 3
            try:
                result = await handle(caller)  # 4
            except Exception as error:  # noqa: BLE001
                told = _to_control_error(op, error)
                start_shielding()
                await self._record_failure(
                    *_resolved_operation(op, caller), _audit_result(told), told.code
                )  # 5
                raise told from None
            start_shielding()
            await self._record_outcome(op, caller)  # 5
        return result  # 6

    async def _record_outcome(self, op: Operation, caller: Caller) -> None:
        try:
            await self._audit_log.record(*_resolved_operation(op, caller), "outcome", "ok")
        except Exception as error:  # noqa: BLE001
            log.error("request %s: outcome not recorded: %s", op.request_id, locate(error))  # noqa: TRY400  # its text could hold a secret
            raise UnavailableError(
                "outcome_unrecorded",
                "the change was made, but its outcome could not be recorded: check before you "
                "repeat it",
            ) from None

    async def _record_refusal(
        self, op: Operation, caller: Caller, error: Exception
    ) -> ControlError:
        told = _to_control_error(op, error)
        if caller is ANONYMOUS and told.code == SESSION_KEY:
            op = _on_callers_log(op, caller)
        elif caller is ANONYMOUS and not (op.public and isinstance(told, AuthorizationError)):
            return told
        elif isinstance(told, OtherOrganizationError):
            # In the caller's own audit log: another organization's is not a stranger's to write to.
            told, op = NotFoundError(told.code, told.message), _on_callers_log(op, caller)
        elif not isinstance(told, AuthorizationError):
            return told
        if caller is ANONYMOUS or self.caller_refusals.try_reserve(op, caller):
            with trio.CancelScope(shield=True):
                await self._record_failure(op, caller, "denied", told.code)
        return told

    async def record_suppressed(self) -> None:
        """Record how many refusals were only counted. Raises `UnavailableError`."""
        await self.anonymous_refusals.record_suppressed()
        await self.caller_refusals.record_suppressed()

    async def _record_failure(self, op: Operation, caller: Caller, result: str, code: str) -> None:
        """Record a failure; for an anonymous caller at a bounded rate."""
        # A cookie alone is shown to any operation: all of them together have one pace.
        paced_as = COOKIE_WITHOUT_KEY if code == SESSION_KEY else op.name
        if caller.name or self.anonymous_refusals.try_reserve(paced_as, op.origin.ip):
            await self._audit_log.record(op, caller, "outcome", result, code)


class OtherOrganizationError(NotFoundError):
    """The caller named an organization that is not the caller's."""


def authorize(op: Operation, caller: Caller) -> None:
    """Raise `AuthorizationError`, or `NotFoundError` for another organization.

    The answer does not reveal whether another organization exists.
    """
    if op.any_authenticated or caller.is_platform:
        return
    if op.org and caller.org != op.org:
        raise OtherOrganizationError("not_found", "there is no such organization")
    if not op.org or not caller.role.covers(op.role):
        raise AuthorizationError(
            "permission_denied", f"permission denied: this needs the role {op.role}"
        )


def _resolved_operation(op: Operation, caller: Caller) -> tuple[Operation, Caller]:
    """The operation and caller of a public operation, as far as its handler found them."""
    found = op.resolved.caller
    if found is None:
        return op, caller
    return replace(op, org=op.org or found.org, target=op.target or found.name), found


def _on_callers_log(op: Operation, caller: Caller) -> Operation:
    return replace(op, org=caller.org, target="/".join(filter(None, (op.org, op.target))))


def _audit_result(error: ControlError) -> str:
    return "denied" if error.status in (401, 403) else "failed"


def _to_control_error(op: Operation, error: Exception) -> ControlError:
    if isinstance(error, ControlError):
        return error
    log.error("request %s: %s failed with %s", op.request_id, op.name, locate(error))
    return InternalError(
        "internal",
        f"internal error; the control plane's log has it under request id {op.request_id}",
    )
