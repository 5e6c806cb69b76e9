"""What is counted of the rotations of a vault, for the control plane and the metrics."""

from msgspec import Struct

from protocols.link.vocabulary import RotationEvent


class LeaseStates(Struct, frozen=True):
    """Leases of dynamic credentials, by state."""

    active: int = 0
    revoking: int = 0
    irrevocable: int = 0
    unrenewed: int = 0
    """Clients that ask for new credentials instead of renewing what they have."""


class RotationNotice(Struct, frozen=True, kw_only=True):
    """An event of a rotation whose policy names channels. Opaque ids, as in usage reports."""

    notice: bytes
    secret: bytes
    event: RotationEvent
    channels: tuple[str, ...]


class RotationReport(Struct, frozen=True, kw_only=True):
    """As `protocols.link.messages.Rotations` and `Clients`; times are Unix nanoseconds."""

    at: int
    policies: int = 0
    unmanaged: int = 0
    due: int = 0
    overdue: int = 0
    overdue_since: int = 0
    next_due: int = 0
    running: int = 0
    waiting: int = 0
    failing: int = 0
    stuck: int = 0
    lagging: int = 0
    rotated_day: int = 0
    rotated_month: int = 0
    leases: LeaseStates = LeaseStates()
    notices: tuple[RotationNotice, ...] = ()
