"""AppRole's routes of one field of a role each, and `tidy`."""

from typing import Any, Final

from vault.authn.methods.approle import ROLE
from vault.authn.methods.method import Form
from vault.edge.compat.auth_methods import (
    converted,
    read_entry,
    run_action,
    write_entry,
)
from vault.edge.compat.envelope import NO_CONTENT_REPLY, data_reply
from vault.edge.compat.fields import Fields
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import ValidationError
from vault.model.records import AuthMountRow

routes: Final = Router()

_TIDIED: Final = (
    "Tidy operation successfully started. Any information from the operation will be printed to "
    "OpenBao's server logs."
)
_FIELDS: Final[dict[str, tuple[str, tuple[str, ...], Form, Any]]] = {
    "policies": ("token_policies", ("token_policies", "policies"), Form.TEXTS, ()),
    "local-secret-ids": ("local_secret_ids", (), Form.BOOLEAN, False),
    "bound-cidr-list": (
        "secret_id_bound_cidrs", ("bound_cidr_list", "secret_id_bound_cidrs"), Form.TEXTS, (),
    ),
    "secret-id-bound-cidrs": (
        "secret_id_bound_cidrs", ("secret_id_bound_cidrs",), Form.TEXTS, (),
    ),
    "secret-id-num-uses": ("secret_id_num_uses", ("secret_id_num_uses",), Form.INTEGER, 0),
    "secret-id-ttl": ("secret_id_ttl", ("secret_id_ttl",), Form.DURATION, 0),
    "period": ("token_period", ("token_period", "period"), Form.DURATION, 0),
    "token-bound-cidrs": ("token_bound_cidrs", ("token_bound_cidrs",), Form.TEXTS, ()),
    "token-num-uses": ("token_num_uses", ("token_num_uses",), Form.INTEGER, 0),
    "token-ttl": ("token_ttl", ("token_ttl",), Form.DURATION, 0),
    "token-max-ttl": ("token_max_ttl", ("token_max_ttl",), Form.DURATION, 0),
}  # fmt: skip
"""By the end of their path: the document's field, names that a body may use, form, default."""


@routes.add("POST", template="tidy/secret-id")
async def tidy(dialect: Dialect, request: Request, mount: AuthMountRow) -> Reply:
    """Accepted; what has expired is removed by itself."""
    action = dialect.service.auth.methods[mount.type].actions["tidy"]
    await run_action(dialect, request, mount, action)
    return data_reply(request, None, status=202, warnings=[_TIDIED])


def _add(path: str) -> None:
    name_of_field, names, form, default = _FIELDS[path]

    async def read(dialect: Dialect, request: Request, mount: AuthMountRow, name: str) -> Reply:
        kind = dialect.service.auth.methods[mount.type].kinds[ROLE]
        document = await read_entry(dialect, request, mount, kind, name)
        shown = {name_of_field: document[name_of_field]}
        return data_reply(request, shown)

    async def write(dialect: Dialect, request: Request, mount: AuthMountRow, name: str) -> Reply:
        kind = dialect.service.auth.methods[mount.type].kinds[ROLE]
        fields = Fields.from_body(request)
        given = next((each for each in names if each in fields), None)
        if given is None:
            raise ValidationError("field_missing", f"missing {names[0]}", field=names[0])
        value = converted(fields, given, form)
        await write_entry(
            dialect, request, mount, kind, name=name, fields={name_of_field: value}, must_exist=True
        )
        return NO_CONTENT_REPLY

    async def reset(dialect: Dialect, request: Request, mount: AuthMountRow, name: str) -> Reply:
        kind = dialect.service.auth.methods[mount.type].kinds[ROLE]
        await write_entry(
            dialect,
            request,
            mount,
            kind,
            name=name,
            fields={name_of_field: default},
            must_exist=True,
        )
        return NO_CONTENT_REPLY

    template = f"role/{{name}}/{path}"
    routes.add("GET", template=template)(read)
    if names:
        routes.add("POST", template=template)(write)
        routes.add("DELETE", template=template)(reset)


for each in _FIELDS:
    _add(each)
