"""What the endpoints of each resource may use."""

from dataclasses import dataclass

from actors import World
from control.authn.accounts import Accounts
from control.authn.federation import Federation
from control.authn.invitations import Invitations
from control.authn.members import Members
from control.authn.second_factors import FactorReplacement, SecondFactors
from control.authn.sessions import Sessions
from control.authn.users import Users
from control.ca.certificate_authority import CertificateAuthority
from control.compliance.notes import ControlNotes
from control.compliance.reports import Reports
from control.compliance.retention import RecordRetention
from control.compliance.schedules import ReportSchedules
from control.pipeline import Pipeline
from control.services.agent_metrics import AgentMetrics
from control.services.agent_registry import AgentRegistry
from control.services.alerts import Alerts
from control.services.audit_log import AuditLog
from control.services.capacity import CapacityForecasts
from control.services.channels import Channels
from control.services.commands import Commands
from control.services.deliveries import Deliveries
from control.services.invitation_mail import InvitationMailer
from control.services.key_rotation import KeyRotation
from control.services.policies import Policies
from control.services.replays import Replays
from control.services.rollouts import Rollouts
from control.services.signed_heads import SignedHeads
from control.services.usage import Usage
from control.services.vaults import Vaults


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleServices:
    """Organizations, their people, sessions, second factors and API tokens."""

    users: Users
    members: Members
    accounts: Accounts
    sessions: Sessions
    second_factors: SecondFactors
    factor_replacement: FactorReplacement


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationServices:
    """Identity providers."""

    federation: Federation
    sessions: Sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationServices:
    """Invitations."""

    invitations: Invitations
    mailer: InvitationMailer
    sessions: Sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentServices:
    """Enrolment tokens and join requests."""

    ca: CertificateAuthority | None
    """None where the settings have no link: no agent can enrol."""
    link_url: str
    """The address for agents; empty without a link, or where the kernel chooses its port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentServices:
    """Agents, their metrics and alerts."""

    registry: AgentRegistry
    vaults: Vaults
    commands: Commands
    policies: Policies
    metrics: AgentMetrics
    alerts: Alerts


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyServices:
    """Policies, roll-outs and replays."""

    policies: Policies
    rollouts: Rollouts
    replays: Replays


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationServices:
    """Channels and their messages."""

    channels: Channels
    deliveries: Deliveries


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplianceServices:
    """Reports, their schedules, notes, retention rules and legal holds."""

    reports: Reports
    schedules: ReportSchedules
    notes: ControlNotes
    retention: RecordRetention


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditServices:
    """The audit log of people."""

    log: AuditLog
    signed_heads: SignedHeads


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageServices:
    """Usage, capacity and key rotation."""

    usage: Usage
    capacity: CapacityForecasts
    key_rotation: KeyRotation


@dataclass(frozen=True, slots=True, kw_only=True)
class RestServices:
    """What the REST API is built over: the pipeline, and each resource's services."""

    world: World
    public_url: str
    """The origin for browsers, where the settings name one; else the request's own."""
    pipeline: Pipeline
    people: PeopleServices
    federation: FederationServices
    invitations: InvitationServices
    enrolment: EnrolmentServices
    agents: AgentServices
    policies: PolicyServices
    notifications: NotificationServices
    compliance: ComplianceServices
    audit: AuditServices
    usage: UsageServices
