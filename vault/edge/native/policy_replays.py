"""`/api/v1/policies-replay`: what other policies would have made of the accesses on record."""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from msgspec.structs import asdict

from protocols.instant import SECOND, parse_rfc3339, rfc3339
from vault import operations
from vault.authz.policy import Policy
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_path
from vault.edge.request import Request
from vault.model.policy_replay import (
    MAX_CHANGES,
    MAX_WRITTEN,
    DecisionChange,
    ReplayPolicies,
    Stop,
    Undecided,
)

replays = Endpoints("replays", "Policies held against the accesses on record.")
HOUR: Final = 3600 * SECOND
MAX_HOURS: Final = 24 * 366


class Span(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is asked for beside the documents; times are RFC 3339.

    Without `since` it is so many hours before `until`, and without that before now.
    """

    delete: Annotated[list[str], Meta(max_length=MAX_WRITTEN)] = []
    since: str = ""
    until: str = ""
    hours: Annotated[int, Meta(ge=1, le=MAX_HOURS)] = 24
    limit: Annotated[int, Meta(ge=0, le=MAX_CHANGES)] = 100


class ReplayBody(Span, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A candidate: local policies to write and delete, and what a control plane's are to be.

    `bundle` stands in for all of the control plane's, within the ceiling; without it they stay.
    """

    write: Annotated[list[dict[str, Any]], Meta(max_length=MAX_WRITTEN)] = []
    bundle: Annotated[list[dict[str, Any]], Meta(max_length=MAX_WRITTEN)] | None = None


class ReplaySchema(Span, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The same, with what a document is: the handler validates it and points at the fault."""

    write: list[Policy] = []
    bundle: list[Policy] | None = None


class ChangeBody(Struct, frozen=True, kw_only=True):
    """Accesses of one kind that would be decided otherwise: `allowed` is what they would be.

    `rule` decides it then and `rule_now` under the policies in force; empty: no rule allows it.
    `last` and `seq` are of the newest one on record.
    """

    allowed: bool
    actor_id: str
    actor_name: str
    operation: str
    capability: str
    path: str
    rule: str
    rule_now: str
    count: int
    last: str
    seq: int
    ip: str

    @classmethod
    def of(cls, change: DecisionChange) -> "ChangeBody":
        """From a replay."""
        fields = asdict(change)
        plain = {name: fields[name] for name in cls.__struct_fields__ if name in fields}
        return cls(**plain | {"last": rfc3339(change.last)}, seq=change.last_seq, ip=change.last_ip)


class ReplayedBody(Struct, frozen=True, kw_only=True):
    """What came out. `records` were looked at, back to `reached`; the other counts are accesses.

    `denied`: allowed by the policies in force, and not by the candidate. `allowed`: the other way.
    `undecided`: those that cannot be decided again, by the reason. `drifted`: those for which the
    policies in force decide otherwise than it is on record. `stopped`: why not everything was
    looked at (`records`, `time`), or empty. `others`: changes that are not listed.
    """

    since: str
    until: str
    reached: str
    stopped: Stop
    records: int
    accesses: int
    unchanged: int
    denied: int
    allowed: int
    undecided: dict[Undecided, int]
    drifted: int
    changes: list[ChangeBody]
    others: int


@replays.add(
    "POST",
    "policies-replay",
    "Decide what is on record again, under other policies; nothing is changed",
    body=ReplayBody,
    schema=ReplaySchema,
    returns=ReplayedBody,
    errors=(409,),
)
async def replay(dialect: Dialect, request: Request, *, body: ReplayBody) -> ReplayedBody:
    until = parse_rfc3339(body.until, "until") if body.until else dialect.world.now()
    payload = ReplayPolicies(
        write=tuple(body.write),
        delete=tuple(body.delete),
        bundle=None if body.bundle is None else tuple(body.bundle),
        since=_since(body, until),
        until=until,
        limit=body.limit,
    )
    path = system_path("policies-replay")
    found = await dialect.run_operation(request, operations.REPLAY_POLICIES, path, payload)
    fields = asdict(found) | {"changes": [ChangeBody.of(change) for change in found.changes]}
    times = {name: rfc3339(fields[name]) for name in ("since", "until", "reached")}
    return ReplayedBody(**fields | times)


def _since(body: ReplayBody, until: int) -> int:
    if body.since:
        return parse_rfc3339(body.since, "since")
    return max(1, until - body.hours * HOUR)
