"""What was used, before it is told: payloads and results of the operations of `usage`."""

from msgspec import Struct


class ReportUsage(Struct, frozen=True, kw_only=True):
    """Count all secrets. `reads` and `uses`: by secret and by credential, for the most used."""

    reads: dict[str, int] = {}
    uses: dict[str, int] = {}
    opaque: bool = False
    """Name some of them, by opaque ids."""


class SecretUsage(Struct, frozen=True, kw_only=True):
    """One secret. Unix nanoseconds, 0 for never. `name` is for this agent's people alone."""

    opaque: bytes
    name: str
    reads: int
    last_read: int
    rotated_at: int
    expires_at: int


class IdentityUsage(Struct, frozen=True, kw_only=True):
    """A user, or a token without one. `name` is for this agent's people alone."""

    opaque: bytes
    name: str
    count: int


class UsageReport(Struct, frozen=True, kw_only=True):
    """All secrets, counted; the classes are `protocols.link.messages.Secrets`'."""

    total: int = 0
    never_read: int = 0
    expired: int = 0
    idle: tuple[int, ...]
    age: tuple[int, ...]
    expires: tuple[int, ...]
    named: tuple[SecretUsage, ...] = ()
    identities: tuple[IdentityUsage, ...] = ()


class ResolveOpaqueId(Struct, frozen=True, kw_only=True):
    """Whose opaque id this is, in hexadecimal."""

    opaque: str


class Who(Struct, frozen=True, kw_only=True):
    """`kind`: `secret` or `identity`."""

    kind: str
    name: str
    id: str


class FindExpiring(Struct, frozen=True, kw_only=True):
    """Secrets that expire from now on until `within` nanoseconds have passed, and that have.

    Of the latter those whose end and opaque id come after `ended`: those until there are known.
    """

    within: int
    ended: tuple[int, bytes]


class ExpiringSecret(Struct, frozen=True, kw_only=True):
    """By its opaque id alone. `expires_at`: Unix nanoseconds."""

    opaque: bytes
    version: int
    expires_at: int


class ExpiringReport(Struct, frozen=True, kw_only=True):
    """The soonest first, `protocols.link.limits.MAX_EXPIRING` at most of each.

    `total`: how many will expire. `ended`: those that have, by end and opaque id.
    """

    secrets: tuple[ExpiringSecret, ...]
    total: int
    ended: tuple[ExpiringSecret, ...] = ()
