"""What a candidate would have made of agents' pasts, asked before it is rolled out."""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from control.api.endpoint import CREATED, EndpointCall, EndpointGroup
from control.api.services import PolicyServices
from control.model.people import Role
from control.model.policies import MAX_TARGETS, Target
from control.model.policy_documents import Document
from control.model.replays import OPEN_STATES, Change, Replay, ReplayAgent, ReplayNumbers, State
from control.services.replays import ReplayRequest
from protocols.instant import rfc3339, rfc3339_or_none

Call = EndpointCall[PolicyServices]

replays = EndpointGroup[PolicyServices](
    "replays", "Candidates held against what agents have on record."
)

MAX_HOURS: Final = 24 * 366
_POLICY: Final = "organizations/{org}/policies/{policy}/replays"
_REPLAY: Final = "organizations/{org}/replays/{replay}"


class NewReplay(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A version that is stored, or a document that is not; `targets` empty: whom it is for."""

    version: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    document: Document | None = None
    targets: Annotated[tuple[Target, ...], Meta(max_length=MAX_TARGETS)] = ()
    hours: Annotated[int, Meta(ge=1, le=MAX_HOURS)] = 24


class ReplayedAgent(Struct, frozen=True, kw_only=True):
    """What one agent told, as the sums do. `changes` are by opaque ids, if its owner lets them.

    `reached`: nothing older was looked at. `undecided`: by the reason (docs/reference/policies.md).
    """

    vault: str
    state: State
    changed_at: str
    reached: str | None
    records: int
    accesses: int
    unchanged: int
    denied: int
    allowed: int
    drifted: int
    undecided: dict[str, int]
    changes: tuple[Change, ...]


class ReplaySummary(Struct, frozen=True, kw_only=True):
    """One replay, without what came of it; `version` null: a draft that was never saved."""

    id: str
    policy: str
    version: int | None
    since: str
    until: str
    created_by: str
    created_at: str
    expires_at: str


class ReplayView(ReplaySummary, frozen=True, kw_only=True):
    """One replay. `open`: answers are still waited for. `states` counts its agents."""

    open: bool
    states: dict[State, int]
    accesses: int
    unchanged: int
    denied: int
    allowed: int
    drifted: int
    undecided: int
    agents: list[ReplayedAgent]


@replays.route(
    "POST",
    _POLICY,
    "Ask agents what it would have changed; nothing is put in force",
    role=Role.OPERATOR,
    requires_recent_auth=False,
    unrecorded=("document",),
    status=CREATED,
    errors=(429,),
)
async def start(call: Call, org: str, policy: str, *, body: NewReplay) -> ReplayView:
    asked = ReplayRequest(
        version=body.version or 0, document=body.document, targets=body.targets, hours=body.hours
    )
    made = await call.services.replays.start_replay(org, policy, asked, call.caller.actor)
    return _view(*await call.services.replays.get_replay(org, made.id))


@replays.route("GET", _POLICY, "Those of a policy, the newest first")
async def of_policy(call: Call, org: str, policy: str) -> list[ReplaySummary]:
    found = await call.services.replays.list_replays(org, policy)
    return [ReplaySummary(**_summary(row)) for row in found]


@replays.route("GET", _REPLAY, "One replay, and what came of it so far")
async def get(call: Call, org: str, replay: str) -> ReplayView:
    return _view(*await call.services.replays.get_replay(org, replay))


def _view(row: Replay, of: list[ReplayAgent]) -> ReplayView:
    numbers = [each.numbers for each in of]
    states: dict[State, int] = {}
    for each in of:
        states[each.state] = states.get(each.state, 0) + 1
    return ReplayView(
        **_summary(row),
        open=any(each.state in OPEN_STATES for each in of),
        states=states,
        accesses=sum(one.accesses for one in numbers),
        unchanged=sum(one.unchanged for one in numbers),
        denied=sum(one.denied for one in numbers),
        allowed=sum(one.allowed for one in numbers),
        drifted=sum(one.drifted for one in numbers),
        undecided=sum(sum(one.undecided.values()) for one in numbers),
        agents=[_agent(each, each.numbers) for each in of],
    )


def _agent(row: ReplayAgent, numbers: ReplayNumbers) -> ReplayedAgent:
    return ReplayedAgent(
        vault=row.vault,
        state=row.state,
        changed_at=rfc3339(row.changed_at),
        reached=rfc3339_or_none(numbers.reached),
        records=numbers.records,
        accesses=numbers.accesses,
        unchanged=numbers.unchanged,
        denied=numbers.denied,
        allowed=numbers.allowed,
        drifted=numbers.drifted,
        undecided=numbers.undecided,
        changes=numbers.changes,
    )


def _summary(row: Replay) -> dict[str, Any]:
    return {
        "id": row.id,
        "policy": row.policy,
        "version": row.version or None,
        "since": rfc3339(row.since),
        "until": rfc3339(row.until),
        "created_by": row.created_by,
        "created_at": rfc3339(row.created_at),
        "expires_at": rfc3339(row.expires_at),
    }
