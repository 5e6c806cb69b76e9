"""`/api/v1/auth`: auth mounts, what their methods keep and do, logins, and who one is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from protocols.instant import SECOND, go_duration, parse_duration, rfc3339, rfc3339_or_none
from vault import operations
from vault.authn.methods.method import (
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
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, encode_reply
from vault.edge.native.mfa import WaitingBody
from vault.edge.native.mount_moves import MountMove, MountMoveBody
from vault.edge.native.tokens import Duration, TokenBody
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.model.auth_mounts import AUTH, TOKEN_MOUNT
from vault.model.operation import OperationType
from vault.model.path import ResourcePath
from vault.model.payloads import (
    EnableAuth,
    ListEntries,
    LogIn,
    MoveMount,
    Nothing,
    RunAuthAction,
    SelectEntry,
    TuneAuth,
    WriteEntry,
)
from vault.model.records import AuthMountRow
from vault.model.results import ActionResult, StoredEntry

auth = Endpoints("auth", "Login methods: where they are mounted, what they keep, and logins.")

ACCEPTED: Final = 202
Text = Annotated[str, Meta(min_length=1, max_length=512)]
_OPERATIONS: Final[Mapping[ActionVerb, OperationType[RunAuthAction, ActionResult]]] = {
    ActionVerb.READ: operations.READ_BY_AUTH_METHOD,
    ActionVerb.LIST: operations.LIST_BY_AUTH_METHOD,
    ActionVerb.UPDATE: operations.UPDATE_BY_AUTH_METHOD,
    ActionVerb.DELETE: operations.DELETE_BY_AUTH_METHOD,
    ActionVerb.BEGIN: operations.BEGIN_LOGIN,
}


class AuthMountBody(Struct, frozen=True, kw_only=True):
    """An auth mount. Durations of 0s: the system's."""

    path: str
    type: str
    accessor: str
    description: str
    default_lease_ttl: str
    max_lease_ttl: str
    token_type: str
    listing_visibility: str
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, row: AuthMountRow) -> "AuthMountBody":
        """From the row."""
        return cls(
            path=row.path,
            type=row.type,
            accessor=row.accessor,
            description=row.description,
            default_lease_ttl=go_duration(row.default_lease_ttl),
            max_lease_ttl=go_duration(row.max_lease_ttl),
            token_type=row.token_type,
            listing_visibility=row.listing_visibility,
            created_at=rfc3339(row.created_at),
            updated_at=rfc3339(row.updated_at),
        )


class AuthMountList(Struct, frozen=True):
    """Every auth mount; that of tokens is always there and not among them."""

    mounts: list[AuthMountBody]


class AuthSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an auth mount: what is named changes."""

    description: str | None = None
    default_lease_ttl: Duration | None = None
    max_lease_ttl: Duration | None = None
    token_type: str | None = None
    listing_visibility: str | None = None

    def tune(self) -> TuneAuth:
        """As the operation takes them."""
        return TuneAuth(
            description=self.description,
            default_lease_ttl=_ns(self.default_lease_ttl, "default_lease_ttl"),
            max_lease_ttl=_ns(self.max_lease_ttl, "max_lease_ttl"),
            token_type=self.token_type,
            listing_visibility=self.listing_visibility,
        )


class NewAuthMount(AuthSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An auth method to be enabled."""

    type: Text


class EntryQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which entries: of a mount, of a kind, beyond a name."""

    mount: Text
    kind: Text
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000


class EntryNames(Struct, frozen=True):
    """Names of entries."""

    names: list[str]


class EntryBody(Struct, frozen=True, kw_only=True):
    """An entry, without what is secret of it."""

    name: str
    document: dict[str, Any]
    created_at: str
    updated_at: str


class AuthAction(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something else that a method does, about one of its entries or about none."""

    mount: Text
    action: Text
    name: str = ""
    fields: dict[str, Any] = {}


class ActionBody(Struct, frozen=True):
    """What it answers; null: nothing."""

    result: dict[str, Any] | None


class WhoamiBody(Struct, frozen=True, kw_only=True):
    """Who the caller is, by which method, with which policies, until when.

    `policies`: all of them; of these the token itself has `token_policies`, and the entity, with
    its groups and roles, gives `identity_policies`. `idle_until`: when it ends unless it is used;
    null: `expires_at` alone counts.
    """

    name: str
    method: str
    mount: str
    policies: list[str]
    token_policies: list[str]
    identity_policies: list[str]
    root: bool
    accessor: str
    expires_at: str | None
    mfa_at: str | None
    mfa_age_seconds: int | None
    idle_until: str | None
    role: str | UnsetType = UNSET


@auth.add("GET", "auth/mounts", "List the auth mounts", returns=AuthMountList)
async def list_mounts(dialect: Dialect, request: Request) -> AuthMountList:
    place = ResourcePath.parse("sys/auth")
    rows = await dialect.run_operation(request, operations.LIST_AUTH, place, Nothing())
    return AuthMountList([AuthMountBody.of(row) for row in rows])


@auth.add("GET", "auth/mounts/{path}", "Read an auth mount", returns=AuthMountBody)
async def read_mount(dialect: Dialect, request: Request, path: str) -> AuthMountBody:
    row = await dialect.run_operation(request, operations.READ_AUTH, _mount(path), Nothing())
    return AuthMountBody.of(row)


@auth.add(
    "POST",
    "auth/mounts/{path}",
    "Enable an auth method",
    body=NewAuthMount,
    returns=AuthMountBody,
    status=201,
    errors=(409,),
)
async def enable(
    dialect: Dialect, request: Request, path: str, *, body: NewAuthMount
) -> AuthMountBody:
    payload = EnableAuth(type=body.type, description=body.description or "", tune=body.tune())
    row = await dialect.run_operation(request, operations.ENABLE_AUTH, _mount(path), payload)
    return AuthMountBody.of(row)


@auth.add(
    "PATCH",
    "auth/mounts/{path}",
    "Change settings of an auth mount",
    body=AuthSettings,
    returns=AuthMountBody,
)
async def tune(
    dialect: Dialect, request: Request, path: str, *, body: AuthSettings
) -> AuthMountBody:
    row = await dialect.run_operation(request, operations.TUNE_AUTH, _mount(path), body.tune())
    return AuthMountBody.of(row)


@auth.add("DELETE", "auth/mounts/{path}", "Disable an auth mount; its tokens end", status=204)
async def disable(dialect: Dialect, request: Request, path: str) -> None:
    await dialect.run_operation(request, operations.DISABLE_AUTH, _mount(path), Nothing())


@auth.add(
    "POST",
    "auth/moves",
    "Move an auth mount; its tokens stay with it",
    body=MountMove,
    returns=MountMoveBody,
    errors=(404, 409),
)
async def move(dialect: Dialect, request: Request, *, body: MountMove) -> MountMoveBody:
    payload = MoveMount(to=body.target.strip("/"))
    row = await dialect.run_operation(request, operations.MOVE_AUTH, _mount(body.source), payload)
    return MountMoveBody.of(row)


@auth.add(
    "GET",
    "auth/entries",
    "List what a method keeps",
    query=EntryQuery,
    returns=EntryNames,
    errors=(404,),
)
async def list_entries(dialect: Dialect, request: Request, *, query: EntryQuery) -> EntryNames:
    await dialect.catch_up(request)
    mount, method = _find_mount(dialect, query.mount)
    kind = None if method is None else method.kinds.get(query.kind)
    folder = query.kind if kind is None else kind.folder or kind.name
    payload = ListEntries(
        mount=_folder(query.mount) if mount is None else mount.path,
        kind=query.kind,
        after=query.after,
        limit=query.limit,
    )
    place = ResourcePath.parse(f"{AUTH}{payload.mount}{folder}")
    return EntryNames(
        await dialect.run_operation(request, operations.LIST_AUTH_ENTRIES, place, payload)
    )


@auth.add("GET", "auth/entries/{path}", "Read what a method keeps", returns=EntryBody)
async def read_entry(dialect: Dialect, request: Request, path: str) -> EntryBody:
    entry = await _find_entry(dialect, request, path)
    found = await dialect.run_operation(
        request,
        operations.READ_AUTH_ENTRY,
        entry.place,
        SelectEntry(mount=entry.mount, kind=entry.kind, name=entry.name),
    )
    return _entry_body(entry, found)


@auth.add(
    "PATCH",
    "auth/entries/{path}",
    "Change what is named of an entry, or make it",
    body=dict[str, Any],
    returns=EntryBody,
    errors=(409,),
)
async def write_entry(
    dialect: Dialect, request: Request, path: str, *, body: dict[str, Any]
) -> EntryBody:
    entry = await _find_entry(dialect, request, path)
    payload = WriteEntry(
        mount=entry.mount, kind=entry.kind, name=entry.name, fields=_strict(body, entry.forms)
    )
    found = await dialect.run_operation(request, operations.WRITE_AUTH_ENTRY, entry.place, payload)
    return _entry_body(entry, found)


@auth.add("DELETE", "auth/entries/{path}", "Delete what a method keeps", status=204)
async def delete_entry(dialect: Dialect, request: Request, path: str) -> None:
    entry = await _find_entry(dialect, request, path)
    await dialect.run_operation(
        request,
        operations.DELETE_AUTH_ENTRY,
        entry.place,
        SelectEntry(mount=entry.mount, kind=entry.kind, name=entry.name),
    )


@auth.add(
    "POST",
    "auth/actions",
    "Have a method do something else, such as make a secret-id",
    body=AuthAction,
    returns=ActionBody,
    errors=(404,),
)
async def act(dialect: Dialect, request: Request, *, body: AuthAction) -> ActionBody:
    await dialect.catch_up(request)
    mount, method = _find_mount(dialect, body.mount)
    action: Action[Any] | None = None if method is None else method.actions.get(body.action)
    if mount is None or action is None:  # whoever may not use it learns nothing of it
        payload = RunAuthAction(mount=_folder(body.mount), action=body.action)
        place = ResourcePath.parse(f"{AUTH}{payload.mount}".removesuffix("/"))
        result = await dialect.run_operation(
            request, operations.UPDATE_BY_AUTH_METHOD, place, payload
        )
        return ActionBody(result.fields)
    name = action.canonical(body.name) if body.name else ""
    payload = RunAuthAction(
        mount=mount.path,
        action=action.name,
        name=name,
        fields=_strict(body.fields, forms_of(action.fields)),
    )
    place = ResourcePath.parse(action_path(mount, action, name))
    result = await dialect.run_operation(request, _OPERATIONS[action.verb], place, payload)
    return ActionBody(result.fields)


@auth.add(
    "POST",
    "auth/login/{path}",
    "Log in at an auth mount",
    body=dict[str, Any],
    returns=TokenBody,
    also=(202,),
    public=True,
)
async def log_in(
    dialect: Dialect, request: Request, path: str, *, body: dict[str, Any]
) -> TokenBody | Reply:
    await dialect.catch_up(request)
    issued = await dialect.run_operation(
        request,
        operations.LOG_IN,
        ResourcePath.parse(f"{AUTH}{path}"),
        LogIn(path=path, fields=body),
    )
    if issued.requirement is not None:
        return encode_reply(WaitingBody.of(issued.requirement), ACCEPTED)
    return TokenBody.of(issued.row, token=issued.text, warnings=list(issued.warnings))


@auth.add("GET", "auth/whoami", "Say who the caller is", returns=WhoamiBody)
async def whoami(dialect: Dialect, request: Request) -> WhoamiBody:
    token = await dialect.run_operation(
        request,
        operations.LOOK_UP_OWN_TOKEN,
        ResourcePath.parse("auth/token/lookup-self"),
        Nothing(),
    )
    row = token.row
    found = await dialect.run_operation(
        request,
        operations.READ_EFFECTIVE_POLICIES,
        ResourcePath.parse("sys/policies-effective"),
        Nothing(),
        part="-policies",
    )
    sessions = await dialect.run_operation(
        request,
        operations.LIST_SESSIONS,
        ResourcePath.parse("sys/sessions"),
        Nothing(),
        part="-sessions",
    )
    mount = dialect.service.auth.mounts.find_by_id(row.mount_id) if row.mount_id else None
    names = [policy.name for policy in found.policies]
    own = {*row.policies}
    return WhoamiBody(
        name=row.display_name,
        method="token" if mount is None else mount.type,
        mount=TOKEN_MOUNT.path if mount is None else mount.path,
        policies=names,
        token_policies=sorted(own),
        identity_policies=[name for name in names if name not in own],
        root=found.root,
        accessor="" if row.is_batch else row.accessor,
        expires_at=rfc3339_or_none(row.expires_at),
        mfa_at=rfc3339_or_none(row.mfa_at or 0),
        mfa_age_seconds=(
            max(0, dialect.world.now() - row.mfa_at) // SECOND if row.mfa_at else None
        ),
        idle_until=next(
            (rfc3339_or_none(one.idle_until) for one in sessions if one.is_current), None
        ),
        role=row.role,
    )


@dataclass(frozen=True, kw_only=True)
class _EntryPlace:
    """Which entry a path names. Without such a mount or kind, a place that has none."""

    mount: str
    kind: str
    name: str
    place: ResourcePath
    forms: Mapping[str, Form]


def _find_mount(dialect: Dialect, path: str) -> tuple[AuthMountRow | None, LoginMethod | None]:
    surface = dialect.service.auth
    mount = surface.mounts.find_for_path(_folder(path))
    return mount, None if mount is None else surface.methods.get(mount.type)


async def _find_entry(dialect: Dialect, request: Request, path: str) -> _EntryPlace:
    """The entry that a path names: mount, folder of its kind, name.

    Whether there is such a mount is for the operation to say, to those who may know.
    """
    await dialect.catch_up(request)
    mount, method = _find_mount(dialect, path)
    if mount is not None and method is not None:
        rest = path[len(mount.path) :]
        for kind in method.kinds.values():
            folder = kind.folder or kind.name
            if rest == folder or rest.startswith(f"{folder}/"):
                name = rest[len(folder) + 1 :]
                forms = {**forms_of(kind.document)}
                forms |= {each: form_of(shape) for each, shape in kind.write_only.items()}
                return _EntryPlace(
                    mount=mount.path,
                    kind=kind.name,
                    name=name,
                    place=_place(mount, kind, name),
                    forms=forms,
                )
    return _EntryPlace(
        mount=_folder(path), kind="", name="", place=ResourcePath.parse(f"{AUTH}{path}"), forms={}
    )


def _place(mount: AuthMountRow, kind: EntryKind[Any], name: str) -> ResourcePath:
    found = entry_path(mount, kind, kind.canonical(name) if name else "")
    return ResourcePath.parse(found.removesuffix("/"))


def _entry_body(entry: _EntryPlace, found: StoredEntry) -> EntryBody:
    shown = {
        name: go_duration(value)
        if entry.forms.get(name) is Form.DURATION and value is not None
        else value
        for name, value in found.document.items()
    }
    return EntryBody(
        name=found.name,
        document=shown,
        created_at=rfc3339(found.created_at),
        updated_at=rfc3339(found.updated_at),
    )


def _strict(given: Mapping[str, Any], forms: Mapping[str, Form]) -> dict[str, Any]:
    """Fields as the document has them: durations in ns, the rest as it is."""
    return {
        name: parse_duration(value, name)
        if forms.get(name) is Form.DURATION and isinstance(value, str | int)
        else value
        for name, value in given.items()
    }


def _mount(path: str) -> ResourcePath:
    return ResourcePath.parse(f"sys/auth/{path.strip('/')}")


def _folder(path: str) -> str:
    return path if path.endswith("/") else f"{path}/"


def _ns(value: str | int | None, name: str) -> int | None:
    return None if value is None else parse_duration(value, name)
