"""`sys/audit`: the one log, which is always on, as an audit device."""

from typing import Final

from vault import operations
from vault.edge.compat.envelope import NO_CONTENT_REPLY, data_reply, system_reply
from vault.edge.compat.fields import Fields
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import ValidationError
from vault.model.path import ResourcePath
from vault.model.payloads import HashAuditValue, Nothing

routes: Final = Router()

DEVICE: Final = "file/"
_DEVICE: Final = {
    "description": "the agent's audit log; it cannot be switched off",
    "local": True,
    "options": {"format": "json"},
    "path": DEVICE,
    "type": "file",
}


@routes.add("GET", template="sys/audit")
async def list_(dialect: Dialect, request: Request) -> Reply:
    """The log, as the only device."""
    path = ResourcePath.parse("sys/audit")
    await dialect.run_operation(request, operations.READ_AUDIT_STATUS, path, Nothing())
    return system_reply(request, {DEVICE: _DEVICE})


@routes.add("POST", "DELETE", template="sys/audit/{path}")
async def change(dialect: Dialect, request: Request, path: str) -> Reply:
    """No device is made or taken away by a request; one that is not there is gone already."""
    if request.method == "DELETE" and f"{path.strip('/')}/" != DEVICE:
        place = ResourcePath.parse("sys/audit")
        await dialect.run_operation(request, operations.READ_AUDIT_STATUS, place, Nothing())
        return NO_CONTENT_REPLY
    verb = "enable" if request.method != "DELETE" else "disable"
    raise ValidationError(
        "audit_device_fixed",
        f"cannot {verb} audit device via API; use declarative, config-based audit device "
        "management instead",
    )


@routes.add("POST", template="sys/audit-hash/{path}")
async def hash_(dialect: Dialect, request: Request, path: str) -> Reply:
    """The hash that the log has for a text."""
    if f"{path.strip('/')}/" != DEVICE:
        raise ValidationError("audit_device_unknown", f'unknown audit backend "{path}/"')
    fields = Fields.from_body(request)
    text = fields.value("input")
    if not isinstance(text, str):
        raise ValidationError("input_missing", 'the "input" parameter is empty', field="input")
    found = await dialect.run_operation(
        request,
        operations.HASH_AUDIT_VALUE,
        ResourcePath.parse(f"sys/audit-hash/{path}"),
        HashAuditValue(value=text),
    )
    return data_reply(request, {"hash": found})
