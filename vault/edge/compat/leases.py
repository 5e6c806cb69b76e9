"""`sys/leases`, and the older names of its routes: leases of users at databases."""

from collections import Counter
from typing import Any, Final

from msgspec.structs import replace

from protocols.instant import SECOND, rfc3339, rfc3339_or_none
from vault import operations
from vault.edge.compat.envelope import NO_CONTENT_REPLY, data_reply
from vault.edge.compat.fields import Fields
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import NotFoundError, ValidationError
from vault.model.dynamic import LEASES_PATH, LeaseState
from vault.model.path import ResourcePath
from vault.model.payloads import (
    LeaseSelector,
    ListLeases,
    Nothing,
    RenewLease,
    RevokeLease,
    RevokeLeases,
)
from vault.model.records import DynamicLeaseRow

routes: Final = Router()

ACCEPTED: Final = 202
MAX_SHOWN: Final = 10_000  # leases of one answer, as OpenBao's
PAGE: Final = 1_000
_NO_LEASE: Final = frozenset({"lease_not_found", "lease_not_renewable"})
_TIDIED: Final = (
    "Tidy operation successfully started. Any information from the operation will be printed to "
    "OpenBao's server logs."
)


@routes.add("POST", template="sys/leases/lookup")
async def look_up(dialect: Dialect, request: Request) -> Reply:
    """A lease by its id."""
    lease = _lease_id(Fields.from_body(request))
    try:
        row = await dialect.run_operation(
            request, operations.READ_LEASE, _at("lookup", lease), LeaseSelector(lease=lease)
        )
    except NotFoundError:
        raise _invalid_lease() from None
    if row.state != LeaseState.ACTIVE:  # it has ended, and so Vault forgets it
        raise _invalid_lease()
    return data_reply(request, _lease_body(row, dialect.world.now()))


@routes.add("LIST", template="sys/leases/lookup")
@routes.add("LIST", template="sys/leases/lookup/{path}")
async def list_(dialect: Dialect, request: Request, path: str = "") -> Reply:
    """The ids of leases, a folder at a time."""
    folder = ResourcePath.parse_folder(f"{LEASES_PATH}lookup/{path}")
    found = await dialect.run_operation(request, operations.LIST_LEASE_KEYS, folder, Nothing())
    if not found.keys:
        raise NotFoundError("folder_empty", "nothing lies in this folder")
    return data_reply(request, {"keys": found.keys})


@routes.add("POST", template="sys/leases/renew")
@routes.add("POST", template="sys/leases/renew/{path}")
@routes.add("POST", template="sys/renew")
@routes.add("POST", template="sys/renew/{path}")
async def renew(dialect: Dialect, request: Request, path: str = "") -> Reply:
    """Have a lease last for `increment` from now, or for its own TTL."""
    fields = Fields.from_body(request)
    lease = _lease_id(fields, path)
    increment = fields.duration("increment") or 0
    if increment < 0:
        raise ValidationError(
            "field_invalid",
            'Field validation failed: error converting input for field "increment": cannot provide '
            f"negative value '{increment // SECOND}'",
            field="increment",
        )
    try:
        renewed = await dialect.run_operation(
            request,
            operations.RENEW_LEASE,
            _at("renew", lease),
            RenewLease(lease=lease, increment=increment),
        )
    except (NotFoundError, ValidationError) as error:
        if error.code not in _NO_LEASE:
            raise
        raise ValidationError("lease_not_found", "lease not found", field="lease_id") from None
    row = renewed.lease
    return data_reply(
        request,
        None,
        lease_id=row.id,
        renewable=True,
        lease_duration=(row.expires_at - row.renewed_at) // SECOND,
        warnings=list(renewed.warnings) or None,
    )


@routes.add("POST", template="sys/leases/revoke")
@routes.add("POST", template="sys/leases/revoke/{path}")
@routes.add("POST", template="sys/revoke")
@routes.add("POST", template="sys/revoke/{path}")
async def revoke(dialect: Dialect, request: Request, path: str = "") -> Reply:
    """End a lease; one that is not there is no error."""
    fields = Fields.from_body(request)
    lease = _lease_id(fields, path)
    payload = RevokeLease(lease=lease, sync=bool(fields.boolean("sync")))
    await dialect.run_operation(request, operations.REVOKE_LEASE, _at("revoke", lease), payload)
    return NO_CONTENT_REPLY


@routes.add("POST", template="sys/leases/revoke-prefix/{path}")
@routes.add("POST", template="sys/revoke-prefix/{path}")
async def revoke_prefix(dialect: Dialect, request: Request, path: str) -> Reply:
    """End all leases below a folder, or one by its id."""
    return await _revoke_all(dialect, request, path, force=False)


@routes.add("POST", template="sys/leases/revoke-force/{path}")
@routes.add("POST", template="sys/revoke-force/{path}")
async def revoke_force(dialect: Dialect, request: Request, path: str) -> Reply:
    """As `revoke-prefix`; they are over even if their users are left behind."""
    return await _revoke_all(dialect, request, path, force=True)


@routes.add("POST", template="sys/leases/tidy")
async def tidy(dialect: Dialect, request: Request) -> Reply:
    """Forget leases that are over."""
    await dialect.run_operation(
        request, operations.TIDY_LEASES, ResourcePath.parse(f"{LEASES_PATH}tidy"), Nothing()
    )
    return data_reply(request, None, status=ACCEPTED, warnings=[_TIDIED])


@routes.add("GET", template="sys/leases/count")
async def count(dialect: Dialect, request: Request) -> Reply:
    """How many leases are irrevocable, by the accessor of their mount."""
    found = Counter[str]()
    for row in await _irrevocable(dialect, request):
        mount = dialect.service.mounts.find_for_path(row.id)
        found["" if mount is None else mount.accessor] += 1
    return data_reply(request, {"counts": dict(found), "lease_count": found.total()})


@routes.add("GET", template="sys/leases")
async def irrevocable(dialect: Dialect, request: Request) -> Reply:
    """The leases whose users could not be dropped, and why."""
    rows = await _irrevocable(dialect, request)
    leases = [{"error": f"{row.error_code}: {row.error}", "lease_id": row.id} for row in rows]
    return data_reply(request, {"lease_count": len(leases), "leases": leases})


async def _irrevocable(dialect: Dialect, request: Request) -> list[DynamicLeaseRow]:
    """Those that the caller may see. Raises `NotFoundError` for another kind of leases."""
    if request.query.get("type") != "irrevocable":
        raise NotFoundError("type_unknown", "only irrevocable leases are listed")
    payload = ListLeases(state=LeaseState.IRREVOCABLE, limit=PAGE)
    path, found = ResourcePath.parse(f"{LEASES_PATH}lookup"), list[DynamicLeaseRow]()
    while len(found) < MAX_SHOWN:
        part = f"-{len(found)}" if found else ""
        page = await dialect.run_operation(
            request, operations.LIST_LEASES, path, payload, part=part
        )
        found += page.leases
        if not page.cursor:
            break
        payload = replace(payload, cursor=page.cursor)
    return found


async def _revoke_all(dialect: Dialect, request: Request, prefix: str, *, force: bool) -> Reply:
    if prefix.endswith("/") or not prefix:
        raise ValidationError("path_invalid", "cannot write to a path ending in '/'", field="path")
    path = ResourcePath.parse(f"{LEASES_PATH}revoke-{'force' if force else 'prefix'}/{prefix}")
    payload, turn = RevokeLeases(prefix=prefix, force=force), 0
    while True:
        part = f"-{turn}" if turn else ""
        revoked = await dialect.run_operation(
            request, operations.REVOKE_LEASES, path, payload, part=part
        )
        if not revoked.after:
            return NO_CONTENT_REPLY
        payload, turn = replace(payload, after=revoked.after), turn + 1


def _lease_body(row: DynamicLeaseRow, now: int) -> dict[str, Any]:
    return {
        "expire_time": rfc3339(row.expires_at),
        "id": row.id,
        "issue_time": rfc3339(row.issued_at),
        "last_renewal": rfc3339_or_none(row.renewed_at),
        "path": row.id.rpartition("/")[0],
        "renewable": row.state == LeaseState.ACTIVE,
        "ttl": max(row.expires_at - now, 0) // SECOND,
    }


def _invalid_lease() -> ValidationError:
    return ValidationError("lease_not_found", "invalid lease", field="lease_id")


def _lease_id(fields: Fields, path: str = "") -> str:
    lease = fields.text("lease_id") or path
    if not lease:
        raise ValidationError("lease_missing", "lease_id must be specified", field="lease_id")
    return lease


def _at(verb: str, lease: str) -> ResourcePath:
    return ResourcePath.parse(f"{LEASES_PATH}{verb}/{lease}")
