"""What the API speaks to: the services of one control plane, by name."""

from dataclasses import dataclass

from actors import World
from control.authn.accounts import Accounts
from control.authn.factors import Factors
from control.authn.federation import Federation
from control.authn.invitations import Invitations
from control.authn.members import Members
from control.authn.replacement import Replacement
from control.authn.sessions import Sessions
from control.authn.users import Users
from control.ca.office import Office
from control.compliance.keeping import Keeping
from control.compliance.notes import Notes
from control.compliance.reports import Reports
from control.compliance.schedules import Schedules
from control.pipeline import Pipeline
from control.services.aftermath import Aftermath
from control.services.alerts import Alerts
from control.services.authority import Authority
from control.services.capacity import Capacity
from control.services.channels import Channels
from control.services.commands import Commands
from control.services.deletions import Deletions
from control.services.deliveries import Deliveries
from control.services.events import Bus
from control.services.heads import Heads
from control.services.history import History
from control.services.keys import Keys
from control.services.metrics import Metrics
from control.services.policies import Policies
from control.services.postman import Postman
from control.services.presence import Watch
from control.services.registry import Registry
from control.services.replays import Replays
from control.services.rollouts import Rollouts
from control.services.trail import Trail
from control.services.usage import Usage
from control.services.welcome import Welcome
from control.services.witness import Witness
from control.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """Everything that is open while the control plane runs."""

    world: World
    public_url: str
    """Where browsers come, if the settings say; else what they name."""
    link_url: str
    """Where agents come; empty if there is no link, or the kernel chooses its port."""
    store: Store
    bus: Bus
    pipeline: Pipeline
    sessions: Sessions
    accounts: Accounts
    users: Users
    members: Members
    factors: Factors
    replacement: Replacement
    invitations: Invitations
    federation: Federation
    trail: Trail
    heads: Heads
    reports: Reports
    schedules: Schedules
    notes: Notes
    history: History
    keeping: Keeping
    deletions: Deletions
    registry: Registry
    watch: Watch
    policies: Policies
    rollouts: Rollouts
    metrics: Metrics
    usage: Usage
    keys: Keys
    capacity: Capacity
    alerts: Alerts
    authority: Authority
    channels: Channels
    deliveries: Deliveries
    welcome: Welcome
    postman: Postman
    witness: Witness
    commands: Commands
    replays: Replays
    aftermath: Aftermath
    office: Office | None
    """None where no authority is configured: then no agent can come."""
