"""Agents, what they measure and report, and what people did."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from control.api import views
from control.api.endpoint import CREATED, NO_CONTENT, EndpointCall, EndpointGroup
from control.api.services import AgentServices
from control.errors import NotFoundError
from control.model.agents import AgentFilter, Life, Presence, State
from control.model.names import Limit, Prose, Slug, Tags
from control.model.people import Role
from control.model.records import Severity
from control.model.rotations import RotationDebt
from control.model.vaults import VaultState
from control.services.vaults import VaultFilter
from control.store.alerts import AlertFilter
from protocols.instant import rfc3339
from protocols.link.vocabulary import BackupState, CommandName

Call = EndpointCall[AgentServices]

agents = EndpointGroup[AgentServices]("agents", "The vault agents of an organization.")
metrics = EndpointGroup[AgentServices]("metrics", "What agents measure.")
alerts = EndpointGroup[AgentServices]("alerts", "What a person should know.")

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
    vault_id: Annotated[str, Meta(max_length=36, pattern="^[0-9a-f-]*$")] = ""
    """Only nodes of this vault."""
    after: Name = ""
    limit: Limit = 100


class VaultsWanted(Struct, frozen=True, forbid_unknown_fields=True):
    """Which vaults; `after`: the last one's name of the page before."""

    state: VaultState | None = None
    backup: BackupState | None = None
    certified: bool | None = None
    """Whether a fresh restore certificate proves their backups; `false` also lists those without
    any backup."""
    rotation: RotationDebt | None = None
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
        "send_metrics",
        "send_checkpoint",
        "send_policy_status",
        "renew_certificate",
        "rotate_kek",
        "run_backup",
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


@agents.route("GET", "tallies", "How many agents each organization has, the most first")
async def tallies(call: Call, *, query: Largest) -> list[views.TallyView]:
    return [views.TallyView(*row) for row in await call.services.registry.count_agents(query.limit)]


@agents.route("GET", _AGENTS, "Agents by name")
async def find(call: Call, org: str, *, query: Wanted) -> list[views.AgentView]:
    wanted = AgentFilter(
        tag=query.tag,
        life=query.life,
        presence=query.presence,
        state=query.state,
        release=query.release,
        vault_id=query.vault_id,
        after=query.after,
        limit=query.limit,
    )
    return [views.agent_view(row) for row in await call.services.registry.find_agents(org, wanted)]


@agents.route(
    "POST",
    _AGENTS,
    "Expect an agent: pending until it enrols",
    role=Role.OPERATOR,
    requires_recent_auth=False,
    status=CREATED,
    errors=(409,),
)
async def register(call: Call, org: str, *, body: NewAgent) -> views.AgentView:
    return views.agent_view(await call.services.registry.register_agent(org, body.vault, body.tags))


@agents.route("GET", "organizations/{org}/vaults", "Vaults with their nodes, by name")
async def vaults(call: Call, org: str, *, query: VaultsWanted) -> list[views.VaultView]:
    found = await call.services.vaults.list_vaults(
        org,
        VaultFilter(query.state, query.backup, query.certified, query.rotation),
        after=query.after,
        limit=query.limit,
    )
    return [views.vault_view(row) for row in found]


@agents.route("GET", _AGENTS + "/{vault}", "One agent")
async def get(call: Call, org: str, vault: str) -> views.AgentView:
    return views.agent_view(await call.services.registry.get_agent(org, vault))


@agents.route(
    "PUT",
    _AGENTS + "/{vault}/tags",
    "Replace its tags; policies by tag follow",
    role=Role.OPERATOR,
    requires_recent_auth=True,
)
async def tag(call: Call, org: str, vault: str, *, body: NewTags) -> views.AgentView:
    tagged = await call.services.registry.set_tags(org, vault, body.tags)
    call.services.policies.mark_due(org)
    return views.agent_view(tagged)


@agents.route(
    "POST",
    _AGENTS + "/{vault}/lock",
    "Lock it: only a token that may replace lets it in again",
    role=Role.OPERATOR,
    requires_recent_auth=True,
    errors=(409,),
)
async def lock(call: Call, org: str, vault: str, *, body: Because) -> views.AgentView:
    return await _change_life(call, org, vault, Life.LOCKED, body.reason)


@agents.route(
    "POST",
    _AGENTS + "/{vault}/retire",
    "Retire it, for good",
    role=Role.ADMIN,
    requires_recent_auth=True,
    errors=(409,),
)
async def retire(call: Call, org: str, vault: str, *, body: Because) -> views.AgentView:
    return await _change_life(call, org, vault, Life.RETIRED, body.reason)


@agents.route("GET", _AGENTS + "/{vault}/policy", "What it should have and has, and why not")
async def policy(call: Call, org: str, vault: str) -> views.AssignmentView:
    await call.services.registry.get_agent(org, vault)
    row = await call.services.policies.get_assignment_state(org, vault)
    if row is None:
        raise NotFoundError("not_found", "this agent has no policy")
    return views.assignment_view(row)


@agents.route(
    "POST",
    _AGENTS + "/{vault}/commands",
    "Ask it to do something; it may refuse",
    role=Role.OPERATOR,
    requires_recent_auth=False,
    status=CREATED,
    errors=(409, 503),
)
async def command(call: Call, org: str, vault: str, *, body: NewCommand) -> views.CommandView:
    asked = await call.services.commands.send_command(
        org, vault, CommandName(body.command), call.caller.actor
    )
    return views.command_view(asked)


@agents.route("GET", _AGENTS + "/{vault}/commands", "What it was asked to do, the newest first")
async def commands(call: Call, org: str, vault: str) -> list[views.CommandView]:
    await call.services.registry.get_agent(org, vault)
    return [
        views.command_view(row) for row in await call.services.commands.list_commands(org, vault)
    ]


@agents.route("GET", "organizations/{org}/assignments", "What agents should have and have, by name")
async def assignments(call: Call, org: str, *, query: Assigned) -> list[views.AssignmentView]:
    if query.vault:
        row = await call.services.policies.get_assignment_state(org, query.vault)
        return [] if row is None else [views.assignment_view(row)]
    found = await call.services.policies.list_assignments(org, after=query.after, limit=query.limit)
    return [views.assignment_view(row) for row in found]


@agents.route("GET", _AGENTS + "/{vault}/checkpoint", "Its newest cosigned audit checkpoint")
async def checkpoint(call: Call, org: str, vault: str) -> Checkpoint:
    seen, cosignature, disputed = await call.services.registry.get_checkpoint(org, vault)
    at = rfc3339(seen.at)
    return Checkpoint(seen.size, seen.root.hex(), seen.note, cosignature, at, seen.fault, disputed)


@agents.route(
    "POST",
    _AGENTS + "/{vault}/checkpoint/accept",
    "After a fork or rollback was looked into: witness its log anew",
    role=Role.ADMIN,
    requires_recent_auth=True,
    status=NO_CONTENT,
)
async def accept_log(call: Call, org: str, vault: str, *, body: Because) -> None:  # noqa: ARG001  # recorded
    await call.services.alerts.accept_log(org, vault)


@metrics.route("GET", _AGENTS + "/{vault}/metrics", "The names of its series")
async def names(call: Call, org: str, vault: str) -> list[str]:
    return await call.services.metrics.list_series(org, vault)


@metrics.route("GET", _AGENTS + "/{vault}/metrics/samples", "Samples of one series in time")
async def samples(call: Call, org: str, vault: str, *, query: Span) -> list[views.SampleView]:
    found = await call.services.metrics.query_samples(
        org,
        vault,
        query.name,
        resolution=query.resolution,
        since=query.since,
        until=query.until,
    )
    return views.sample_views(found)


@alerts.route("GET", "organizations/{org}/alerts", "The newest alerts first")
async def list_(call: Call, org: str, *, query: AlertsWanted) -> list[views.AlertView]:
    found = await call.services.alerts.list_alerts(
        org,
        vault=query.vault,
        before=query.before * 10**9,
        limit=query.limit,
        narrow=AlertFilter(state=query.state or "", severity=query.severity or "", text=query.text),
        after=query.after,
    )
    return [views.alert_view(row) for row in found]


@alerts.route(
    "POST",
    "organizations/{org}/alerts/{alert}/acknowledge",
    "It was seen",
    role=Role.OPERATOR,
    requires_recent_auth=False,
)
async def acknowledge(call: Call, org: str, alert: str, *, body: Seen) -> views.AlertView:
    seen = await call.services.alerts.acknowledge_alert(org, alert, call.caller.actor, body.note)
    return views.alert_view(seen)


async def _change_life(call: Call, org: str, vault: str, to: Life, reason: str) -> views.AgentView:
    moved = await call.services.registry.change_life(org, vault, to, reason)
    await call.services.policies.refresh_bundles(org)
    return views.agent_view(moved)
