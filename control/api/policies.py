"""Policies, their versions, and roll-outs."""

from typing import Annotated

from msgspec import Meta, Struct

from control.api import views
from control.api.endpoint import CREATED, EndpointCall, EndpointGroup
from control.api.services import PolicyServices
from control.errors import NotFoundError, ValidationError
from control.model.names import Limit, Prose
from control.model.people import Role
from control.model.policies import MAX_STEPS, MAX_TARGETS, Plan, Target
from control.model.policy_documents import Document, validate_document
from control.services.rollouts import Draft

Call = EndpointCall[PolicyServices]

policies = EndpointGroup[PolicyServices]("policies", "What agents enforce, in versions.")
rollouts = EndpointGroup[PolicyServices]("rollouts", "A version on its way to the agents.")

Number = Annotated[int, Meta(ge=1, le=2**53)]
_POLICIES = "organizations/{org}/policies"
_ROLLOUTS = "organizations/{org}/rollouts/{rollout}"


class NewVersion(Struct, frozen=True, forbid_unknown_fields=True):
    """A document to be the next version."""

    document: Document
    comment: Prose = ""


class Targets(Struct, frozen=True, forbid_unknown_fields=True):
    """The agents that a policy applies to. An empty list: none."""

    targets: Annotated[tuple[Target, ...], Meta(max_length=MAX_TARGETS)]


class NewRollout(Struct, frozen=True, forbid_unknown_fields=True):
    """A version to be rolled out: one that is there, or a `document` that becomes the next one.

    `targets`: the agents that the policy applies to with this roll-out; null leaves them unchanged.
    A refused request changes nothing.
    """

    version: Number | None = None
    plan: Plan = Plan()
    document: Document | None = None
    comment: Prose = ""
    targets: Annotated[tuple[Target, ...], Meta(max_length=MAX_TARGETS)] | None = None


class At(Struct, frozen=True, forbid_unknown_fields=True):
    """The `step` that the roll-out is thought to be at; without it, whichever but the last."""

    step: Annotated[int, Meta(ge=0, le=MAX_STEPS + 1)] | None = None


class Between(Struct, frozen=True, forbid_unknown_fields=True):
    """Two versions."""

    old: Number
    new: Number


class Diff(Struct, frozen=True):
    """A unified diff, a line each."""

    lines: list[str]


class Because(Struct, frozen=True, forbid_unknown_fields=True):
    """Why."""

    reason: Prose = ""


class Behind(Struct, frozen=True, forbid_unknown_fields=True):
    """A page: those whose names come after `after`."""

    after: Annotated[str, Meta(max_length=64, pattern="^[a-z0-9-]*$")] = ""
    limit: Limit = 100


class Page(Struct, frozen=True, forbid_unknown_fields=True):
    """How many."""

    limit: Limit = 50


@policies.route("GET", _POLICIES, "Policies by name")
async def list_(call: Call, org: str) -> list[views.PolicyView]:
    return [views.policy_view(row) for row in await call.services.policies.list_policies(org)]


@policies.route("GET", _POLICIES + "/{policy}", "One policy")
async def get(call: Call, org: str, policy: str) -> views.PolicyView:
    return views.policy_view(await call.services.policies.get_policy(org, policy))


@policies.route(
    "POST",
    _POLICIES + "/{policy}/validate",
    "Look for faults, change nothing",
    mutates=False,
    role=Role.OPERATOR,
)
async def validate(call: Call, org: str, policy: str, *, body: Document) -> Document:  # noqa: ARG001
    return validate_document(body, policy)


@policies.route(
    "POST",
    _POLICIES + "/{policy}/versions",
    "The next version; a roll-out brings it to agents",
    role=Role.OPERATOR,
    requires_recent_auth=False,
    unrecorded=("document",),
    status=CREATED,
)
async def write(call: Call, org: str, policy: str, *, body: NewVersion) -> views.VersionView:
    made = await call.services.policies.write_version(
        org, policy, body.document, body.comment, call.caller.actor
    )
    return views.version_view(made)


@policies.route("GET", _POLICIES + "/{policy}/versions", "The newest versions first")
async def versions(call: Call, org: str, policy: str, *, query: Page) -> list[views.VersionView]:
    found = await call.services.policies.list_versions(org, policy, query.limit)
    return [views.version_view(row) for row in found]


@policies.route("GET", _POLICIES + "/{policy}/versions/{number}", "One version")
async def version(call: Call, org: str, policy: str, number: str) -> views.VersionView:
    if not (number.isascii() and number.isdigit() and len(number) <= 15):  # noqa: PLR2004  # below 2**53
        raise NotFoundError("not_found", "there is no such version")
    return views.version_view(await call.services.policies.get_version(org, policy, int(number)))


@policies.route("GET", _POLICIES + "/{policy}/diff", "What is different in `new`")
async def diff(call: Call, org: str, policy: str, *, query: Between) -> Diff:
    return Diff(await call.services.policies.diff_versions(org, policy, query.old, query.new))


@policies.route(
    "PUT",
    _POLICIES + "/{policy}/targets",
    "Whom it is for: agents, tags, or all",
    role=Role.OPERATOR,
    requires_recent_auth=True,
    errors=(409,),
)
async def point(call: Call, org: str, policy: str, *, body: Targets) -> views.PolicyView:
    return views.policy_view(await call.services.policies.set_targets(org, policy, body.targets))


@policies.route("GET", _POLICIES + "/{policy}/status", "What became of it at each agent, by name")
async def status(call: Call, org: str, policy: str, *, query: Behind) -> list[views.AssignmentView]:
    found = await call.services.policies.list_assignments(
        org, policy, after=query.after, limit=query.limit
    )
    return [views.assignment_view(row) for row in found]


@rollouts.route(
    "POST",
    _POLICIES + "/{policy}/rollouts",
    "Begin to roll out a version",
    role=Role.OPERATOR,
    requires_recent_auth=True,
    unrecorded=("document",),
    status=CREATED,
    errors=(409,),
)
async def start(call: Call, org: str, policy: str, *, body: NewRollout) -> views.RolloutView:
    if body.version is not None and body.document is None:
        what: int | Draft = body.version
    elif body.version is None and body.document is not None:
        what = Draft(body.document, body.comment)
    else:
        raise ValidationError("candidate_invalid", "give either a version or a document")
    by = call.caller.actor
    made = await call.services.rollouts.start_rollout(
        org, policy, what, body.plan, by, targets=body.targets
    )
    return views.rollout_view(made)


@rollouts.route("GET", _POLICIES + "/{policy}/rollouts", "Roll-outs, the newest first")
async def of_policy(call: Call, org: str, policy: str, *, query: Page) -> list[views.RolloutView]:
    found = await call.services.rollouts.list_rollouts(org, policy, query.limit)
    return [views.rollout_view(row) for row in found]


@rollouts.route("GET", _ROLLOUTS, "One roll-out, and how it fares")
async def get_rollout(call: Call, org: str, rollout: str) -> views.RolloutView:
    return views.rollout_view(*await call.services.rollouts.get_rollout(org, rollout))


@rollouts.route(
    "POST",
    _ROLLOUTS + "/advance",
    "To the next step now, from the last: done",
    role=Role.OPERATOR,
    requires_recent_auth=True,
    errors=(409,),
)
async def advance(call: Call, org: str, rollout: str, *, body: At) -> views.RolloutView:
    by = call.caller.actor
    return views.rollout_view(
        await call.services.rollouts.advance_rollout(org, rollout, body.step, by=by)
    )


@rollouts.route(
    "POST",
    _ROLLOUTS + "/halt",
    "Stay where it is",
    role=Role.OPERATOR,
    requires_recent_auth=False,
    errors=(409,),
)
async def halt(call: Call, org: str, rollout: str, *, body: Because) -> views.RolloutView:
    return views.rollout_view(await call.services.rollouts.halt_rollout(org, rollout, body.reason))


@rollouts.route(
    "POST",
    _ROLLOUTS + "/rollback",
    "Everybody gets the previous version again",
    role=Role.OPERATOR,
    requires_recent_auth=True,
    errors=(409,),
)
async def roll_back(call: Call, org: str, rollout: str, *, body: Because) -> views.RolloutView:
    return views.rollout_view(
        await call.services.rollouts.roll_back_rollout(org, rollout, body.reason)
    )
