"""What all connections of one server hold in common."""

import json
from dataclasses import dataclass

import trio

from protocols.http.admission import AdmissionControl, BodyBudget, RefusalBackoff
from protocols.http.asgi import (
    Address,
    App,
    Headers,
    MakeOverloadResponse,
    MakeRefusal,
    MakeUnreadRefusal,
)
from protocols.http.coarse_clock import CoarseClock
from protocols.http.errors import RefusedError
from protocols.http.limits import Limits
from protocols.http.response_budget import ResponseBudget

_READS = frozenset({"GET", "HEAD", "LIST", "OPTIONS"})
"""Methods that change nothing (RFC 9110 section 9.2.1; LIST is Vault's)."""
_NO_REQUEST = frozenset({408, 500, 503})
"""Statuses of refusals that say nothing of a request: none came, or it was not looked at."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """The application and the rules it is served by."""

    app: App
    limits: Limits
    clock: CoarseClock
    refuse: MakeRefusal
    admission: AdmissionControl
    body_budget: BodyBudget
    response_budget: ResponseBudget
    refusal_backoff: RefusalBackoff
    turn_away: MakeOverloadResponse
    refuse_unread: MakeUnreadRefusal | None = None
    any_path: bool = False
    """As `build_scope` has it."""

    def refusal(self, error: RefusedError, target: bytes) -> tuple[Headers, bytes]:
        """Headers and body of the server's own answer to a request for `target`."""
        if error.status == 503:  # noqa: PLR2004 - not the client's fault, so it hears when to return
            return self.turn_away(target) or overload_response(target)
        return self.refuse(error.status, error.code, error.message)

    async def unread_refusal(
        self, error: RefusedError, target: bytes, client: Address | None
    ) -> tuple[int, Headers, bytes]:
        """Status, headers and body for a request that the application has not seen.

        503 if the application has no answer after `linger_seconds`: no handler runs, so nothing
        else would end the wait, be the client there or not.
        """
        if self.refuse_unread is None or error.status in _NO_REQUEST:
            return error.status, *self.refusal(error, target)
        with trio.move_on_after(self.limits.linger_seconds):
            return await self.refuse_unread(error, client)
        late = RefusedError(503, "overloaded", "the refusal could not be put on record in time")
        return late.status, *self.refusal(late, target)

    def is_mutating(self, method: str, target: bytes) -> bool:
        """Whether this has one of the places for what may change something; the urgent has not."""
        return method not in _READS and self.turn_away(target) is not None

    def overload_error(self, target: bytes, *, changes: bool) -> tuple[Headers, bytes] | None:
        """None when a request was let in, else what to answer with 503.

        Whoever was let in is counted in `admission` until `release_slot`.
        """
        if self.admission.try_admit(mutating=changes):
            return None
        answer = self.turn_away(target)
        if answer is None:
            if self.admission.try_admit_urgent():
                return None
            answer = overload_response(target)
        self.admission.count_refusals()
        return answer


def refuse_as_json(status: int, code: str, message: str) -> tuple[Headers, bytes]:  # noqa: ARG001 - as MakeRefusal has it
    """The default answer to a refused request: `{"errors": [message]}`."""
    return [(b"content-type", b"application/json")], json.dumps({"errors": [message]}).encode()


def overload_response(target: bytes) -> tuple[Headers, bytes]:  # noqa: ARG001 - as MakeOverloadResponse has it
    """The default: nothing is urgent."""
    headers, body = refuse_as_json(503, "overloaded", "too many requests; wait and try again")
    return [*headers, (b"retry-after", b"1")], body
