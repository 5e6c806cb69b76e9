"""Agents, what they measure and report, and what people did."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from control.api import views
from control.api.endpoint import CREATED, NO_CONTENT, Call, Endpoints
from control.errors import NotFoundError
from control.model.agents import AgentFilter, Life, Presence, State
from control.model.names import Limit, Prose, Slug, Tags
from control.model.people import Role
from control.model.records import Severity, Witnessed
from control.services.witness import is_disputed
from control.store import records
from control.store.alerts import Narrow
from control.store.rows import Tx
from protocols.instant import rfc3339
from protocols.link.vocabulary import CommandName

agents = Endpoints("agents", "The vault agents of an organization.")
metrics = Endpoints("metrics", "What agents measure.")
alerts = Endpoints("alerts", "What a person should know.")

Seconds = Annotated[int, Meta(ge=0, le=2**33)]
Name = Annotated[str, Meta(max_length=64, pattern="^[a-z0-9-]*$")]


class Wanted(Struct, frozen=True, forbid_unknown_fields=True):
    """Which agents."""

    tag: Annotated[str, Meta(max_length=64, pattern="^[a-z0-9._:=/-]*$")] = ""
    life: Life | None = None
    presence: Presence | None = None
    state: State | None = None
    release: Annotated[str, Meta(max_length=32, pattern=r"^[0-9A-Za-z.+-]*$")] = ""
    """Of Freehold, as the agent said when it connected."""
    after: Name = ""
    limit: Limit = 100


class Largest(Struct, frozen=True, forbid_unknown_fields=True):
    """So many."""

    limit: Limit = 100


class NewAgent(Struct, frozen=True, forbid_unknown_fields=True):
    """An agent to be expected."""

    vault: Slug
    tags: Tags = ()


class NewTags(Struct, frozen=True, forbid_unknown_fields=True):
    """All tags there are to be."""

    tags: Tags


class Because(Struct, frozen=True, forbid_unknown_fields=True):
    """Why."""

    reason: Prose = ""


class NewCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """A listed word; there is no argument."""

    command: Literal[
        "send_metrics", "send_checkpoint", "send_policy_status", "renew_certificate", "rotate_kek"
    ]


class Assigned(Struct, frozen=True, forbid_unknown_fields=True):
    """Of one agent, or a page of all: those whose names come after `after`."""

    vault: Name = ""
    after: Name = ""
    limit: Limit = 100


class Span(Struct, frozen=True, forbid_unknown_fields=True):
    """Which samples: Unix seconds, `until` excluded; resolution in seconds, 0 for single ones."""

    name: Annotated[str, Meta(min_length=1, max_length=128, pattern="^[a-z0-9_.:-]+$")]
    since: Seconds = 0
    until: Seconds = 2**33
    resolution: Literal[0, 60, 3600] = 60


class AlertsWanted(Struct, frozen=True, forbid_unknown_fields=True):
    """Which alerts; `before`: Unix seconds, `after`: the last one's id of the page before.

    `text` is looked for in agent, code, message and note.
    """

    vault: Name = ""
    state: Literal["firing", "acknowledged", "resolved", "open"] | None = None
    """`open`: firing or acknowledged. What does not end by itself is over once acknowledged."""
    severity: Severity | None = None
    text: Annotated[str, Meta(max_length=128)] = ""
    before: Seconds = 0
    after: Name = ""
    limit: Limit = 100


class Seen(Struct, frozen=True, forbid_unknown_fields=True):
    """What there is to say of it: why it came, what was done."""

    note: Prose = ""


class Checkpoint(Struct, frozen=True):
    """The agent's newest cosigned checkpoint; `fault` is `fork` or `rollback` if it went wrong.

    `disputed`: another history of the same log was shown for some agent.
    """

    size: int
    root: str
    note: str
    cosignature: str
    at: str
    fault: str
    disputed: bool


_AGENTS = "organizations/{org}/agents"


@agents.add(
    "GET", "tallies", "How many agents each organization has, the most first", query=Largest,
    returns=list[views.TallyView],
)  # fmt: skip
async def tallies(call: Call, *, query: Largest) -> list[views.TallyView]:
    return [views.TallyView(*row) for row in await call.plane.registry.tallies(query.limit)]


@agents.add("GET", _AGENTS, "Agents by name", query=Wanted, returns=list[views.AgentView])
async def find(call: Call, org: str, *, query: Wanted) -> list[views.AgentView]:
    wanted = AgentFilter(
        tag=query.tag,
        life=query.life,
        presence=query.presence,
        state=query.state,
        release=query.release,
        after=query.after,
        limit=query.limit,
    )
    return [views.agent(row) for row in await call.plane.registry.find(org, wanted)]


@agents.add(
    "POST", _AGENTS, "Expect an agent: pending until it enrols", role=Role.OPERATOR, fresh=False,
    body=NewAgent, status=CREATED, returns=views.AgentView, errors=(409,),
)  # fmt: skip
async def register(call: Call, org: str, *, body: NewAgent) -> views.AgentView:
    return views.agent(await call.plane.registry.register(org, body.vault, body.tags))


@agents.add("GET", _AGENTS + "/{vault}", "One agent", returns=views.AgentView)
async def get(call: Call, org: str, vault: str) -> views.AgentView:
    return views.agent(await call.plane.registry.get(org, vault))


@agents.add(
    "PUT", _AGENTS + "/{vault}/tags", "Replace its tags; policies by tag follow",
    role=Role.OPERATOR, fresh=True, body=NewTags, returns=views.AgentView,
)  # fmt: skip
async def tag(call: Call, org: str, vault: str, *, body: NewTags) -> views.AgentView:
    tagged = await call.plane.registry.tag(org, vault, body.tags)
    call.plane.policies.due(org)
    return views.agent(tagged)


@agents.add(
    "POST", _AGENTS + "/{vault}/lock", "Lock it: only a token that may replace lets it in again",
    role=Role.OPERATOR, fresh=True, body=Because, returns=views.AgentView, errors=(409,),
)  # fmt: skip
async def lock(call: Call, org: str, vault: str, *, body: Because) -> views.AgentView:
    return await _move(call, org, vault, Life.LOCKED, body.reason)


@agents.add(
    "POST", _AGENTS + "/{vault}/retire", "Retire it, for good", role=Role.ADMIN, fresh=True,
    body=Because, returns=views.AgentView, errors=(409,),
)  # fmt: skip
async def retire(call: Call, org: str, vault: str, *, body: Because) -> views.AgentView:
    return await _move(call, org, vault, Life.RETIRED, body.reason)


@agents.add(
    "GET", _AGENTS + "/{vault}/policy", "What it should have and has, and why not",
    returns=views.AssignmentView,
)  # fmt: skip
async def policy(call: Call, org: str, vault: str) -> views.AssignmentView:
    await call.plane.registry.get(org, vault)
    row = await call.plane.policies.standing(org, vault)
    if row is None:
        raise NotFoundError("not_found", "this agent has no policy")
    return views.assignment(row)


@agents.add(
    "POST", _AGENTS + "/{vault}/commands", "Ask it to do something; it may refuse",
    role=Role.OPERATOR, fresh=False, body=NewCommand, status=CREATED, returns=views.CommandView,
    errors=(409, 503),
)  # fmt: skip
async def command(call: Call, org: str, vault: str, *, body: NewCommand) -> views.CommandView:
    asked = await call.plane.commands.ask(org, vault, CommandName(body.command), call.caller.actor)
    return views.command(asked)


@agents.add(
    "GET", _AGENTS + "/{vault}/commands", "What it was asked to do, the newest first",
    returns=list[views.CommandView],
)  # fmt: skip
async def commands(call: Call, org: str, vault: str) -> list[views.CommandView]:
    await call.plane.registry.get(org, vault)
    return [views.command(row) for row in await call.plane.commands.of(org, vault)]


@agents.add(
    "GET", "organizations/{org}/assignments", "What agents should have and have, by name",
    query=Assigned, returns=list[views.AssignmentView],
)  # fmt: skip
async def assignments(call: Call, org: str, *, query: Assigned) -> list[views.AssignmentView]:
    if query.vault:
        row = await call.plane.policies.standing(org, query.vault)
        return [] if row is None else [views.assignment(row)]
    found = await call.plane.policies.status(org, after=query.after, limit=query.limit)
    return [views.assignment(row) for row in found]


@agents.add(
    "GET", _AGENTS + "/{vault}/checkpoint", "Its newest cosigned audit checkpoint",
    returns=Checkpoint,
)  # fmt: skip
async def checkpoint(call: Call, org: str, vault: str) -> Checkpoint:
    await call.plane.registry.get(org, vault)

    def read(tx: Tx) -> tuple[Witnessed | None, bool]:
        found = records.checkpoint(tx, org, vault)
        return found, is_disputed(tx, found)

    seen, disputed = await call.plane.store.read(read)
    if seen is None or not seen.size:
        raise NotFoundError("not_found", "nothing of its audit log is cosigned")
    line, at = call.plane.witness.sign(seen), rfc3339(seen.at)
    return Checkpoint(seen.size, seen.root.hex(), seen.note, line, at, seen.fault, disputed)


@agents.add(
    "POST", _AGENTS + "/{vault}/checkpoint/accept",
    "After a fork or rollback was looked into: witness its log anew", role=Role.ADMIN, fresh=True,
    body=Because, status=NO_CONTENT,
)  # fmt: skip
async def accept_log(call: Call, org: str, vault: str, *, body: Because) -> None:  # noqa: ARG001  # recorded
    await call.plane.alerts.accept_log(org, vault)


@metrics.add("GET", _AGENTS + "/{vault}/metrics", "The names of its series", returns=list[str])
async def names(call: Call, org: str, vault: str) -> list[str]:
    return await call.plane.metrics.names(org, vault)


@metrics.add(
    "GET", _AGENTS + "/{vault}/metrics/samples", "Samples of one series in time", query=Span,
    returns=list[views.SampleView],
)  # fmt: skip
async def samples(call: Call, org: str, vault: str, *, query: Span) -> list[views.SampleView]:
    found = await call.plane.metrics.query(
        org,
        vault,
        query.name,
        resolution=query.resolution,
        since=query.since,
        until=query.until,
    )
    return views.samples(found)


@alerts.add(
    "GET", "organizations/{org}/alerts", "The newest alerts first", query=AlertsWanted,
    returns=list[views.AlertView],
)  # fmt: skip
async def list_(call: Call, org: str, *, query: AlertsWanted) -> list[views.AlertView]:
    found = await call.plane.alerts.page(
        org,
        vault=query.vault,
        before=query.before * 10**9,
        limit=query.limit,
        narrow=Narrow(state=query.state or "", severity=query.severity or "", text=query.text),
        after=query.after,
    )
    return [views.alert(row) for row in found]


@alerts.add(
    "POST", "organizations/{org}/alerts/{alert}/acknowledge", "It was seen", role=Role.OPERATOR,
    fresh=False, body=Seen, returns=views.AlertView,
)  # fmt: skip
async def acknowledge(call: Call, org: str, alert: str, *, body: Seen) -> views.AlertView:
    seen = await call.plane.alerts.acknowledge(org, alert, call.caller.actor, body.note)
    return views.alert(seen)


async def _move(call: Call, org: str, vault: str, to: Life, reason: str) -> views.AgentView:
    moved = await call.plane.registry.move(org, vault, to, reason)
    await call.plane.policies.refresh(org)
    return views.agent(moved)
