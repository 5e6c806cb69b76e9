"""`auth/<mount>/…`: logins, and what methods keep, at any mount.

The routes of a type follow from what its method says of itself: its kinds of entries, its actions,
its login. What OpenBao has beside them is in `vault.edge.compat.auth`, a file a method.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from protocols.instant import SECOND
from vault import operations
from vault.authn.bound_origin import shown
from vault.authn.methods.method import (
    CONFIG,
    Action,
    ActionVerb,
    EntryKind,
    Form,
    LoginMethod,
    action_path,
    entry_path,
    form_of,
    forms_of,
)
from vault.edge.compat.envelope import NO_CONTENT_REPLY, data_reply
from vault.edge.compat.fields import Fields
from vault.edge.compat.mfa import login_reply, shown_codes
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import NotFoundError
from vault.model.operation import OperationType
from vault.model.path import ResourcePath
from vault.model.payloads import (
    ListEntries,
    LogIn,
    RunAuthAction,
    SelectEntry,
    WriteEntry,
)
from vault.model.records import AuthMountRow
from vault.model.results import ActionResult

MAX_LISTED: Final = 100_000  # names of one answer
PAGE: Final = 1_000
_NETWORKS: Final = "token_bound_cidrs"
_VERBS: Final[Mapping[ActionVerb, tuple[str, OperationType[RunAuthAction, ActionResult]]]] = {
    ActionVerb.READ: ("GET", operations.READ_BY_AUTH_METHOD),
    ActionVerb.LIST: ("LIST", operations.LIST_BY_AUTH_METHOD),
    ActionVerb.UPDATE: ("POST", operations.UPDATE_BY_AUTH_METHOD),
    ActionVerb.DELETE: ("DELETE", operations.DELETE_BY_AUTH_METHOD),
    ActionVerb.BEGIN: ("POST", operations.BEGIN_LOGIN),
}


def method_routes(method: LoginMethod, extra: Router | None) -> Router:
    """The routes of all mounts of a type; `extra` are OpenBao's own ones."""
    router = Router() if extra is None else Router.merge(extra)
    for kind in method.kinds.values():
        if not kind.internal:
            _add_entries(router, kind)
    for action in method.actions.values():
        _add_action(router, action)

    async def log_in_route(
        dialect: Dialect, request: Request, mount: AuthMountRow, name: str = ""
    ) -> Reply:
        return await log_in(dialect, request, mount, f"login/{name}" if name else "login")

    for template in method.login_paths:
        router.add("POST", template=template, public=True)(log_in_route)
    return router


async def log_in(dialect: Dialect, request: Request, mount: AuthMountRow, rest: str) -> Reply:
    """Log in by what the body shows."""
    return await log_in_with(dialect, request, mount, rest, Fields.from_body(request).values())


async def log_in_with(
    dialect: Dialect, request: Request, mount: AuthMountRow, rest: str, fields: dict[str, Any]
) -> Reply:
    """Log in by these fields."""
    path = f"{mount.path}{rest}"
    issued = await dialect.run_operation(
        request,
        operations.LOG_IN,
        ResourcePath.parse(f"auth/{path}"),
        LogIn(path=path, fields=fields, codes=shown_codes(request)),
    )
    return login_reply(request, issued)


async def read_entry(
    dialect: Dialect, request: Request, mount: AuthMountRow, kind: EntryKind[Any], name: str
) -> dict[str, Any]:
    """The document of an entry, as OpenBao shows it."""
    found = await dialect.run_operation(
        request,
        operations.READ_AUTH_ENTRY,
        _entry_resource(mount, kind, name),
        SelectEntry(mount=mount.path, kind=kind.name, name=name),
    )
    return shown_document(kind.document, found.document)


async def write_entry(
    dialect: Dialect,
    request: Request,
    mount: AuthMountRow,
    kind: EntryKind[Any],
    *,
    name: str,
    fields: Mapping[str, Any],
    must_exist: bool = False,
) -> None:
    """Change what is named of an entry."""
    await dialect.run_operation(
        request,
        operations.WRITE_AUTH_ENTRY,
        _entry_resource(mount, kind, name),
        WriteEntry(
            mount=mount.path,
            kind=kind.name,
            name=name,
            fields=dict(fields),
            must_exist=must_exist,
        ),
    )


def entry_fields(kind: EntryKind[Any], fields: Fields) -> dict[str, Any]:
    """What a body names of an entry, converted as OpenBao converts; the rest it ignores."""
    forms = {**forms_of(kind.document)}
    forms |= {name: form_of(kind_of) for name, kind_of in kind.write_only.items()}
    named = {name: (name, form) for name, form in forms.items()}
    named |= {old: (new, forms[new]) for old, new in kind.aliases.items()}
    given: dict[str, Any] = {}
    for name, (target, form) in named.items():
        if name in fields:
            given.setdefault(target, converted(fields, name, form))
    return given


def converted(fields: Fields, name: str, form: Form) -> Any:
    """A field, by its form; a null is the form's empty value."""
    match form:
        case Form.DURATION:
            return fields.duration(name) or 0
        case Form.INTEGER:
            return fields.integer(name) or 0
        case Form.BOOLEAN:
            return bool(fields.boolean(name))
        case Form.TEXT:
            return fields.text(name)
        case Form.TEXTS:
            return fields.texts(name)
        case Form.TEXT_MAP:
            return fields.text_map(name) or {}
        case _:
            return fields.value(name)


def shown_document(shape: type[Struct], document: Mapping[str, Any]) -> dict[str, Any]:
    """A document with its durations in seconds."""
    forms = forms_of(shape)
    found = {
        name: value // SECOND if forms.get(name) is Form.DURATION else value
        for name, value in document.items()
    }
    if _NETWORKS in found:
        found[_NETWORKS] = [shown(network) for network in found[_NETWORKS]]
    return found


def _add_entries(router: Router, kind: EntryKind[Any]) -> None:
    folder = kind.folder or kind.name

    async def read(
        dialect: Dialect, request: Request, mount: AuthMountRow, name: str = ""
    ) -> Reply:
        return data_reply(request, await read_entry(dialect, request, mount, kind, name))

    async def write(
        dialect: Dialect, request: Request, mount: AuthMountRow, name: str = ""
    ) -> Reply:
        fields = Fields.from_body(request)
        given = entry_fields(kind, fields)
        await write_entry(dialect, request, mount, kind, name=name, fields=given)
        return NO_CONTENT_REPLY

    async def delete(
        dialect: Dialect, request: Request, mount: AuthMountRow, name: str = ""
    ) -> Reply:
        await dialect.run_operation(
            request,
            operations.DELETE_AUTH_ENTRY,
            _entry_resource(mount, kind, name),
            SelectEntry(mount=mount.path, kind=kind.name, name=name),
        )
        return NO_CONTENT_REPLY

    async def list_(dialect: Dialect, request: Request, mount: AuthMountRow) -> Reply:
        names: list[str] = []
        for page in range(MAX_LISTED // PAGE):
            found = await dialect.run_operation(
                request,
                operations.LIST_AUTH_ENTRIES,
                ResourcePath.parse(f"auth/{mount.path}{folder}"),
                ListEntries(
                    mount=mount.path,
                    kind=kind.name,
                    after=names[-1] if names else "",
                    limit=PAGE,
                ),
                part=f"-{page}" if page else "",
            )
            names += found
            if len(found) < PAGE:
                break
        if not names:
            raise NotFoundError("empty_list", "nothing is there")
        return data_reply(request, {"keys": names})

    template = folder if kind.name == CONFIG else f"{folder}/{{name}}"
    own = {(route.method, route.template) for route in router.routes()}
    for method, answer in (("GET", read), ("POST", write), ("DELETE", delete)):
        if (method, template) not in own:
            router.add(method, template=template)(answer)
    if kind.name != CONFIG:
        router.add("LIST", template=folder)(list_)
        router.add("LIST", template=f"{folder}/")(list_)


def _add_action(router: Router, action: Action[Any]) -> None:
    verb, operation = _VERBS[action.verb]

    async def run(dialect: Dialect, request: Request, mount: AuthMountRow, name: str = "") -> Reply:
        found = await run_action(dialect, request, mount, action, name=name, operation=operation)
        if found is None:
            return NO_CONTENT_REPLY
        return data_reply(request, found)

    if verb not in {route.method for route in router.routes() if route.template == action.path}:
        router.add(verb, template=action.path, public=action.verb is ActionVerb.BEGIN)(run)


async def run_action(
    dialect: Dialect,
    request: Request,
    mount: AuthMountRow,
    action: Action[Any],
    *,
    name: str = "",
    operation: OperationType[RunAuthAction, ActionResult] | None = None,
) -> dict[str, Any] | None:
    """What an action answers."""
    fields = Fields.from_body(request)
    forms = forms_of(action.fields)
    given = {each: converted(fields, each, form) for each, form in forms.items() if each in fields}
    result = await dialect.run_operation(
        request,
        operation or _VERBS[action.verb][1],
        ResourcePath.parse(action_path(mount, action, name)),
        RunAuthAction(mount=mount.path, action=action.name, name=name, fields=given),
    )
    return result.fields


def _entry_resource(mount: AuthMountRow, kind: EntryKind[Any], name: str) -> ResourcePath:
    return ResourcePath.parse(entry_path(mount, kind, kind.canonical(name) if name else ""))
