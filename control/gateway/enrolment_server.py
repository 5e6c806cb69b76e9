"""Certificates over HTTPS, for agents, in four ways (docs/spec/pki.md, Messages).

It is apart from the REST API: callers are agents, which authenticate with a token, a person's
approval, a certificate or a link key. Grants are recorded before they are sent, refusals at a
bounded rate (`RefusalLog`).
"""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace

from actors import World
from control.ca.certificate_authority import CertificateAuthority
from control.ca.clock_guard import CLOCK_BEHIND
from control.errors import (
    AuthenticationError,
    ControlError,
    InternalError,
    MethodError,
    NotFoundError,
    RateLimitError,
    UnavailableError,
    ValidationError,
)
from control.model.operation import Operation, Origin
from control.model.records import Severity
from control.services.alerts import Alerts
from control.services.audit_log import AuditLog
from control.services.refusals import RefusalLog
from protocols.errors import locate
from protocols.instant import SECOND, rfc3339
from protocols.link_transport.https_request import HttpRequest, HttpResponse
from protocols.openapi import JSON, ErrorBody
from protocols.pki.chain import VerifiedAgent, read_agent
from protocols.pki.errors import ChainError, CsrError, PkiNameError
from protocols.pki.messages import (
    EnrolRequest,
    Grant,
    JoinRequest,
    Pending,
    RejoinRequest,
    RenewRequest,
    decode_request,
    encode_message,
)
from protocols.pki.names import AgentName

PATH_PREFIX: Final = "/link/v1/"
RETRY_AFTER: Final = 5  # seconds
ALERT_INTERVAL: Final = 3600.0  # seconds
REMEMBERED: Final = 20_000
"""Agents whose newest certificate is known to be on record; the oldest is forgotten first."""

EnrolmentMethod: TypeAlias = Callable[[HttpRequest], Awaitable[Grant | Pending]]
log: Final = logging.getLogger("freehold.control.enrolment")


class EnrolmentServer:
    """`on_admitted` is called with the organization of each new agent."""

    def __init__(
        self,
        ca: CertificateAuthority,
        audit_log: AuditLog,
        world: World,
        on_admitted: Callable[[str], None],
        alerts: Alerts,
    ) -> None:
        self._ca = ca
        self._audit_log = audit_log
        self._world = world
        self._on_admitted = on_admitted
        self._alerts = alerts
        self._alarmed: dict[str, float] = {}
        self._recorded: OrderedDict[AgentName, int] = OrderedDict()
        self.refusals = RefusalLog(audit_log, world, "link.refused")
        self._methods: Mapping[str, EnrolmentMethod] = {
            "enrol": self._enrol,
            "join": self._join,
            "renew": self._renew,
            "rejoin": self._rejoin,
        }

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer one request; never raises for what a client sends."""
        request_id = self._world.new_id()
        try:
            answer = await self._answer(request, request_id)
        except Exception as error:  # noqa: BLE001  # logged, and told as ours
            told = _to_control_error(error, request_id)
            if self.refusals.should_record(told, request.source):
                await self._record_refusal(told, request, request_id)
            return self._refusal_response(told, request_id)
        status = 202 if isinstance(answer, Pending) else 200
        return HttpResponse(status, _headers(request_id), encode_message(answer))

    def _refusal_response(self, told: ControlError, request_id: str) -> HttpResponse:
        headers = _headers(request_id)
        if isinstance(told, RateLimitError | UnavailableError):
            after = told.details.get("retry_after", RETRY_AFTER)
            headers.append((b"retry-after", str(after).encode()))
        if isinstance(told, MethodError):
            headers.append((b"allow", b"POST"))
        body = ErrorBody(
            type=told.type,
            code=told.code,
            message=told.message,
            request_id=request_id,
            timestamp=rfc3339(self._world.now() // SECOND * SECOND),
            details=dict(told.details),
        )
        return HttpResponse(told.status, headers, msgspec.json.encode(body))

    async def _answer(self, asked: HttpRequest, request_id: str) -> Grant | Pending:
        way = asked.path.removeprefix(PATH_PREFIX)
        if PATH_PREFIX + way != asked.path or way not in self._methods:
            raise NotFoundError("not_found", "there is no such path")
        if asked.method != "POST":
            raise MethodError("method_not_allowed", "this path has POST alone", allow=["POST"])
        try:
            answer = await self._methods[way](asked)
        except CsrError as error:
            raise ValidationError(error.code, str(error)) from None
        except UnavailableError as error:
            if error.code == CLOCK_BEHIND:
                await self._fire_alert(str(error.details["org"]), error.message)
            raise
        if isinstance(answer, Grant):
            await self._record_grant(way, answer, asked, request_id)
        return answer

    async def _fire_alert(self, org: str, message: str) -> None:
        """Alert the organization's people, once an hour, that no agent of theirs can enrol."""
        now, before = self._world.monotonic(), self._alarmed.get(org)
        if before is None or now - before >= ALERT_INTERVAL:
            self._alarmed[org] = now
            made = self._alerts.new_alert(org, "", CLOCK_BEHIND, Severity.CRITICAL, message)
            await self._alerts.fire_alerts(made)

    async def _record_grant(
        self, way: str, grant: Grant, asked: HttpRequest, request_id: str
    ) -> None:
        """Record a grant, once for each certificate: repetitions write no more records."""
        name = AgentName(grant.org, grant.vault)
        if self._recorded.get(name) == grant.generation:
            return
        op = _operation(way, asked, request_id, grant.org, grant.vault)
        detail = {"generation": grant.generation}
        await self._audit_log.record(replace(op, detail=detail), None, "outcome", "ok")
        self._recorded[name] = grant.generation
        self._recorded.move_to_end(name)
        if len(self._recorded) > REMEMBERED:
            self._recorded.popitem(last=False)
        if way in {"enrol", "join"}:
            self._on_admitted(grant.org)

    async def _record_refusal(
        self, told: ControlError, asked: HttpRequest, request_id: str
    ) -> None:
        """Record a refusal.

        It stands whether the record can be written or not: nothing was done.
        """
        way = asked.path.removeprefix(PATH_PREFIX)
        try:
            org, target = await self._proven_name(way, asked)
            await self.refusals.record_refusal(
                _operation(way, asked, request_id, org, target), told
            )
        except ControlError as error:
            log.error("request %s: refusal not recorded: %s", request_id, locate(error))  # noqa: TRY400  # its text could hold a secret

    async def _proven_name(self, way: str, asked: HttpRequest) -> tuple[str, str]:
        """Organization and target, as far as they are proven; an unproven name is the target.

        A stranger writes to an organization's audit log only by a token that was made for it.
        """
        try:
            if way == "renew" and asked.certificate is not None:
                return read_agent(asked.certificate).name
            if way == "enrol":
                token = decode_request(EnrolRequest, asked.body).token
                return await self._ca.enrolment.token_subject(token) or ("", "")
            if way == "rejoin":
                said = decode_request(RejoinRequest, asked.body)
                return "", "/".join(AgentName.from_slugs(said.org, said.vault))
        except (ChainError, CsrError, PkiNameError):
            pass  # what names nobody is of nobody
        return "", ""

    async def _enrol(self, asked: HttpRequest) -> Grant:
        return await self._ca.enrolment.enrol_agent(decode_request(EnrolRequest, asked.body))

    async def _join(self, asked: HttpRequest) -> Grant | Pending:
        return await self._ca.join_requests.submit_request(
            decode_request(JoinRequest, asked.body), asked.source
        )

    async def _renew(self, asked: HttpRequest) -> Grant:
        return await self._ca.renewal.renew(
            _peer(asked.certificate), decode_request(RenewRequest, asked.body)
        )

    async def _rejoin(self, asked: HttpRequest) -> Grant:
        return await self._ca.renewal.rejoin(decode_request(RejoinRequest, asked.body))


def _operation(way: str, asked: HttpRequest, request_id: str, org: str, target: str) -> Operation:
    return Operation(
        name=f"link.{way}",
        request_id=request_id,
        credential=None,
        origin=Origin(ip=asked.source),
        org=org,
        target=target,
        mutates=True,
    )


def _peer(certificate: bytes | None) -> VerifiedAgent:
    """The agent whose certificate TLS has verified. Raises `AuthenticationError`."""
    if certificate is None:
        raise AuthenticationError("certificate_missing", "show the agent's present certificate")
    try:
        return read_agent(certificate)
    except ChainError:
        raise AuthenticationError("certificate_refused", "this is not an agent's") from None


def _to_control_error(error: Exception, request_id: str) -> ControlError:
    if isinstance(error, ControlError):
        return error
    log.error("request %s failed with %s", request_id, locate(error))
    return InternalError(
        "internal",
        f"internal error; the control plane's log has it under request id {request_id}",
    )


def _headers(request_id: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", JSON.encode()),
        (b"cache-control", b"no-store"),
        (b"x-request-id", request_id.encode()),
    ]
