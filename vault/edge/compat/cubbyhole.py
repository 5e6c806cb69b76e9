"""`cubbyhole/`: what a token keeps for itself."""

from typing import Final

import msgspec
from msgspec import Raw

from vault import operations
from vault.edge.compat.envelope import NO_CONTENT_REPLY, data_reply
from vault.edge.compat.fields import Fields
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import ValidationError
from vault.model.path import ResourcePath
from vault.model.payloads import KeepValue, Nothing

routes: Final = Router()


@routes.add("GET", template="cubbyhole/{path}")
async def read(dialect: Dialect, request: Request, path: str) -> Reply:
    """An entry."""
    value = await dialect.run_operation(request, operations.READ_CUBBYHOLE, _at(path), Nothing())
    return data_reply(request, Raw(value))


@routes.add("LIST", template="cubbyhole")
@routes.add("LIST", template="cubbyhole/")
@routes.add("LIST", template="cubbyhole/{path}")
async def list_(dialect: Dialect, request: Request, path: str = "") -> Reply:
    """What lies in a folder."""
    folder = ResourcePath.parse_folder(f"cubbyhole/{path}".removesuffix("/") + "/")
    found = await dialect.run_operation(request, operations.LIST_CUBBYHOLE, folder, Nothing())
    return data_reply(request, {"keys": found})


@routes.add("POST", template="cubbyhole/{path}")
async def write(dialect: Dialect, request: Request, path: str) -> Reply:
    """Keep the fields of the body, in place of what was there."""
    Fields.from_body(request).values()  # each is well-formed
    fields = request.decode_json(dict[str, Raw])
    if not fields:
        raise ValidationError("data_missing", "missing data fields")
    payload = KeepValue(value=msgspec.json.encode(fields))
    await dialect.run_operation(request, operations.WRITE_CUBBYHOLE, _at(path), payload)
    return NO_CONTENT_REPLY


@routes.add("DELETE", template="cubbyhole/{path}")
async def delete(dialect: Dialect, request: Request, path: str) -> Reply:
    """Forget an entry; one that is not there is no error."""
    await dialect.run_operation(request, operations.DELETE_CUBBYHOLE, _at(path), Nothing())
    return NO_CONTENT_REPLY


def _at(path: str) -> ResourcePath:
    return ResourcePath.parse(f"cubbyhole/{path}")
