"""What people did: searched, read out whole, verified, and its signed end."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from control.api import views
from control.api.endpoint import EndpointCall, EndpointGroup
from control.api.services import AuditServices
from control.model.names import Limit
from control.model.people import Role
from control.store.audit_records import EventFilter

Call = EndpointCall[AuditServices]

audit = EndpointGroup[AuditServices](
    "audit", "What people did: a hash chain for each organization."
)

_ALL = "organizations/{org}/audit"
Seq = Annotated[int, Meta(ge=0, le=2**62)]
Seconds = Annotated[int, Meta(ge=0, le=2**33)]
Word = Annotated[str, Meta(max_length=256)]


class Newest(Struct, frozen=True, forbid_unknown_fields=True):
    """A page of the newest that fit; `before` is the sequence number of the last one seen.

    `operation` and `target` are beginnings; `since` and `until` are Unix seconds.
    """

    before: Seq = 0
    limit: Limit = 100
    actor: Word = ""
    operation: Word = ""
    target: Word = ""
    ip: Word = ""
    result: Literal["", "ok", "denied", "failed"] = ""
    phase: Literal["", "intent", "outcome"] = ""
    code: Word = ""
    request_id: Word = ""
    since: Seconds = 0
    until: Seconds = 0


class Onward(Struct, frozen=True, forbid_unknown_fields=True):
    """A page from the beginning; `after` is the sequence number of the last one seen."""

    after: Seq = 0
    limit: Limit = 100


class Verdict(Struct, frozen=True):
    """Whether the chain is whole; `head` is worth keeping elsewhere. `broken_at`: 0, or where.

    `base`: how many of the oldest records were deleted by rule (docs/guides/compliance.md).
    """

    size: int
    head: str
    broken_at: int
    base: int


class HeadView(Struct, frozen=True):
    """The end of the trail, signed: worth keeping elsewhere. All but `size` and `at` in hex.

    `at` in Unix nanoseconds; what is signed: `docs/guides/people.md`.
    """

    org: str
    size: int
    hash: str
    at: int
    signature: str
    key: str


@audit.route("GET", _ALL, "The newest records first", role=Role.ADMIN)
async def newest(call: Call, org: str, *, query: Newest) -> list[views.EventView]:
    wanted = EventFilter(
        actor=query.actor,
        operation=query.operation,
        target=query.target,
        ip=query.ip,
        result=query.result,
        phase=query.phase,
        code=query.code,
        request_id=query.request_id,
        since=query.since * 10**9,
        until=query.until * 10**9,
    )
    found = await call.services.log.newest_events(org, query.before, query.limit, wanted)
    return [views.audit_event_view(row) for row in found]


@audit.route(
    "GET", _ALL + "/export", "All records, the oldest first, page by page", role=Role.ADMIN
)
async def export(call: Call, org: str, *, query: Onward) -> list[views.EventView]:
    found = await call.services.log.events_after(org, query.after, query.limit)
    return [views.audit_event_view(row) for row in found]


@audit.route("GET", _ALL + "/verify", "Go through the whole chain", role=Role.ADMIN)
async def verify(call: Call, org: str) -> Verdict:
    verdict = await call.services.log.verify_chain(org)
    return Verdict(verdict.size, verdict.head.hex(), verdict.broken_at, verdict.base)


@audit.route("GET", _ALL + "/head", "Its end, signed", role=Role.ADMIN)
async def head(call: Call, org: str) -> HeadView:
    made = await call.services.signed_heads.sign_head(org)
    return HeadView(
        made.org,
        made.size,
        made.hash.hex(),
        made.at,
        made.signature.hex(),
        call.services.signed_heads.public.hex(),
    )
