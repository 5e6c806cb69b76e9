"""What the API speaks to: the services of one control plane, by name."""

from dataclasses import dataclass

from actors import World
from control.authn.accounts import Accounts
from control.authn.factor_replacement import FactorReplacement
from control.authn.federation import Federation
from control.authn.invitations import Invitations
from control.authn.members import Members
from control.authn.second_factors import SecondFactors
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
from control.services.delegated_authority import DelegatedAuthority
from control.services.deletion_guard import DeletionGuard
from control.services.deliveries import Deliveries
from control.services.delivery_worker import DeliveryWorker
from control.services.enrolment_hooks import EnrolmentHooks
from control.services.event_bus import EventBus
from control.services.invitation_mail import InvitationMailer
from control.services.key_rotation import KeyRotation
from control.services.policies import Policies
from control.services.presence import PresenceTracker
from control.services.replays import Replays
from control.services.rollouts import Rollouts
from control.services.signed_heads import SignedHeads
from control.services.state_history import StateHistory
from control.services.usage import Usage
from control.services.witness import Witness
from control.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """Everything that is open while the control plane runs."""

    world: World
    public_url: str
    """Where browsers come, if the settings say; else what they name."""
    link_url: str
    """Where agents come; empty if there is no link, or the kernel chooses its port."""
    store: Store
    bus: EventBus
    pipeline: Pipeline
    sessions: Sessions
    accounts: Accounts
    users: Users
    members: Members
    second_factors: SecondFactors
    factor_replacement: FactorReplacement
    invitations: Invitations
    federation: Federation
    audit_log: AuditLog
    signed_heads: SignedHeads
    reports: Reports
    schedules: ReportSchedules
    notes: ControlNotes
    state_history: StateHistory
    retention: RecordRetention
    deletion_guard: DeletionGuard
    agents: AgentRegistry
    presence: PresenceTracker
    policies: Policies
    rollouts: Rollouts
    agent_metrics: AgentMetrics
    usage: Usage
    key_rotation: KeyRotation
    capacity: CapacityForecasts
    alerts: Alerts
    authority: DelegatedAuthority
    channels: Channels
    deliveries: Deliveries
    invitation_mail: InvitationMailer
    delivery_worker: DeliveryWorker
    witness: Witness
    commands: Commands
    replays: Replays
    enrolment_hooks: EnrolmentHooks
    ca: CertificateAuthority | None
    """None where no authority is configured: then no agent can come."""
