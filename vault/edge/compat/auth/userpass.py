"""Userpass' route of a user's policies."""

from typing import Final

from vault.authn.methods.method import Form
from vault.authn.methods.userpass import USER
from vault.edge.compat.auth_methods import converted, write_entry
from vault.edge.compat.envelope import NO_CONTENT_REPLY
from vault.edge.compat.fields import Fields
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import NotFoundError, ValidationError
from vault.model.records import AuthMountRow

routes: Final = Router()


@routes.add("POST", template="users/{name}/policies")
async def write_policies(
    dialect: Dialect, request: Request, mount: AuthMountRow, name: str
) -> Reply:
    """Replace the policies of a user."""
    kind = dialect.service.auth.methods[mount.type].kinds[USER]
    fields = Fields.from_body(request)
    given = next((each for each in ("token_policies", "policies") if each in fields), "")
    changed = {"token_policies": converted(fields, given, Form.TEXTS)} if given else {}
    try:
        await write_entry(
            dialect,
            request,
            mount,
            kind,
            name=name,
            fields=changed,
            must_exist=True,
        )
    except NotFoundError:
        raise ValidationError("user_unknown", "username does not exist") from None
    return NO_CONTENT_REPLY
