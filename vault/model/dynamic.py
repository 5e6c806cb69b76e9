"""Dynamic credentials: users at a database that live as long as a lease. Instants are Unix ns.

A mount of the type `database` holds connections, roles and the credentials made by them:

    database/config/NAME     a connection: what lets the agent in at a server
    database/roles/NAME      a role: how a user is created through a connection, and for how long
    database/creds/NAME      its credentials; a lease's id is this path and one segment more
"""

from enum import StrEnum, unique
from typing import Final

from msgspec import Struct

from protocols.instant import DAY, HOUR

MOUNT_TYPE: Final = "database"
CONNECTIONS: Final = "config/"
ROLES: Final = "roles/"
CREDENTIALS: Final = "creds/"
ANY_ROLE: Final = "*"
"""Among the allowed roles of a connection."""
LEASES_PATH: Final = "sys/leases/"
"""Where leases lie in the path space of policies: `sys/leases/VERB/LEASE`."""

DEFAULT_TTL: Final = HOUR
DEFAULT_MAX_TTL: Final = DAY
MOST_TTL: Final = 366 * DAY


@unique
class LeaseState(StrEnum):
    """What is durable of a lease. It only ever goes on, and each transition is made once."""

    CREATING = "creating"
    """The target may have been told to create the user. Nobody has its password."""
    ACTIVE = "active"
    """The user exists, until the lease expires or is revoked."""
    REVOKING = "revoking"
    """No renewal any more. The user is dropped, however often that has to be tried."""
    IRREVOCABLE = "irrevocable"
    """As revoking, after so many failures that somebody has to look. Still tried, seldom."""
    REVOKED = "revoked"
    """Over: the target has dropped the user, or somebody has said that it need not be."""


COUNTED: Final = frozenset(
    {LeaseState.CREATING, LeaseState.ACTIVE, LeaseState.REVOKING, LeaseState.IRREVOCABLE}
)
"""States in which there may be a user at the target."""
STANDING: Final = frozenset({LeaseState.CREATING, LeaseState.ACTIVE})
"""States that a revocation ends."""

UNRENEWED_ALERT: Final = 20
"""Leases that a client with another one has asked for since it has renewed any, from which on it
counts as one that never renews."""


class LeaseCounts(Struct, frozen=True, kw_only=True):
    """How dynamic credentials do: what the metrics and the control plane are told.

    `leases` may have a user at a server. `failing`: their users could not be dropped so far;
    `irrevocable` of them for so long that somebody must look. `unrenewed`: clients that ask for new
    credentials instead of renewing. `orphans`: users that belong to no lease, as of the last sweep.
    """

    leases: int = 0
    failing: int = 0
    irrevocable: int = 0
    unrenewed: int = 0
    orphans: int = 0
