"""`sys/remount`: mounts move with all that is in them, and what became of it."""

from typing import Final

from vault import operations
from vault.edge.compat.envelope import data_reply, system_reply
from vault.edge.compat.fields import Fields
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import ConflictError, NotFoundError, ValidationError
from vault.model.auth_mounts import AUTH, TOKEN_PATH
from vault.model.path import RESERVED, ResourcePath
from vault.model.payloads import MoveMount, Nothing

routes: Final = Router()

_MOVED: Final = (
    "Mount move has been queued. Progress will be reported in OpenBao's server log, tagged with "
    "the returned migration_id"
)
_IN_USE: Final = "path is already in use at "


@routes.add("POST", template="sys/remount")
async def remount(dialect: Dialect, request: Request) -> Reply:
    """Move a mount. It is done when this is answered."""
    fields = Fields.from_body(request)
    source, target = fields.text("from").strip("/"), fields.text("to").strip("/")
    if not source or not target:
        raise ValidationError(
            "remount_invalid", "both 'from' and 'to' path must be specified as a string"
        )
    is_auth = source.startswith(AUTH)
    _refuse_fixed(source, target, is_auth=is_auth)
    operation = operations.MOVE_AUTH if is_auth else operations.MOVE_MOUNT
    place = f"sys/auth/{source.removeprefix(AUTH)}" if is_auth else f"sys/mounts/{source}"
    payload = MoveMount(to=target.removeprefix(AUTH) if is_auth else target)
    try:
        row = await dialect.run_operation(request, operation, ResourcePath.parse(place), payload)
    except NotFoundError:
        raise ValidationError("mount_not_found", f'no matching mount at "{source}/"') from None
    except ConflictError as error:
        if not error.message.startswith(_IN_USE):
            raise
        taken = error.message.removeprefix(_IN_USE)
        taken = f"{AUTH}{taken}" if is_auth else taken
        raise ConflictError(error.code, f'path already in use at "{taken}"') from None
    return system_reply(request, {"migration_id": row.id}, warnings=[_MOVED])


@routes.add("GET", template="sys/remount/status/{id}")
async def remount_status(dialect: Dialect, request: Request, id: str) -> Reply:  # noqa: A002  # the route's word
    """The state of a move. Moves are kept over restarts."""
    row = await dialect.run_operation(
        request,
        operations.READ_MOUNT_MOVE,
        ResourcePath.parse(f"sys/remount/status/{id}"),
        Nothing(),
    )
    info = {"source_mount": row.source, "status": "success", "target_mount": row.target}
    return data_reply(request, {"migration_id": row.id, "migration_info": info})


def _refuse_fixed(source: str, target: str, *, is_auth: bool) -> None:
    """Raise `ValidationError` for a mount that cannot be moved, or to a path of another kind."""
    if f"{source}/" == AUTH + TOKEN_PATH or (not is_auth and _is_reserved(source)):
        raise ValidationError("remount_invalid", f'cannot remount "{source}/"', field="from")
    if is_auth and not f"{target}/".startswith(AUTH):
        told = f'cannot remount auth mount to non-auth mount "{target}/"'
    elif is_auth and f"{target}/".startswith(AUTH + TOKEN_PATH):
        told = f'cannot remount to destination "{target}/"'
    elif is_auth != (f"{target}/" != AUTH and target.startswith(AUTH)) or (
        not is_auth and _is_reserved(target)
    ):
        told = f"cannot remount to destination {target}/"
    else:
        return
    raise ValidationError("remount_invalid", told, field="to")


def _is_reserved(path: str) -> bool:
    return path.partition("/")[0].casefold() in RESERVED
