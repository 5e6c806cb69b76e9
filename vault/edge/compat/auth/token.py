"""Token roles, as OpenBao shows them."""

from typing import Final

from vault.authn.methods.token_roles import ROLE
from vault.edge.compat.auth_methods import read_entry
from vault.edge.compat.envelope import data_reply
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.model.records import AuthMountRow

routes: Final = Router()
_SHOWN_WHERE_SET: Final = frozenset({"token_bound_cidrs", "token_num_uses"})


@routes.add("GET", template="roles/{name}")
async def read(dialect: Dialect, request: Request, mount: AuthMountRow, name: str) -> Reply:
    """A token role."""
    kind = dialect.service.auth.methods[mount.type].kinds[ROLE]
    found = await read_entry(dialect, request, mount, kind, name)
    shown = {key: value for key, value in found.items() if value or key not in _SHOWN_WHERE_SET}
    return data_reply(request, {**shown, "allowed_entity_aliases": None, "name": name})
