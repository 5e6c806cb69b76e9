"""`/api/v1/audit`: search the audit log, prove a record, see how the log does."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from protocols.instant import parse_rfc3339, rfc3339, rfc3339_or_none
from vault import operations
from vault.audit.proof import Proof
from vault.audit.query import MAX_PAGE, AuditQuery
from vault.audit.verification import VerificationState
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_path
from vault.edge.request import Request
from vault.errors import ValidationError
from vault.model.audit_row import AuditRow
from vault.model.operation import OperationType
from vault.model.payloads import HashAuditValue, Nothing, ReadAuditRecord

audit = Endpoints("audit", "What happened: search it, prove a record, see how the log does.")


class EventBody(Struct, frozen=True, kw_only=True):
    """An event without what is hashed in it, texts cut; the record `seq` itself is what counts.

    Each `node` has a log of its own, with numbers of its own.
    """

    seq: int
    time: str
    request_id: str
    phase: str
    operation: str
    path: str
    capability: str
    actor_id: str
    actor_name: str
    method: str
    credential: str
    ip: str
    user_agent: str
    dialect: str
    result: str
    code: str
    rule: str
    node: str

    @classmethod
    def of(cls, row: AuditRow) -> "EventBody":
        """From what a search found."""
        fields = {name: getattr(row, name) for name in cls.__struct_fields__ if name != "time"}
        return cls(time=rfc3339(row.time), **fields)


class EventPage(Struct, frozen=True):
    """Some events, newest first, none it may be; an empty `cursor` marks the last page."""

    events: list[EventBody]
    cursor: str


class EventQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Filters, all of which must hold. `since` and `until` are RFC 3339; `path` is a prefix.

    `actor` is an id or a name, as the record has them; by `actor_id` a long log is searched faster.
    """

    since: str = ""
    until: str = ""
    actor_id: str = ""
    actor: str = ""
    operation: str = ""
    path: str = ""
    result: Literal["", "ok", "denied", "failed"] = ""
    request_id: str = ""
    cursor: str = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = 100


class SinkBody(Struct, frozen=True, kw_only=True):
    """One durable copy of the log. `error` is that of its last attempt, empty when it works."""

    name: str
    size: int
    behind: bool
    on_reserve: bool
    error: str


class StatusBody(Struct, frozen=True, kw_only=True):
    """The log: how many records are acknowledged, and how each copy does."""

    size: int
    sinks: list[SinkBody]
    trouble: str


class VerificationBody(Struct, frozen=True, kw_only=True):
    """A check of the whole log, by every hash and signature.

    `whole`: `size` records, those from `first` on here, under `root`, signed by `public_key`
    (base64). `damaged`: `fault` names the first bad record and what is wrong with it.
    """

    state: Literal["never", "running", "whole", "damaged", "failed"]
    checked: int
    size: int
    first: int
    segments: int
    root: str
    public_key: str
    fault: str
    began_at: str | None
    ended_at: str | None

    @classmethod
    def of(cls, found: VerificationState) -> "VerificationBody":
        """From the state of a check."""
        fields = msgspec.structs.asdict(found)
        began, ended = fields.pop("began"), fields.pop("ended")
        return cls(**fields, began_at=rfc3339_or_none(began), ended_at=rfc3339_or_none(ended))


class ValueBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Any JSON value."""

    value: Any


class HashBody(Struct, frozen=True):
    """What the value reads as in every record."""

    hash: str


@audit.add(
    "GET", "audit/events", "Search the events, newest first", query=EventQuery, returns=EventPage
)
async def events(dialect: Dialect, request: Request, *, query: EventQuery) -> EventPage:
    payload = AuditQuery(
        since=parse_rfc3339(query.since, "since") if query.since else 0,
        until=parse_rfc3339(query.until, "until") if query.until else 0,
        actor_id=query.actor_id,
        actor=query.actor,
        operation=query.operation,
        path=query.path,
        result=query.result,
        request_id=query.request_id,
        cursor=query.cursor,
        limit=query.limit,
    )
    page = await dialect.run_operation(
        request, operations.QUERY_AUDIT, system_path("audit"), payload
    )
    return EventPage(events=[EventBody.of(row) for row in page.events], cursor=page.cursor)


@audit.add(
    "GET",
    "audit/proofs/{seq}",
    "A record with its inclusion proof (RFC 9162) and the signed checkpoint it leads to",
    returns=Proof,
)
async def proof(dialect: Dialect, request: Request, seq: str) -> Proof:
    payload = ReadAuditRecord(seq=_number(seq))
    return await dialect.run_operation(
        request, operations.PROVE_AUDIT_RECORD, system_path("audit"), payload
    )


@audit.add("GET", "audit/status", "How the log does", returns=StatusBody)
async def status(dialect: Dialect, request: Request) -> StatusBody:
    state = await dialect.run_operation(
        request, operations.READ_AUDIT_STATUS, system_path("audit"), Nothing()
    )
    sinks = [
        SinkBody(
            name=sink.name,
            size=sink.size,
            behind=sink.behind,
            on_reserve=sink.on_reserve,
            error=sink.error,
        )
        for sink in state.sinks
    ]
    return StatusBody(size=state.size, sinks=sinks, trouble=state.trouble)


@audit.add(
    "POST", "audit/verification", "Have the whole log checked; look at it again for the result",
    returns=VerificationBody,
)  # fmt: skip
async def verify(dialect: Dialect, request: Request) -> VerificationBody:
    return await _verification(dialect, request, operations.VERIFY_AUDIT)


@audit.add(
    "GET", "audit/verification", "How far the check is, or what it found", returns=VerificationBody
)
async def verification(dialect: Dialect, request: Request) -> VerificationBody:
    return await _verification(dialect, request, operations.READ_AUDIT_VERIFICATION)


async def _verification(
    dialect: Dialect, request: Request, operation: OperationType[Nothing, VerificationState]
) -> VerificationBody:
    found = await dialect.run_operation(
        request, operation, system_path("audit-verification"), Nothing()
    )
    return VerificationBody.of(found)


@audit.add(
    "POST", "audit/hash", "What a value reads as in the log", body=ValueBody, returns=HashBody
)
async def hash_(dialect: Dialect, request: Request, *, body: ValueBody) -> HashBody:
    payload = HashAuditValue(value=body.value)
    return HashBody(
        hash=await dialect.run_operation(
            request, operations.HASH_AUDIT_VALUE, system_path("audit-hash"), payload
        )
    )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:  # noqa: PLR2004  # below 2^63
        raise ValidationError("seq_invalid", "a record is named by its number", field="seq")
    return int(text)
