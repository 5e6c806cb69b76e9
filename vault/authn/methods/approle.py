"""AppRole: machines with the id of their role and a secret-id that was made for them.

A secret-id is random, so it is kept as a keyed hash, below the id of its role: one of a role that
was deleted and made anew does not count. Each has an accessor, by which it is found, destroyed, and
named in the audit record of its logins. There is no lockout: nothing of 122 random bits is guessed,
and whoever knows a role-id could lock out all machines of the role.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from actors.world import World
from protocols import json_text
from protocols.instant import SECOND, rfc3339
from vault.authn.bound_origin import are_within, is_within, parse_cidrs
from vault.authn.credential_scheme import CredentialScheme
from vault.authn.methods.documents import checked_token_fields, folded_name
from vault.authn.methods.method import (
    MAX_METADATA,
    Action,
    ActionRequest,
    ActionVerb,
    Duration,
    Entry,
    EntryChange,
    EntryKind,
    EntryReader,
    EntryTx,
    LoginRefusedError,
    LoginRequest,
    LoginResult,
    NoFields,
    TokenFields,
)
from vault.authn.tokens import MAX_META_KEY, MAX_META_VALUE
from vault.errors import NotFoundError, ValidationError
from vault.model.name import echoed
from vault.model.records import AuthMountRow, TokenRow

ROLE: Final = "role"
ROLE_ID: Final = "role-id"  # an index: from a role-id to its role
SECRET_ID: Final = "secret-id"
ACCESSOR: Final = "secret-id-accessor"  # an index: from an accessor to its secret-id
MAX_ROLE_ID: Final = 256
MAX_LISTED: Final = 100_000  # accessors of one answer
PAGE: Final = 1_000
MAX_SECRET_ID: Final = 512
MAX_DELETED: Final = 400  # secret-ids that go with their role at once; the others count no more
_WRONG: Final = "invalid role or secret ID"
_DOMAIN: Final = "approle secret-id: "


class Role(TokenFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A role. `key`: below which its secret-ids lie, another one each time that it is made."""

    bind_secret_id: bool = True
    local_secret_ids: bool = False
    secret_id_bound_cidrs: tuple[str, ...] | None = None
    secret_id_num_uses: int = msgspec.field(default=0)
    secret_id_ttl: Duration = 0
    role_id: str = ""
    key: str = ""


class SecretId(Struct, frozen=True, kw_only=True):
    """What is kept of a secret-id, beside end and uses left."""

    accessor: str
    metadata: dict[str, str] = {}
    cidr_list: tuple[str, ...] = ()
    token_bound_cidrs: tuple[str, ...] = ()
    ttl: int = 0
    num_uses: int = 0


class NewSecretId(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of a new secret-id; `secret_id`: its text, where somebody chose one."""

    metadata: Any = None
    cidr_list: tuple[str, ...] = ()
    token_bound_cidrs: tuple[str, ...] = ()
    num_uses: int | None = None
    ttl: Duration | None = None
    secret_id: str = ""


class SecretIdSelector(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A secret-id by its text."""

    secret_id: str = ""


class AccessorField(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A secret-id by its accessor."""

    secret_id_accessor: str = ""


class RoleIdField(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A role-id that somebody chose."""

    role_id: str = ""


class AppRole:
    """The method; see `LoginMethod`."""

    type: Final = "approle"
    login_paths: Final = ("login",)

    def __init__(
        self,
        entries: EntryReader,
        scheme: CredentialScheme,
        world: World,
        random: Callable[[int], bytes],
    ) -> None:
        self._entries = entries
        self._scheme = scheme
        self._world = world
        self._random = random
        self.kinds: Mapping[str, EntryKind[Any]] = {
            ROLE: EntryKind(
                name=ROLE,
                document=Role,
                hidden=frozenset({"role_id", "key"}),
                aliases={
                    "policies": "token_policies",
                    "period": "token_period",
                    "bound_cidr_list": "secret_id_bound_cidrs",
                },
                canonical=folded_name,
                prepare=self._prepare,
                on_write=_index_role,
                on_delete=_delete_role,
            )
        }
        update, read = ActionVerb.UPDATE, ActionVerb.READ
        self.actions: Mapping[str, Action[Any]] = {
            action.name: action
            for action in (
                _action("role-id", read, "role-id", self._read_role_id, NoFields),
                _action("write-role-id", update, "role-id", self._write_role_id, RoleIdField),
                _action("secret-id", update, "secret-id", self._generate, NewSecretId),
                _action("custom-secret-id", update, "custom-secret-id", self._take, NewSecretId),
                _action("list-secret-ids", ActionVerb.LIST, "secret-id", self._list, NoFields),
                _action("look-up", update, "secret-id/lookup", self._look_up, SecretIdSelector),
                _action("destroy", update, "secret-id/destroy", self._destroy, SecretIdSelector),
                _action(
                    "look-up-accessor",
                    update,
                    "secret-id-accessor/lookup",
                    self._look_up_accessor,
                    AccessorField,
                ),
                _action(
                    "destroy-accessor",
                    update,
                    "secret-id-accessor/destroy",
                    self._destroy_accessor,
                    AccessorField,
                ),
                Action(
                    name="tidy",
                    verb=update,
                    path="tidy/secret-id",
                    run=self._tidy,
                    fields=NoFields,
                ),
            )
        }

    def lockout_name(self, request: LoginRequest) -> str:  # noqa: ARG002  # the signature of `LoginMethod`
        """Nobody's."""
        return ""

    async def login(self, request: LoginRequest) -> LoginResult:
        """The role of a role-id and secret-id; the same look-ups for unknown and wrong ones."""
        role_id = _text(request.fields, "role_id", MAX_ROLE_ID)
        secret_id = _text(request.fields, "secret_id", MAX_SECRET_ID)
        if not role_id:
            raise ValidationError("missing_role_id", "missing role_id", field="role_id")
        mount = request.mount.id
        index = await self._entries.get(mount, ROLE_ID, role_id)
        name = "" if index is None else str(index.document["role"])
        entry = await self._entries.get(mount, ROLE, name or "-")
        role = Role() if entry is None else _role(entry)
        known = entry is not None and role.role_id == role_id
        if known and role.bind_secret_id and not secret_id:
            raise ValidationError("missing_secret_id", "missing secret_id", field="secret_id")
        place = self._place(role, secret_id)
        held = await self._entries.get(mount, SECRET_ID, place)
        if not known or (role.bind_secret_id and held is None):
            raise LoginRefusedError("login_refused", _WRONG)
        ip = request.origin.ip
        if role.secret_id_bound_cidrs and not is_within(ip, role.secret_id_bound_cidrs):
            raise _outside("secret ID")
        secret = None
        if role.bind_secret_id and held is not None:
            secret = _secret(held)
            if secret.cidr_list and not is_within(ip, secret.cidr_list):
                raise _outside("secret ID")
        return _result(role, name, place, secret)

    async def renew(self, mount: AuthMountRow, token: TokenRow) -> None:
        """While the role is there."""
        entry = await self._entries.get(mount.id, ROLE, token.role or "-")
        renewal = token.renewal or {}
        if entry is None or _role(entry).key != renewal.get("key"):
            raise LoginRefusedError(
                "role_gone", f'role "{token.role or ""}" does not exist during renewal'
            )

    async def _prepare(self, change: EntryChange[Role]) -> Role:
        role, old = checked_token_fields(change.new), change.old
        if old is not None and role.local_secret_ids != old.local_secret_ids:
            raise ValidationError(
                "local_secret_ids_fixed",
                "local_secret_ids can only be modified during role creation",
                field="local_secret_ids",
            )
        if role.secret_id_num_uses < 0:
            raise ValidationError(
                "num_uses_invalid", "secret_id_num_uses cannot be negative",
                field="secret_id_num_uses",
            )  # fmt: skip
        if "key" in change.given:
            raise ValidationError("field_unknown", "role has no field key", field="key")
        cidrs = parse_cidrs(role.secret_id_bound_cidrs or (), "secret_id_bound_cidrs")
        if not role.bind_secret_id and not cidrs and not role.token_bound_cidrs:
            raise ValidationError(
                "role_unbound", "at least one constraint should be enabled on the role"
            )
        role_id = role.role_id or self._uuid()
        if len(role_id) > MAX_ROLE_ID:
            raise ValidationError("role_id_invalid", "role_id is too long", field="role_id")
        return replace(
            role, role_id=role_id, secret_id_bound_cidrs=cidrs or None, key=role.key or self._uuid()
        )

    async def _read_role_id(self, request: ActionRequest[NoFields]) -> dict[str, Any]:
        return {"role_id": (await self._get_role(request)).role_id}

    async def _write_role_id(self, request: ActionRequest[RoleIdField]) -> None:
        role_id = request.fields.role_id
        if not role_id or len(role_id) > MAX_ROLE_ID:
            raise ValidationError("missing_role_id", "missing role_id", field="role_id")

        def change(tx: EntryTx) -> None:
            entry = tx.get(ROLE, request.name)
            if entry is None:
                raise _role_not_found(request.name)
            old = _role(entry)
            new = replace(old, role_id=role_id)
            _index_role(
                tx,
                EntryChange(mount=request.mount, name=request.name, old=old, given={}, new=new),
            )
            tx.put(ROLE, request.name, msgspec.to_builtins(new))

        await self._entries.transact(request.mount.id, change)

    async def _take(self, request: ActionRequest[NewSecretId]) -> dict[str, Any]:
        if not request.fields.secret_id:
            raise ValidationError("missing_secret_id", "missing secret_id", field="secret_id")
        return await self._generate(request)

    async def _generate(self, request: ActionRequest[NewSecretId]) -> dict[str, Any]:
        asked = request.fields
        role = await self._get_role(request)
        if not role.bind_secret_id:
            raise ValidationError("secret_id_unbound", "bind_secret_id is not set on the role")
        text = asked.secret_id or self._uuid()
        if len(text) > MAX_SECRET_ID:
            raise ValidationError("secret_id_invalid", "secret_id is too long", field="secret_id")
        num_uses = role.secret_id_num_uses if asked.num_uses is None else asked.num_uses
        ttl = role.secret_id_ttl if asked.ttl is None else asked.ttl
        if num_uses < 0:
            raise ValidationError("num_uses_invalid", "num_uses cannot be negative")
        if role.secret_id_num_uses and not 0 < num_uses <= role.secret_id_num_uses:
            raise ValidationError(
                "num_uses_invalid", "num_uses cannot be higher than the role's secret_id_num_uses"
            )
        if role.secret_id_ttl and not 0 < ttl <= role.secret_id_ttl:
            raise ValidationError(
                "ttl_invalid", "ttl cannot be longer than the role's secret_id_ttl"
            )
        cidrs = parse_cidrs(asked.cidr_list, "cidr_list")
        bound = parse_cidrs(asked.token_bound_cidrs, "token_bound_cidrs")
        _require_within(cidrs, role.secret_id_bound_cidrs or (), "cidr_list")
        _require_within(bound, role.token_bound_cidrs, "token_bound_cidrs")
        secret = SecretId(
            accessor=self._uuid(),
            metadata=_metadata(asked.metadata),
            cidr_list=cidrs,
            token_bound_cidrs=bound,
            ttl=ttl,
            num_uses=num_uses,
        )
        place = self._place(role, text)

        def change(tx: EntryTx) -> None:
            entry = tx.get(ROLE, request.name)
            if entry is None or _role(entry).key != role.key:
                raise _role_not_found(request.name)
            held = tx.get(SECRET_ID, place)
            if held is not None and not (held.expires_at and tx.now >= held.expires_at):
                raise ValidationError(
                    "secret_id_exists", "SecretID is already registered", field="secret_id"
                )
            end = tx.now + ttl if ttl else 0
            tx.put(
                SECRET_ID, place, msgspec.to_builtins(secret), expires_at=end, uses_left=num_uses
            )
            index = f"{role.key}/{secret.accessor}"
            tx.put(ACCESSOR, index, {"place": place}, expires_at=end)

        await self._entries.transact(request.mount.id, change)
        return {
            "secret_id": text,
            "secret_id_accessor": secret.accessor,
            "secret_id_num_uses": num_uses,
            "secret_id_ttl": ttl // SECOND,
        }

    async def _list(self, request: ActionRequest[NoFields]) -> dict[str, Any]:
        role = await self._get_role(request)
        prefix = f"{role.key}/"
        found: list[str] = []
        while True:
            page = await self._entries.list_names(
                request.mount.id, ACCESSOR, prefix, found[-1] if found else "", PAGE
            )
            found += page
            if len(page) < PAGE or len(found) >= MAX_LISTED:
                break
        if not found:
            raise NotFoundError("empty_list", "the role has no secret-ids")
        return {"keys": [name.removeprefix(prefix) for name in found]}

    async def _look_up(self, request: ActionRequest[SecretIdSelector]) -> dict[str, Any] | None:
        role = await self._get_role(request)
        if not request.fields.secret_id:
            raise ValidationError("missing_secret_id", "missing secret_id", field="secret_id")
        place = self._place(role, request.fields.secret_id)
        held = await self._entries.get(request.mount.id, SECRET_ID, place)
        return None if held is None else _shown(held)

    async def _look_up_accessor(self, request: ActionRequest[AccessorField]) -> dict[str, Any]:
        role = await self._get_role(request)
        accessor = _accessor(request.fields)
        index = await self._entries.get(request.mount.id, ACCESSOR, f"{role.key}/{accessor}")
        held = (
            None
            if index is None
            else await self._entries.get(request.mount.id, SECRET_ID, index.document["place"])
        )
        if held is None:
            raise _accessor_not_found()
        return _shown(held)

    async def _destroy(self, request: ActionRequest[SecretIdSelector]) -> None:
        role = await self._get_role(request)
        if not request.fields.secret_id:
            raise ValidationError("missing_secret_id", "missing secret_id", field="secret_id")
        place = self._place(role, request.fields.secret_id)
        await self._entries.transact(request.mount.id, lambda tx: _remove(tx, role.key, place))

    async def _destroy_accessor(self, request: ActionRequest[AccessorField]) -> None:
        role = await self._get_role(request)
        accessor = _accessor(request.fields)

        def change(tx: EntryTx) -> None:
            index = tx.get(ACCESSOR, f"{role.key}/{accessor}")
            if index is None:
                raise _accessor_not_found()
            _remove(tx, role.key, index.document["place"])
            tx.delete(ACCESSOR, f"{role.key}/{accessor}")

        await self._entries.transact(request.mount.id, change)

    async def _tidy(self, request: ActionRequest[NoFields]) -> None:
        """Nothing to do: what has expired is removed once a minute."""

    async def _get_role(self, request: ActionRequest[Any]) -> Role:
        entry = await self._entries.get(request.mount.id, ROLE, request.name)
        if entry is None:
            raise _role_not_found(request.name)
        return _role(entry)

    def _place(self, role: Role, secret_id: str) -> str:
        """Where a secret-id is kept: below its role's key, by its keyed hash."""
        return f"{role.key}/{self._scheme.locate(_DOMAIN + secret_id).secret_hash.hex()}"

    def _uuid(self) -> str:
        return str(UUID(bytes=self._random(16), version=4))


def _action(name: str, verb: ActionVerb, path: str, run: Any, fields: type[Any]) -> Action[Any]:
    return Action(
        name=name,
        verb=verb,
        path=f"role/{{name}}/{path}",
        run=run,
        fields=fields,
        canonical=folded_name,
    )


def _result(role: Role, name: str, place: str, secret: SecretId | None) -> LoginResult:
    token = role.token_parameters
    if secret is not None and secret.token_bound_cidrs:
        token = replace(token, bound_cidrs=secret.token_bound_cidrs)

    def claim(tx: EntryTx) -> None:
        entry = tx.get(ROLE, name)
        if entry is None or _role(entry).key != role.key:
            raise LoginRefusedError("login_refused", _WRONG)
        if secret is not None:
            _use(tx, role.key, place)

    return LoginResult(
        alias=role.role_id,
        display_name="",
        token=token,
        metadata={"role_name": name, **({} if secret is None else secret.metadata)},
        role=name,
        renewal={"key": role.key},
        details={} if secret is None else {"secret_id_accessor": secret.accessor},
        claim=claim,
    )


def _use(tx: EntryTx, key: str, place: str) -> None:
    """Use a secret-id once. Raises `LoginRefusedError` when it is gone or used up by now."""
    held = tx.get(SECRET_ID, place)
    if held is None or (held.expires_at and tx.now >= held.expires_at):
        raise LoginRefusedError("login_refused", _WRONG)
    secret = _secret(held)
    if not secret.num_uses:
        return
    if not tx.spend(SECRET_ID, place):
        raise LoginRefusedError("login_refused", _WRONG)
    if held.uses_left == 1:
        tx.delete(ACCESSOR, f"{key}/{secret.accessor}")


def _remove(tx: EntryTx, key: str, place: str) -> None:
    held = tx.get(SECRET_ID, place)
    if held is not None:
        tx.delete(ACCESSOR, f"{key}/{_secret(held).accessor}")
        tx.delete(SECRET_ID, place)


def _index_role(tx: EntryTx, change: EntryChange[Role]) -> None:
    """A role-id leads to one role."""
    new, old = change.new, change.old
    index = tx.get(ROLE_ID, new.role_id)
    if index is not None and index.document["role"] != change.name:
        raise ValidationError("role_id_taken", "role_id already in use", field="role_id")
    if old is not None and old.role_id != new.role_id:
        tx.delete(ROLE_ID, old.role_id)
    if index is None:
        tx.put(ROLE_ID, new.role_id, {"role": change.name})


def _delete_role(tx: EntryTx, _name: str, role: Role) -> None:
    """Its secret-ids count no more, since its key is gone; some go at once, as far as they fit."""
    tx.delete(ROLE_ID, role.role_id)
    for kind in (SECRET_ID, ACCESSOR):
        for name in tx.list_names(kind, f"{role.key}/", limit=MAX_DELETED):
            tx.delete(kind, name)


def _role(entry: Entry) -> Role:
    return msgspec.convert(entry.document, Role)


def _secret(entry: Entry) -> SecretId:
    return msgspec.convert(entry.document, SecretId)


def _shown(held: Entry) -> dict[str, Any]:
    secret = _secret(held)
    return {
        "cidr_list": list(secret.cidr_list),
        "creation_time": rfc3339(held.created_at),
        "expiration_time": rfc3339(held.expires_at) if held.expires_at else "0001-01-01T00:00:00Z",
        "last_updated_time": rfc3339(held.updated_at),
        "metadata": secret.metadata,
        "secret_id_accessor": secret.accessor,
        "secret_id_num_uses": held.uses_left,
        "secret_id_ttl": secret.ttl // SECOND,
        "token_bound_cidrs": list(secret.token_bound_cidrs),
    }


def _metadata(given: Any) -> dict[str, str]:
    """Metadata as an object, or as its JSON text, as OpenBao takes it. Raises `ValidationError`."""
    try:
        found = json_text.decode(given.encode()) if isinstance(given, str) and given else given
        metadata = msgspec.convert(found or {}, dict[str, str])
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        raise ValidationError(
            "metadata_invalid", "failed to parse metadata: it must be an object of texts",
            field="metadata",
        ) from None  # fmt: skip
    if len(metadata) > MAX_METADATA or any(
        len(key) > MAX_META_KEY or len(value) > MAX_META_VALUE for key, value in metadata.items()
    ):
        raise ValidationError(
            "metadata_invalid", f"metadata has at most {MAX_METADATA} entries of 128 by 512",
            field="metadata",
        )  # fmt: skip
    return metadata


def _require_within(inner: tuple[str, ...], outer: tuple[str, ...], field: str) -> None:
    if outer and not are_within(inner, outer):
        raise ValidationError(
            "cidr_invalid", f"{field} is not a subset of the CIDR blocks of the role", field=field
        )


def _outside(what: str) -> LoginRefusedError:
    return LoginRefusedError(
        "login_refused", f"source address unauthorized through CIDR restrictions on the {what}"
    )


def _text(fields: Mapping[str, Any], name: str, longest: int) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > longest:
        raise ValidationError("field_invalid", f"{name} is no text of this method", field=name)
    return value


def _accessor(fields: AccessorField) -> str:
    if not fields.secret_id_accessor:
        raise ValidationError(
            "missing_accessor", "missing secret_id_accessor", field="secret_id_accessor"
        )
    return fields.secret_id_accessor[:MAX_ROLE_ID]


def _role_not_found(name: str) -> NotFoundError:
    return NotFoundError("approle_not_found", f'role "{echoed(name)}" does not exist')


def _accessor_not_found() -> NotFoundError:
    return NotFoundError(
        "accessor_not_found", "failed to find accessor entry for secret_id_accessor"
    )
