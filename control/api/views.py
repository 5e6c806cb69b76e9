"""How things look to a caller: no digest, no password, times as RFC 3339."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict

from control.model.agents import Agent, Health, Life, Presence, State
from control.model.backups import VaultBackup
from control.model.links import AgentCommand
from control.model.people import Membership, Organization, Role, Token, TokenKind, User
from control.model.policies import (
    AssignmentState,
    Outcome,
    Plan,
    Policy,
    PolicyVersion,
    Rollout,
    RolloutState,
    Target,
)
from control.model.records import Alert, AlertState, AuditEvent, Sample, Severity
from control.model.rotations import RotationDebt, VaultRotations
from control.model.vaults import Vault, VaultState
from control.services.rollout_steps import Progress
from protocols.instant import SECOND, rfc3339, rfc3339_or_none
from protocols.link.vocabulary import BackupState, CommandOutcome


class OrganizationView(Struct, frozen=True):
    """A tenant."""

    id: str
    title: str
    created_at: str
    second_factor: bool


class MemberView(Struct, frozen=True):
    """A member whose account is of another organization, `home`."""

    home: str
    name: str
    role: Role
    created_by: str
    created_at: str


class UserView(Struct, frozen=True):
    """A person."""

    name: str
    role: Role
    disabled: bool
    created_at: str
    last_login: str | None
    email: str
    second_factor: bool


class TokenView(Struct, frozen=True):
    """A credential, without its secret."""

    id: str
    user: str
    kind: TokenKind
    label: str
    role: Role
    created_at: str
    expires_at: str


class Secret(Struct, frozen=True):
    """A new credential. `secret` is shown this once."""

    secret: str
    token: TokenView


class AgentView(Struct, frozen=True):
    """An agent as of this moment."""

    vault: str
    life: Life
    reason: str
    tags: tuple[str, ...]
    state: State
    """Of life, presence and health what counts most."""
    presence: Presence
    last_seen: str | None
    facts: dict[str, str | int]
    health: Health
    """As it said last; empty before it ever did."""
    sync: str
    """Its own view of its link, as it said last: `online`, `queueing`, `offline`."""
    created_at: str
    vault_id: str
    """Of the vault that it serves, as it says; agents with the same one are its nodes."""


class NodeView(Struct, frozen=True):
    """An agent as a node of its vault."""

    vault: str
    """The agent's name."""
    life: Life
    state: State
    last_seen: str | None


class BackupView(Struct, frozen=True):
    """The backups of a vault, as its nodes report them; `rto`, `rpo` in seconds."""

    state: BackupState
    """`late` also if the control plane has heard of no backup for longer than the schedule."""
    newest: str | None
    """When the newest whole backup was made."""
    proven: str | None
    """When the newest backup was made that a restore has proven."""
    count: int
    rto: int
    """How long the newest proven restore took."""
    rpo: int
    """Changes of so long it would have lost."""
    certificate: str
    """SHA-256 of the newest restore certificate; empty without one."""
    certified: bool
    """Whether a certificate proves a backup of the last 7 days, or two periods if longer."""


class RotationView(Struct, frozen=True):
    """The rotations and leases of a vault, counted by one of its nodes."""

    state: RotationDebt
    policies: int
    """Secrets with a rotation policy, their own or a folder's."""
    unmanaged: int
    """Secrets without one."""
    due: int
    """Secrets whose rotation is due within a day."""
    overdue: int
    """Secrets that should have been rotated by now, also by the control plane's own clock."""
    overdue_since: str | None
    next_due: str | None
    running: int
    waiting: int
    """Rotations that wait until applications have fetched the new value."""
    failing: int
    """Secrets whose last rotation was undone."""
    stuck: int
    """Rotations that wait for a person."""
    rotated_day: int
    """Rotations of the last 24 hours."""
    rotated_month: int
    """Rotations of the last 30 days."""
    leases: int
    """Leases of dynamic credentials that are active."""
    revoking: int
    irrevocable: int
    """Leases whose credential could not be dropped at its target."""
    lagging: int
    """Rotations whose new value an application has not fetched, with the old one ending soon."""
    unrenewed: int
    """Clients that ask for new credentials instead of renewing leases."""


class VaultView(Struct, frozen=True):
    """A vault with its nodes."""

    vault: str
    """Its name: that of its first node."""
    id: str
    """Empty if its agent does not say it."""
    state: VaultState
    """`partial`: some nodes serve. It is `offline` only if all nodes are."""
    policies_differ: bool
    """Whether the nodes should have different policies: in force are those that came last."""
    nodes: tuple[NodeView, ...]
    backup: BackupView | None
    """Null while no node has reported any, as is the next."""
    rotation: RotationView | None


class TallyView(Struct, frozen=True):
    """An organization's agents: how many, but for retired ones, and how many of them serve."""

    organization: str
    agents: int
    online: int


class PolicyView(Struct, frozen=True):
    """A policy: its newest version, the one in general use (0: none), and whom it is for."""

    name: str
    head: int
    stable: int
    targets: tuple[Target, ...]
    changed_at: str


class VersionView(Struct, frozen=True):
    """One document."""

    version: int
    document: dict[str, Any]
    comment: str
    created_by: str
    created_at: str


class StoredPlan(Plan, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A plan with the targets that the roll-out gives its policy, and those before; null: none."""

    targets: tuple[Target, ...] | None = None
    previous_targets: tuple[Target, ...] | None = None


class RolloutView(Struct, frozen=True):
    """A roll-out; `progress` counts the agents that its step reaches, null once it is undone."""

    id: str
    policy: str
    version: int
    previous: int
    plan: StoredPlan
    step: int
    state: RolloutState
    reason: str
    created_by: str
    created_at: str
    progress: Progress | None


class AssignmentView(Struct, frozen=True):
    """What an agent should have, what it has, and why not."""

    vault: str
    bundle_version: int
    policies: dict[str, int]
    outcome: Outcome
    reason: str
    applied_version: int
    changed_at: str


WHY_NOT: Final[Mapping[str, str]] = {
    CommandOutcome.REFUSED: "the agent's owner has not allowed it: control_plane.allow_commands",
    CommandOutcome.UNSUPPORTED: "the agent cannot: its version lacks it, or it makes no backups",
    CommandOutcome.EXPIRED: "the agent did not come back in time",
    CommandOutcome.FAILED: "see the agent's log",
}
"""Of a command, by its outcome."""


class CommandView(Struct, frozen=True):
    """What an agent was asked to do; `outcome` is empty until it tells, `reason` says why not."""

    id: str
    vault: str
    command: str
    created_by: str
    created_at: str
    expires_at: str
    outcome: str
    reason: str
    done_at: str | None


class AlertView(Struct, frozen=True):
    """A condition from its start (`at`) to its end, however often it was reported (`count`).

    `duration`: seconds that it lasted; null while it fires.
    """

    id: str
    vault: str
    code: str
    severity: Severity
    state: AlertState
    message: str
    at: str
    last_at: str
    ended_at: str | None
    duration: int | None
    count: int
    acknowledged_by: str
    acknowledged_at: str | None
    subject: str
    """About what: an agent's own random id, a roll-out, the other agent of a log; or empty."""
    note: str
    """Of the person who acknowledged it."""


class EventView(Struct, frozen=True):
    """An audit record; hashes in hex."""

    seq: int
    at: str
    request_id: str
    actor: str
    token: str
    ip: str
    operation: str
    target: str
    phase: str
    result: str
    code: str
    detail: dict[str, Any]
    previous: str
    hash: str


class SampleView(Struct, frozen=True):
    """Figures from `at` on (Unix seconds)."""

    at: int
    count: int
    total: float
    low: float
    high: float
    last: float


def organization_view(row: Organization) -> OrganizationView:
    """As a caller sees it."""
    return OrganizationView(row.id, row.title, rfc3339(row.created_at), row.second_factor)


def member_view(row: Membership) -> MemberView:
    """As a caller sees it."""
    return MemberView(row.home, row.name, row.role, row.created_by, rfc3339(row.created_at))


def user_view(row: User, *, second_factor: bool) -> UserView:
    """As a caller sees it."""
    return UserView(
        row.name,
        row.role,
        row.disabled,
        rfc3339(row.created_at),
        rfc3339_or_none(row.last_login),
        row.email,
        second_factor,
    )


def token_view(row: Token) -> TokenView:
    """As a caller sees it."""
    times = rfc3339(row.created_at), rfc3339(row.expires_at)
    return TokenView(row.id, row.user, row.kind, row.label, row.role, *times)


def agent_view(row: Agent) -> AgentView:
    """As a caller sees it."""
    return AgentView(
        vault=row.vault,
        life=row.life,
        reason=row.reason,
        tags=row.tags,
        state=row.state,
        presence=row.presence,
        last_seen=rfc3339_or_none(row.last_seen),
        facts=row.facts,
        health=row.health,
        sync=str(row.facts.get("sync", "")),
        created_at=rfc3339(row.created_at),
        vault_id=row.vault_id,
    )


def vault_view(row: Vault) -> VaultView:
    """As a caller sees it."""
    nodes = (
        NodeView(node.name, node.life, node.state, rfc3339_or_none(node.last_seen))
        for node in row.nodes
    )
    backup = None if row.backup is None else backup_view(row.backup)
    rotation = None if row.rotation is None else rotation_view(row.rotation)
    return VaultView(
        row.name, row.id, row.state, row.policies_differ, tuple(nodes), backup, rotation
    )


def backup_view(row: VaultBackup) -> BackupView:
    """As a caller sees it."""
    return BackupView(
        state=row.state,
        newest=rfc3339_or_none(row.newest),
        proven=rfc3339_or_none(row.proven),
        count=row.count,
        rto=row.rto,
        rpo=row.rpo,
        certificate=row.certificate_hex,
        certified=row.is_fresh,
    )


def rotation_view(row: VaultRotations) -> RotationView:
    """As a caller sees it."""
    counts = row.counts
    return RotationView(
        state=row.state,
        policies=counts.policies,
        unmanaged=counts.unmanaged,
        due=counts.due,
        overdue=row.overdue,
        overdue_since=rfc3339_or_none(row.overdue_since),
        next_due=rfc3339_or_none(counts.next_due),
        running=counts.running,
        waiting=counts.waiting,
        failing=counts.failing,
        stuck=counts.stuck,
        rotated_day=counts.rotated_day,
        rotated_month=counts.rotated_month,
        leases=counts.leases,
        revoking=counts.revoking,
        irrevocable=counts.irrevocable,
        lagging=counts.lagging,
        unrenewed=counts.unrenewed,
    )


def policy_view(row: Policy) -> PolicyView:
    """As a caller sees it."""
    return PolicyView(row.name, row.head, row.stable, row.targets, rfc3339(row.changed_at))


def version_view(row: PolicyVersion) -> VersionView:
    """As a caller sees it."""
    return VersionView(
        row.version, row.document, row.comment, row.created_by, rfc3339(row.created_at)
    )


def rollout_view(row: Rollout, progress: Progress | None = None) -> RolloutView:
    """As a caller sees it."""
    return RolloutView(
        id=row.id,
        policy=row.policy,
        version=row.version,
        previous=row.previous,
        plan=StoredPlan(
            **asdict(row.plan), targets=row.targets, previous_targets=row.previous_targets
        ),
        step=row.step,
        state=row.state,
        reason=row.reason,
        created_by=row.created_by,
        created_at=rfc3339(row.created_at),
        progress=None if row.state is RolloutState.ROLLED_BACK else progress,
    )


def assignment_view(row: AssignmentState) -> AssignmentView:
    """As a caller sees it."""
    return AssignmentView(
        vault=row.vault,
        bundle_version=row.version,
        policies=row.contents,
        outcome=row.outcome,
        reason=row.reason,
        applied_version=row.applied,
        changed_at=rfc3339(row.changed_at),
    )


def command_view(row: AgentCommand) -> CommandView:
    """As a caller sees it."""
    times = rfc3339(row.created_at), rfc3339(row.expires_at)
    return CommandView(
        row.id,
        row.vault,
        row.command,
        row.created_by,
        *times,
        row.outcome,
        WHY_NOT.get(row.outcome, ""),
        rfc3339_or_none(row.done_at),
    )


def alert_view(row: Alert) -> AlertView:
    """As a caller sees it."""
    return AlertView(
        id=row.id,
        vault=row.vault,
        code=row.code,
        severity=row.severity,
        state=row.state,
        message=row.message,
        at=rfc3339(row.at),
        last_at=rfc3339(row.last_at),
        ended_at=rfc3339_or_none(row.ended_at),
        duration=(row.ended_at - row.at) // SECOND if row.ended_at else None,
        count=row.count,
        acknowledged_by=row.acknowledged_by,
        acknowledged_at=rfc3339_or_none(row.acknowledged_at),
        subject=row.subject,
        note=row.note,
    )


def audit_event_view(row: AuditEvent) -> EventView:
    """As a caller sees it."""
    return EventView(
        seq=row.seq,
        at=rfc3339(row.at),
        request_id=row.request_id,
        actor=row.actor,
        token=row.token,
        ip=row.ip,
        operation=row.operation,
        target=row.target,
        phase=row.phase,
        result=row.result,
        code=row.code,
        detail=row.detail,
        previous=row.previous.hex(),
        hash=row.hash.hex(),
    )


def sample_views(rows: Sequence[Sample]) -> list[SampleView]:
    """As a caller sees them."""
    return [SampleView(r.at, r.count, r.total, r.low, r.high, r.last) for r in rows]
