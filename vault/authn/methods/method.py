"""The interface of a login method, and the values that it takes and gives.

A method keeps *entries*: a kind (`role`, `user`, `config`), a name and a document. `EntryKind` says
what the document of a kind is; writing, reading, listing and deleting are the same for all methods.
What else an administrator or a client may do is an `Action`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from types import UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import Struct

from vault.authn.credential_validity import RowLookup
from vault.errors import AuthenticationError
from vault.model.auth_mounts import AUTH, AuthMountTable
from vault.model.identity import Identity
from vault.model.operation import Origin
from vault.model.records import AuthEntryRow, AuthMountRow, TokenRow
from vault.store.table import StoreQuery, Table
from vault.store.transaction import StoreTx

D = TypeVar("D", bound=Struct)
T = TypeVar("T")

CONFIG: Final = "config"  # the kind, and the only name in it, of a mount's configuration
DURATION: Final = "duration"
Duration = Annotated[int, msgspec.Meta(extra={"form": DURATION}, ge=0)]
"""ns. The dialects take and show it as their durations."""

MAX_ALIAS: Final = 512  # bytes of the name of somebody at the source
MAX_GROUPS: Final = 64  # of a login; a source that has more of somebody is cut down by the method
MAX_METADATA: Final = 64  # entries of a login


class TokenType(StrEnum):
    """What a login or a token role makes."""

    SERVICE = "service"
    BATCH = "batch"
    DEFAULT_SERVICE = "default-service"  # service, unless the entry says batch
    DEFAULT_BATCH = "default-batch"
    DEFAULT = "default"  # what the mount says


class LoginRefusedError(AuthenticationError):
    """Whoever logs in has not proven who it is. One text for unknown and wrong.

    `vault_status` and `vault_message` are OpenBao's, for its dialect; the native one answers 401.
    `details` hold nothing that the caller sent.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        vault_status: int = 400,
        vault_message: str = "",
        counts_for: str = "",
    ) -> None:
        """`counts_for`: in whose lockout it counts (the canonical name at the source)."""
        super().__init__(code, message)
        self.vault_status = vault_status
        self.vault_message = vault_message or message
        self.counts_for = counts_for
        self.is_inline = False  # the login went with another request (`vault.authn.inline_logins`)


class TokenParameters(Struct, frozen=True, kw_only=True):
    """What a login asks of its token; OpenBao's `token_*`. Durations in ns, 0: the mount's."""

    policies: tuple[str, ...] = ()
    ttl: int = 0
    max_ttl: int = 0
    explicit_max_ttl: int = 0
    period: int = 0
    num_uses: int = 0
    bound_cidrs: tuple[str, ...] = ()
    type: str = TokenType.DEFAULT
    no_default_policy: bool = False
    strictly_bind_ip: bool = False
    """The token counts from the address of the login alone."""


class TokenFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """The `token_*` fields of a role or user: the document of an entry begins with them."""

    token_policies: tuple[str, ...] = ()
    token_ttl: Duration = 0
    token_max_ttl: Duration = 0
    token_explicit_max_ttl: Duration = 0
    token_period: Duration = 0
    token_num_uses: Annotated[int, msgspec.Meta(ge=0)] = 0
    token_bound_cidrs: tuple[str, ...] = ()
    token_type: str = TokenType.DEFAULT
    token_no_default_policy: bool = False
    token_strictly_bind_ip: bool = False

    @property
    def token_parameters(self) -> TokenParameters:
        """As a login asks for them."""
        return TokenParameters(
            policies=self.token_policies,
            ttl=self.token_ttl,
            max_ttl=self.token_max_ttl,
            explicit_max_ttl=self.token_explicit_max_ttl,
            period=self.token_period,
            num_uses=self.token_num_uses,
            bound_cidrs=self.token_bound_cidrs,
            type=self.token_type,
            no_default_policy=self.token_no_default_policy,
            strictly_bind_ip=self.token_strictly_bind_ip,
        )


class EntryTx(Protocol):
    """The entries of one mount within a transaction. Documents are in the clear."""

    @property
    def now(self) -> int:
        """Unix ns."""
        ...

    def get(self, kind: str, name: str) -> "Entry | None":
        """The entry as it is now, expired or not."""
        ...

    def put(
        self,
        kind: str,
        name: str,
        document: Mapping[str, Any],
        *,
        expires_at: int = 0,
        uses_left: int = 0,
    ) -> None:
        """Insert or replace it. What the kind's `sealed` names is sealed."""
        ...

    def spend(self, kind: str, name: str) -> bool:
        """Use one of the uses that are left of an entry; False: there is none left, or no entry.

        The last use removes it.
        """
        ...

    def delete(self, kind: str, name: str) -> None:
        """Remove it, if it is there."""
        ...

    def list_names(
        self, kind: str, prefix: str = "", after: str = "", limit: int = 100
    ) -> list[str]:
        """Names that begin with `prefix`, beyond `after`, in byte order."""
        ...

    def of_mount(self, mount_id: str) -> "EntryTx":
        """The entries of another mount, in the same transaction."""
        ...


class Entry(Struct, frozen=True, kw_only=True):
    """An entry with its document in the clear."""

    name: str
    id: str
    document: dict[str, Any]
    expires_at: int = 0
    uses_left: int = 0
    created_at: int = 0
    updated_at: int = 0


class EntryReader(Protocol):
    """Reads entries outside of a transaction, from the cache where it can."""

    async def get(self, mount_id: str, kind: str, name: str) -> Entry | None:
        """The entry, or None; also None once it has expired. Raises as `Store.get`."""
        ...

    async def list_names(
        self, mount_id: str, kind: str, prefix: str = "", after: str = "", limit: int = 1000
    ) -> list[str]:
        """As `EntryTx.list_names`."""
        ...

    def transact(self, mount_id: str, change: Callable[[EntryTx], T]) -> Awaitable[T]:
        """Run `change` in a transaction over the mount's entries. Raises what it raises."""
        ...


@dataclass(frozen=True, kw_only=True)
class EntryChange(Generic[D]):
    """A write of an entry: what was there, what is named, and what comes of both."""

    mount: AuthMountRow
    name: str
    old: D | None
    given: Mapping[str, Any]
    new: D


@dataclass(frozen=True, kw_only=True)
class EntryKind(Generic[D]):
    """A kind of entries of a method.

    `folder`: where entries of the kind lie below the mount, in paths of policies and of the Vault
    API; empty: its name. `document`: what is stored, a struct with `forbid_unknown_fields` and
    defaults. A write changes the fields that it names. `sealed`: fields that are stored under the
    barrier, and shown to nobody; `hidden`: others that are shown to nobody. `write_only`: fields,
    with their types, that a write may name and that are no part of the document: `prepare` makes
    something of them. `aliases`: former names of fields. `canonical`: the one spelling of a name;
    raises `ValidationError`. `prepare`: checks a change and returns what is stored, outside of the
    transaction (it may ask a source, or hash in a thread). `on_write`, `on_delete`: what goes with
    it in the transaction. `internal`: the method's own; nobody else reads or writes such entries.
    """

    name: str
    document: type[D]
    folder: str = ""
    sealed: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    write_only: Mapping[str, Any] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    canonical: Callable[[str], str] = str
    prepare: Callable[[EntryChange[D]], Awaitable[D]] | None = None
    on_write: Callable[[EntryTx, EntryChange[D]], None] | None = None
    on_delete: Callable[[EntryTx, str, D], None] | None = None
    internal: bool = False


class Form(StrEnum):
    """What a field of a document or of an input is, for dialects that convert loosely."""

    DURATION = "duration"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TEXT = "text"
    TEXTS = "texts"
    TEXT_MAP = "text_map"
    ANY = "any"


def form_of(annotation: Any) -> Form:
    """The form of a field by its annotation; one that may be left out has that of its values."""
    if get_origin(annotation) in (Union, UnionType):
        inner, *others = (each for each in get_args(annotation) if each is not type(None))
        return Form.ANY if others else form_of(inner)
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        extras = [mark.extra or {} for mark in marks if isinstance(mark, msgspec.Meta)]
        return Form.DURATION if any(e.get("form") == DURATION for e in extras) else form_of(inner)
    if annotation in (tuple[str, ...], list[str]):
        return Form.TEXTS
    if annotation == dict[str, str]:
        return Form.TEXT_MAP
    for kind, form in ((bool, Form.BOOLEAN), (int, Form.INTEGER), (str, Form.TEXT)):
        if isinstance(annotation, type) and issubclass(annotation, kind):
            return form
    return Form.ANY


def forms_of(shape: type[Struct]) -> Mapping[str, Form]:
    """The forms of a struct's fields, in their order."""
    found: Mapping[str, Form] = _forms_of(shape)
    return found


@lru_cache(maxsize=256)
def _forms_of(shape: Any) -> Mapping[str, Form]:
    hints = get_type_hints(shape, include_extras=True)
    return {f.name: form_of(hints[f.name]) for f in msgspec.structs.fields(shape)}


def entry_path(mount: AuthMountRow, kind: EntryKind[Any], name: str) -> str:
    """Where an entry lies in the path space of policies; without a name, its folder."""
    folder = f"{AUTH}{mount.path}{kind.folder or kind.name}"
    return folder if kind.name == CONFIG else f"{folder}/{name}"


def action_path(mount: AuthMountRow, action: "Action[Any]", name: str) -> str:
    """Where an action lies in the path space of policies."""
    return f"{AUTH}{mount.path}{action.path.replace('{name}', name)}"


class ActionVerb(StrEnum):
    """What an action takes of a policy, and whether it is on record beforehand."""

    READ = "read"
    LIST = "list"
    UPDATE = "update"
    DELETE = "delete"
    BEGIN = "begin"  # anonymous: the first half of a login (a URL to go to)


@dataclass(frozen=True, kw_only=True)
class ActionRequest(Generic[D]):
    """An action that was asked for, about one entry or (with an empty name) none."""

    mount: AuthMountRow
    name: str
    fields: D
    origin: Origin


class NoFields(Struct, frozen=True, forbid_unknown_fields=True):
    """The input of an action that takes none."""


@dataclass(frozen=True, kw_only=True)
class Action(Generic[D]):
    """Something beside the entries: generate a secret-id, tidy, the URL of a provider.

    `path`: where it lies below the mount, `{name}` in it for the entry that it is about; so it is
    authorized, and so it lies in the Vault API. `fields`: the type of its input, in which durations
    are ns. `run` returns what is answered; None: nothing. Audit records show neither.
    `canonical`: as of `EntryKind`.
    """

    name: str
    verb: ActionVerb
    path: str
    run: Callable[[ActionRequest[D]], Awaitable[Mapping[str, Any] | None]]
    fields: type[D]
    canonical: Callable[[str], str] = str


@dataclass(frozen=True, kw_only=True)
class LoginRequest:
    """Somebody logs in. `fields` are decoded and not checked, `path` is what follows the mount."""

    mount: AuthMountRow
    path: str
    fields: Mapping[str, Any]
    origin: Origin


@dataclass(frozen=True, kw_only=True)
class LoginResult:
    """Who it is, as the source says, and what token it gets.

    `alias`: the name at the source in its one spelling; empty: no entity. `groups`: names of
    groups at the source; None: it says nothing of them. `roles`: native roles that claims or groups
    are mapped to. `role`: the entry that was used, for the token's row. `certificate`: hex SHA-256
    of the leaf that each request with the token must present. `renewal`: what `LoginMethod.renew`
    will need. `details`: what the audit record says of the login beside the rest (the accessor of a
    secret-id). `is_person`: a person logs in, so the token is a session (`vault.authn.sessions`).
    `claim`: run in the transaction that makes the token; raises `LoginRefusedError`
    when somebody else was quicker (a one-time secret was used, a signed statement was seen before).
    """

    alias: str
    alias_metadata: Mapping[str, str] = field(default_factory=dict)
    display_name: str
    token: TokenParameters
    metadata: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] | None = ()
    roles: tuple[str, ...] = ()
    role: str = ""
    certificate: str = ""
    renewal: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)
    is_person: bool = False
    claim: Callable[[EntryTx], None] | None = None


@dataclass(frozen=True, kw_only=True)
class LoginStep:
    """What step 1 of a login comes to: who it is, before there is a token."""

    identity: Identity


class LoginMethod(Protocol):
    """A way to log in. One object serves all mounts of its type."""

    @property
    def type(self) -> str:
        """`approle`; the `Method` of the identities that it proves."""
        ...

    @property
    def login_paths(self) -> tuple[str, ...]:
        """Where a login is, below the mount: `login`, or `login/{name}`."""
        ...

    @property
    def kinds(self) -> Mapping[str, EntryKind[Any]]:
        """Its entries by kind; `config` among them where it has one."""
        ...

    @property
    def actions(self) -> Mapping[str, Action[Any]]:
        """By name."""
        ...

    def lockout_name(self, request: LoginRequest) -> str:
        """In whose lockout a login counts, in its one spelling; empty: nobody's."""
        ...

    async def login(self, request: LoginRequest) -> LoginResult:
        """Who it is.

        Raises `LoginRefusedError`, `ValidationError`, or `UnavailableError` (`source_unavailable`)
        when the source cannot be asked.
        """
        ...

    async def renew(self, mount: AuthMountRow, token: TokenRow) -> None:
        """Raise `LoginRefusedError` where a token of a login may not be renewed any more."""
        ...


@dataclass(frozen=True)
class AuthSurface:
    """What dialects see: the auth mounts, and the methods by type."""

    mounts: AuthMountTable = field(default_factory=AuthMountTable)
    methods: Mapping[str, LoginMethod] = field(default_factory=dict)


class RowTx(Protocol):
    """The rows of other tables within a transaction: as `StoreTx`."""

    @property
    def get(self) -> RowLookup:
        """As `StoreTx.get`."""
        ...

    @property
    def put(self) -> Callable[[Table[Any], Any], None]:
        """As `StoreTx.put`."""
        ...

    @property
    def delete(self) -> Callable[..., None]:
        """As `StoreTx.delete`."""
        ...

    @property
    def select(self) -> Callable[[Table[Any], StoreQuery], list[Any]]:
        """As `StoreTx.select`."""
        ...


class LoginTx(RowTx, Protocol):
    """The rows of other tables within the transaction of a login."""

    @property
    def rows(self) -> StoreTx:
        """The store's transaction itself."""
        ...


class IdentityDirectory(Protocol):
    """Entities and their groups: who somebody is here."""

    def resolve(self, tx: RowTx, mount: AuthMountRow, result: LoginResult, now: int) -> str:
        """The id of the entity (a `UserRow`) of an alias, made where there is none.

        Within the transaction of the login, as a function of it and the arguments: it may run
        again. Groups and roles of the source are taken over. Raises `LoginRefusedError` for an
        entity that is disabled.
        """
        ...


class NoDirectory:
    """Logins without entities: a token stands for itself."""

    def resolve(self, tx: RowTx, mount: AuthMountRow, result: LoginResult, now: int) -> str:  # noqa: ARG002  # the signature of `IdentityDirectory`
        """Nobody."""
        return ""


def is_alive(row: AuthEntryRow | Entry, now: int) -> bool:
    """Whether an entry has not expired."""
    return not row.expires_at or now < row.expires_at
