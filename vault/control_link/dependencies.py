"""What a control link is made from, and how it is set."""

from collections.abc import Callable

from msgspec import Struct

from actors import World
from protocols.link.vocabulary import CommandName
from vault.control_link.addresses import ControlPlaneAddresses
from vault.control_link.connector import Dialer, LinkTimeouts
from vault.control_link.credential_manager import CertificateIssuer
from vault.control_link.database import LinkDatabase
from vault.control_link.egress_ledger import EgressRecorder
from vault.control_link.enrol_client import EnrolTarget
from vault.control_link.expiry_alerts import ExpiryAlerts
from vault.control_link.host import LinkHost
from vault.control_link.identity import AgentCredential
from vault.control_link.outbox import DEFAULT_MAX_BYTES
from vault.control_link.policy_replays import PolicyReplays
from vault.control_link.usage_reporter import UsageReporter


class LinkConfig(Struct, frozen=True, kw_only=True):
    """Seconds and bytes."""

    heartbeat: float = 60.0
    metrics: float = 60.0
    checkpoints: float = 60.0
    outbox_bytes: int = DEFAULT_MAX_BYTES
    timeouts: LinkTimeouts = LinkTimeouts()
    allowed: tuple[CommandName, ...] = ()
    enrol_target: EnrolTarget | None = None
    label: str = ""


class LinkDependencies(Struct, frozen=True, kw_only=True):
    """What the control link is made from; a simulation brings others."""

    database: LinkDatabase
    egress: EgressRecorder
    dial: Dialer
    enroller: CertificateIssuer
    load: Callable[[], AgentCredential | None]
    host: LinkHost
    world: World
    egress_total: Callable[[], int] = int
    usage: UsageReporter | None = None
    """None where nothing of it is told."""
    expiring: ExpiryAlerts | None = None
    """The same of secrets that expire."""
    replays: PolicyReplays | None = None
    """None where they are not answered at all."""
    addresses: ControlPlaneAddresses | None = None
    """Those that `dial` goes by, if there are several."""
