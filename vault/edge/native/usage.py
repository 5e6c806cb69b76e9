"""`/api/v1/system/usage`: what is told of this agent's secrets, and whose an opaque id is."""

from msgspec import Struct

from protocols.instant import rfc3339, rfc3339_or_none
from vault import operations
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_path
from vault.edge.request import Request
from vault.model.usage import ReportUsage, ResolveOpaqueId, SecretUsage, Who

usage = Endpoints("usage", "What is used; opaque ids are what the control plane knows.")


class SecretBody(Struct, frozen=True):
    """One of the secrets that may be named, with its name here. Times are null for never."""

    opaque: str
    name: str
    last_read: str | None
    rotated_at: str
    expires_at: str | None


class UsageBody(Struct, frozen=True):
    """All secrets, and those of them that would be named by opaque ids.

    `idle`, `age`, `expires`: how many for at most 1, 7, 30, 90, 180, 365 days, and for longer.
    """

    total: int
    never_read: int
    expired: int
    idle: tuple[int, ...]
    age: tuple[int, ...]
    expires: tuple[int, ...]
    named: tuple[SecretBody, ...]


@usage.add(
    "GET", "system/usage", "All secrets, counted as the control plane is told", returns=UsageBody
)
async def look(dialect: Dialect, request: Request) -> UsageBody:
    asked = ReportUsage(opaque=True)
    found = await dialect.run_operation(
        request, operations.REPORT_USAGE, system_path("usage"), asked
    )
    return UsageBody(
        total=found.total,
        never_read=found.never_read,
        expired=found.expired,
        idle=found.idle,
        age=found.age,
        expires=found.expires,
        named=tuple(map(_secret, found.named)),
    )


@usage.add(
    "GET",
    "system/usage/{opaque}",
    "Whose this opaque id is, of this agent alone",
    returns=Who,
)
async def who(dialect: Dialect, request: Request, opaque: str) -> Who:
    asked = ResolveOpaqueId(opaque=opaque)
    return await dialect.run_operation(
        request, operations.RESOLVE_OPAQUE_ID, system_path("usage"), asked
    )


def _secret(one: SecretUsage) -> SecretBody:
    return SecretBody(
        opaque=one.opaque.hex(),
        name=one.name,
        last_read=rfc3339_or_none(one.last_read),
        rotated_at=rfc3339(one.rotated_at),
        expires_at=rfc3339(one.expires_at) if one.expires_at > 0 else None,
    )
