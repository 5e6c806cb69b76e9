"""How long records are kept, and legal holds that stay deletion."""

from typing import Annotated

from msgspec import Meta, Struct

from control.api import compliance_views as views
from control.api.endpoint import CREATED, Call, Endpoints
from control.model.names import LINES
from control.model.people import Role
from control.model.retention import Kind
from protocols.instant import SECOND

retention = Endpoints("retention", "How long what is kept.")
holds = Endpoints("holds", "Legal holds: what they cover is not deleted.")

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


@retention.add("GET", _RETENTION, "The rules", role=Role.ADMIN, returns=list[views.RuleView])
async def rules(call: Call, org: str) -> list[views.RuleView]:
    return await _rules(call, org)


@retention.add(
    "PUT", _RETENTION, "Set a rule; it counts from the next run on", role=Role.OWNER, fresh=True,
    body=NewRule, returns=list[views.RuleView],
)  # fmt: skip
async def put(call: Call, org: str, *, body: NewRule) -> list[views.RuleView]:
    await call.plane.keeping.put_rule(org, body.kind, body.days)
    return await _rules(call, org)


@retention.add(
    "GET", _RETENTION + "/dry-run", "What would be deleted now", role=Role.ADMIN,
    returns=list[views.PurgedView],
)  # fmt: skip
async def dry_run(call: Call, org: str) -> list[views.PurgedView]:
    return [views.purged(row) for row in await call.plane.keeping.dry_run(org)]


@holds.add(
    "GET", _HOLDS, "The newest first, the lifted ones too", role=Role.ADMIN,
    returns=list[views.HoldView],
)  # fmt: skip
async def every(call: Call, org: str) -> list[views.HoldView]:
    return [views.hold(row) for row in await call.plane.keeping.holds(org)]


@holds.add(
    "POST", _HOLDS, "Nothing that it covers is deleted from now on", role=Role.ADMIN, fresh=False,
    body=NewHold, status=CREATED, returns=views.HoldView, errors=(409,),
)  # fmt: skip
async def place(call: Call, org: str, *, body: NewHold) -> views.HoldView:
    span = (body.since * SECOND, body.until * SECOND)
    actor = call.caller.actor
    return views.hold(await call.plane.keeping.hold(org, body.vault, span, body.reason, actor))


@holds.add(
    "POST", _HOLDS + "/{hold}/lift", "End it: the rules count again", role=Role.OWNER, fresh=True,
    body=Why, returns=views.HoldView, errors=(409,),
)  # fmt: skip
async def lift(call: Call, org: str, hold: str, *, body: Why) -> views.HoldView:
    return views.hold(await call.plane.keeping.lift(org, hold, body.reason, call.caller.actor))


async def _rules(call: Call, org: str) -> list[views.RuleView]:
    found = await call.plane.keeping.rules(org)
    return [views.rule(kind, row) for kind, row in found.items()]
