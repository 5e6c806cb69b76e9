"""How long records are kept, and legal holds that stay deletion."""

from typing import Annotated

from msgspec import Meta, Struct

from control.api import compliance_views as views
from control.api.endpoint import CREATED, EndpointCall, EndpointGroup
from control.model.names import LINES
from control.model.people import Role
from control.model.retention import Kind
from protocols.instant import SECOND

retention = EndpointGroup("retention", "How long what is kept.")
holds = EndpointGroup("holds", "Legal holds: what they cover is not deleted.")

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


@retention.route("GET", _RETENTION, "The rules", role=Role.ADMIN, returns=list[views.RuleView])
async def rules(call: EndpointCall, org: str) -> list[views.RuleView]:
    return await _rules(call, org)


@retention.route(
    "PUT", _RETENTION, "Set a rule; it counts from the next run on", role=Role.OWNER, fresh=True,
    body=NewRule, returns=list[views.RuleView],
)  # fmt: skip
async def put(call: EndpointCall, org: str, *, body: NewRule) -> list[views.RuleView]:
    await call.control_plane.retention.set_rule(org, body.kind, body.days)
    return await _rules(call, org)


@retention.route(
    "GET", _RETENTION + "/dry-run", "What would be deleted now", role=Role.ADMIN,
    returns=list[views.PurgedView],
)  # fmt: skip
async def dry_run(call: EndpointCall, org: str) -> list[views.PurgedView]:
    return [
        views.purged_view(row) for row in await call.control_plane.retention.preview_deletion(org)
    ]


@holds.route(
    "GET", _HOLDS, "The newest first, the lifted ones too", role=Role.ADMIN,
    returns=list[views.HoldView],
)  # fmt: skip
async def every(call: EndpointCall, org: str) -> list[views.HoldView]:
    return [views.hold_view(row) for row in await call.control_plane.retention.list_holds(org)]


@holds.route(
    "POST", _HOLDS, "Nothing that it covers is deleted from now on", role=Role.ADMIN, fresh=False,
    body=NewHold, status=CREATED, returns=views.HoldView, errors=(409,),
)  # fmt: skip
async def place(call: EndpointCall, org: str, *, body: NewHold) -> views.HoldView:
    span = (body.since * SECOND, body.until * SECOND)
    actor = call.caller.actor
    return views.hold_view(
        await call.control_plane.retention.place_hold(org, body.vault, span, body.reason, actor)
    )


@holds.route(
    "POST", _HOLDS + "/{hold}/lift", "End it: the rules count again", role=Role.OWNER, fresh=True,
    body=Why, returns=views.HoldView, errors=(409,),
)  # fmt: skip
async def lift(call: EndpointCall, org: str, hold: str, *, body: Why) -> views.HoldView:
    return views.hold_view(
        await call.control_plane.retention.lift_hold(org, hold, body.reason, call.caller.actor)
    )


async def _rules(call: EndpointCall, org: str) -> list[views.RuleView]:
    found = await call.control_plane.retention.list_rules(org)
    return [views.rule_view(kind, row) for kind, row in found.items()]
