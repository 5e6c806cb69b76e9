"""How long records are kept, and legal holds that stay deletion."""

from typing import Annotated

from msgspec import Meta, Struct

from control.api import compliance_views as views
from control.api.endpoint import CREATED, EndpointCall, EndpointGroup
from control.api.services import ComplianceServices
from control.model.names import LINES
from control.model.people import Role
from control.model.retention import Kind
from protocols.instant import SECOND

Call = EndpointCall[ComplianceServices]

retention = EndpointGroup[ComplianceServices]("retention", "How long what is kept.")
holds = EndpointGroup[ComplianceServices]("holds", "Legal holds: what they cover is not deleted.")

_RETENTION = "organizations/{org}/retention"
_HOLDS = "organizations/{org}/holds"
Seconds = Annotated[int, Meta(ge=0, le=2**33)]
Reason = Annotated[str, Meta(min_length=1, max_length=1024, pattern=LINES)]
Vault = Annotated[str, Meta(max_length=64, pattern="^[a-z0-9-]*$")]


class NewRule(Struct, frozen=True, forbid_unknown_fields=True):
    """Days within the kind's bounds; 0 takes the rule away."""

    kind: Kind
    days: Annotated[int, Meta(ge=0, le=100_000)]


class NewHold(Struct, frozen=True, forbid_unknown_fields=True):
    """Of one agent, or without `vault` of all; Unix seconds, 0 without that bound."""

    reason: Reason
    vault: Vault = ""
    since: Seconds = 0
    until: Seconds = 0


class Why(Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is over."""

    reason: Reason


@retention.route("GET", _RETENTION, "The rules", role=Role.ADMIN)
async def rules(call: Call, org: str) -> list[views.RuleView]:
    return await _rules(call, org)


@retention.route(
    "PUT",
    _RETENTION,
    "Set a rule; it counts from the next run on",
    role=Role.OWNER,
    requires_recent_auth=True,
)
async def put(call: Call, org: str, *, body: NewRule) -> list[views.RuleView]:
    await call.services.retention.set_rule(org, body.kind, body.days)
    return await _rules(call, org)


@retention.route("GET", _RETENTION + "/dry-run", "What would be deleted now", role=Role.ADMIN)
async def dry_run(call: Call, org: str) -> list[views.PurgedView]:
    return [views.purged_view(row) for row in await call.services.retention.preview_deletion(org)]


@holds.route("GET", _HOLDS, "The newest first, the lifted ones too", role=Role.ADMIN)
async def every(call: Call, org: str) -> list[views.HoldView]:
    return [views.hold_view(row) for row in await call.services.retention.list_holds(org)]


@holds.route(
    "POST",
    _HOLDS,
    "Nothing that it covers is deleted from now on",
    role=Role.ADMIN,
    requires_recent_auth=False,
    status=CREATED,
    errors=(409,),
)
async def place(call: Call, org: str, *, body: NewHold) -> views.HoldView:
    span = (body.since * SECOND, body.until * SECOND)
    actor = call.caller.actor
    return views.hold_view(
        await call.services.retention.place_hold(org, body.vault, span, body.reason, actor)
    )


@holds.route(
    "POST",
    _HOLDS + "/{hold}/lift",
    "End it: the rules count again",
    role=Role.OWNER,
    requires_recent_auth=True,
    errors=(409,),
)
async def lift(call: Call, org: str, hold: str, *, body: Why) -> views.HoldView:
    return views.hold_view(
        await call.services.retention.lift_hold(org, hold, body.reason, call.caller.actor)
    )


async def _rules(call: Call, org: str) -> list[views.RuleView]:
    found = await call.services.retention.list_rules(org)
    return [views.rule_view(kind, row) for kind, row in found.items()]
