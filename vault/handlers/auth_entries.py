"""What auth methods keep (roles, users, configurations), and what else they do for administrators.

One rule for all methods: a write changes the fields that it names, within the kind's document.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from actors.slewed_clock import SlewedClock
from vault import operations
from vault.authn.logins import LOCKOUT, Logins
from vault.authn.methods.method import (
    CONFIG,
    ActionRequest,
    ActionVerb,
    Entry,
    EntryChange,
    EntryKind,
    EntryTx,
    action_path,
    entry_path,
)
from vault.errors import (
    AuthorizationError,
    ConflictError,
    NotFoundError,
    ValidationError,
)
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.stores import AuthEntryStore
from vault.model.auth_mounts import AUTH
from vault.model.name import echoed
from vault.model.operation import Capability, OperationType
from vault.model.payloads import ListEntries, Nothing, RunAuthAction, SelectEntry, WriteEntry
from vault.model.records import AuthMountRow
from vault.model.results import ActionResult, LockedLogins, StoredEntry

MAX_LOCKED: Final = 1_000  # names of a mount that are looked at
MAX_NAME: Final = 256  # characters
MAX_DOCUMENT: Final = 256 << 10  # bytes of an entry, encoded
MAX_SWEEPS: Final = 100  # transactions of one sweep; the next one goes on
MAX_TRIES: Final = 5  # of a write that meets another one


@dataclass(frozen=True)
class AuthEntryHandlers:
    """The handlers of `auth.entry.*` and `auth.action.*`."""

    store: AuthEntryStore
    logins: Logins

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.LIST_AUTH_ENTRIES,
                run=self.list_names,
                capability=Capability.LIST,
                audit_response=lambda found: {"count": len(found)},
            ),
            Handler(
                operations.READ_AUTH_ENTRY,
                run=self.read,
                capability=Capability.READ,
                audit_response=lambda found: {"name": found.name},
            ),
            Handler(
                operations.WRITE_AUTH_ENTRY,
                run=self.write,
                capability=Capability.UPDATE,
                mutates=True,
                audit_request=_write_request,
                audit_response=lambda found: {"name": found.name},
            ),
            Handler(
                operations.DELETE_AUTH_ENTRY,
                run=self.delete,
                capability=Capability.DELETE,
                mutates=True,
            ),
            _action(operations.READ_BY_AUTH_METHOD, self.run, Capability.READ),
            _action(operations.LIST_BY_AUTH_METHOD, self.run, Capability.LIST),
            _action(operations.UPDATE_BY_AUTH_METHOD, self.run, Capability.UPDATE, mutates=True),
            _action(operations.DELETE_BY_AUTH_METHOD, self.run, Capability.DELETE, mutates=True),
            Handler(
                operations.LIST_LOCKED_LOGINS, run=self.list_locked, capability=Capability.LIST
            ),
            Handler(
                operations.UNLOCK_LOGIN,
                run=self.unlock,
                capability=Capability.UPDATE,
                mutates=True,
            ),
            Handler(
                operations.BEGIN_LOGIN,
                run=self.run,
                capability=None,
                anonymous=True,
                audit_request=_action_request,
                audit_response=_nothing,
            ),
        )

    async def list_names(self, call: Call[ListEntries]) -> list[str]:
        """Names of a kind of entries."""
        payload = call.payload
        mount, kind = self._find(payload.mount, payload.kind)
        _require_path(call, f"{AUTH}{mount.path}{kind.folder or kind.name}")
        return await self.store.list_names(
            mount.id, kind.name, after=payload.after, limit=payload.limit
        )

    async def read(self, call: Call[SelectEntry]) -> StoredEntry:
        """One entry, without what is secret of it."""
        payload = call.payload
        mount, kind = self._find(payload.mount, payload.kind)
        name = _name(kind, payload.name)
        _require_path(call, entry_path(mount, kind, name))
        entry = await self.store.get(mount.id, kind.name, name)
        if entry is None:
            raise _entry_not_found(kind)
        return _shown(kind, entry)

    async def write(self, call: Call[WriteEntry]) -> StoredEntry:
        """Change what is named of an entry. Raises `ValidationError` for what does not fit."""
        payload = call.payload
        mount, kind = self._find(payload.mount, payload.kind)
        name = _name(kind, payload.name)
        _require_path(call, entry_path(mount, kind, name))
        fields = {kind.aliases.get(key, key): value for key, value in payload.fields.items()}
        for _ in range(MAX_TRIES):
            held = await self.store.get(mount.id, kind.name, name)
            if held is None and payload.must_exist:
                raise _entry_not_found(kind)
            change = _change(mount, kind, name, held, fields)
            if kind.prepare is not None:
                change = EntryChange(
                    mount=mount,
                    name=name,
                    old=change.old,
                    given=fields,
                    new=await kind.prepare(change),
                )
            stored = await self.store.transact(mount.id, _storing(kind, change, held))
            if stored is not None:
                return _shown(kind, stored)
        raise ConflictError("entry_changed", "the entry was changed meanwhile; try again")

    async def delete(self, call: Call[SelectEntry]) -> None:
        """Delete an entry with what belongs to it; one that is not there is no error."""
        payload = call.payload
        mount, kind = self._find(payload.mount, payload.kind)
        name = _name(kind, payload.name)
        _require_path(call, entry_path(mount, kind, name))

        def change(tx: EntryTx) -> None:
            entry = tx.get(kind.name, name)
            if entry is None:
                return
            if kind.on_delete is not None:
                kind.on_delete(tx, name, _document(kind, entry))
            tx.delete(kind.name, name)

        await self.store.transact(mount.id, change)

    async def list_locked(self, _: Call[Nothing]) -> list[LockedLogins]:
        """The names that are locked, by mount; of each mount at most `MAX_LOCKED`."""
        found = []
        for mount in self.logins.list_mounts():
            names = await self.store.list_names(mount.id, LOCKOUT, limit=MAX_LOCKED)
            locked = [name for name in names if await self.logins.is_locked(mount, name)]
            if locked:
                found.append(LockedLogins(accessor=mount.accessor, names=locked))
        return found

    async def unlock(self, call: Call[SelectEntry]) -> None:
        """End a lockout; one that is not there is no error. `mount` is the accessor."""
        payload = call.payload
        mount = next((m for m in self.logins.list_mounts() if m.accessor == payload.mount), None)
        if mount is not None:
            await self.store.transact(mount.id, lambda tx: tx.delete(LOCKOUT, payload.name))

    async def run(self, call: Call[RunAuthAction]) -> ActionResult:
        """Something else that a method does."""
        payload = call.payload
        mount, method, _ = self.logins.find_mount(payload.mount)
        action = method.actions.get(payload.action)
        if action is None or call.op.type.name != _OPERATIONS[action.verb]:
            raise NotFoundError("action_unknown", "this auth method has no such action")
        name = action.canonical(payload.name) if payload.name else ""
        _require_path(call, action_path(mount, action, name))
        request = ActionRequest(
            mount=mount,
            name=name,
            fields=_converted(payload.fields, action.fields, action.name),
            origin=call.op.origin,
        )
        found = await action.run(request)
        return ActionResult(fields=None if found is None else dict(found))

    def _find(self, path: str, kind: str) -> tuple[AuthMountRow, EntryKind[Any]]:
        mount, method, _ = self.logins.find_mount(path)
        found = method.kinds.get(kind)
        if found is None or found.internal:
            raise NotFoundError(
                "kind_unknown", f"the auth method {mount.type} has no {echoed(kind)}"
            )
        return mount, found


_OPERATIONS: Final = {
    ActionVerb.READ: operations.READ_BY_AUTH_METHOD.name,
    ActionVerb.LIST: operations.LIST_BY_AUTH_METHOD.name,
    ActionVerb.UPDATE: operations.UPDATE_BY_AUTH_METHOD.name,
    ActionVerb.DELETE: operations.DELETE_BY_AUTH_METHOD.name,
    ActionVerb.BEGIN: operations.BEGIN_LOGIN.name,
}


def _action(
    operation: OperationType[RunAuthAction, ActionResult],
    run: Callable[[Call[RunAuthAction]], Awaitable[ActionResult]],
    capability: Capability,
    *,
    mutates: bool = False,
) -> Handler[RunAuthAction, ActionResult]:
    return Handler(
        operation,
        run=run,
        capability=capability,
        mutates=mutates,
        audit_request=_action_request,
        audit_response=_action_response,
    )


def _action_request(payload: RunAuthAction) -> object:
    """What the audit record shows: never the fields, in which a secret may be."""
    return {"mount": payload.mount, "action": payload.action, "name": payload.name}


def _action_response(result: ActionResult) -> object:
    """Which one-time secret it was, by its accessor."""
    accessor = (result.fields or {}).get("secret_id_accessor")
    return {"secret_id_accessor": accessor} if accessor else None


def _nothing(_: object) -> object:
    return None


def _write_request(payload: WriteEntry) -> object:
    """What the audit record shows: which fields, not what is in them."""
    return {
        "mount": payload.mount,
        "kind": payload.kind,
        "name": payload.name,
        "fields": sorted(payload.fields)[:64],
    }


def _require_path(call: Call[Any], path: str) -> None:
    """What is authorized is what is done: the entry's own path, or one below it.

    Raises `AuthorizationError` for a dialect that asked for another place.
    """
    if call.op.path != path and not call.op.path.startswith(f"{path}/"):
        raise AuthorizationError("path_mismatch", "permission denied")


def _name(kind: EntryKind[Any], name: str) -> str:
    if kind.name == CONFIG:
        return CONFIG
    if not name or len(name) > MAX_NAME:
        raise ValidationError(
            "name_invalid", f"{kind.name} must be 1 to {MAX_NAME} characters", field="name"
        )
    return kind.canonical(name)


def _change(
    mount: AuthMountRow,
    kind: EntryKind[Any],
    name: str,
    held: Entry | None,
    fields: dict[str, Any],
) -> EntryChange[Any]:
    """The document with what is named. Raises `ValidationError` naming the field."""
    known = {f.name for f in msgspec.structs.fields(kind.document)}
    unknown = sorted(fields.keys() - known - kind.write_only.keys())
    if unknown:
        raise ValidationError("field_unknown", f"{kind.name} has no field {echoed(unknown[0])}")
    for field, form in kind.write_only.items():
        if field in fields:
            _converted(fields[field], form, field)
    old = None if held is None else _document(kind, held)
    base = {} if old is None else msgspec.structs.asdict(old)
    given = {key: value for key, value in fields.items() if key in known}
    new = _converted({**base, **given}, kind.document, kind.name)
    if len(msgspec.json.encode(new)) > MAX_DOCUMENT:
        raise ValidationError("entry_too_large", f"{kind.name} is larger than {MAX_DOCUMENT} bytes")
    return EntryChange(mount=mount, name=name, old=old, given=fields, new=new)


def _converted(value: Any, form: Any, what: str) -> Any:
    try:
        return msgspec.convert(value, form)
    except msgspec.ValidationError as error:
        raise ValidationError(
            "field_invalid", f"{what}: {str(error).replace('`', '')}", field=what
        ) from None


def _storing(
    kind: EntryKind[Any], change: EntryChange[Any], held: Entry | None
) -> Callable[[EntryTx], Entry | None]:
    """Store a change; None if the entry is not what the change was made from."""

    def run(tx: EntryTx) -> Entry | None:
        now = tx.get(kind.name, change.name)
        if (None if now is None else now.document) != (None if held is None else held.document):
            return None
        if kind.on_write is not None:
            kind.on_write(tx, change)
        tx.put(kind.name, change.name, msgspec.to_builtins(change.new))
        return tx.get(kind.name, change.name)

    return run


def _document(kind: EntryKind[Any], entry: Entry) -> Any:
    return msgspec.convert(entry.document, kind.document)


def _shown(kind: EntryKind[Any], entry: Entry) -> StoredEntry:
    """What may be shown of an entry, with the defaults of what it does not have."""
    whole = msgspec.to_builtins(_document(kind, entry))
    secret = kind.sealed | kind.hidden
    return StoredEntry(
        name=entry.name,
        document={key: value for key, value in whole.items() if key not in secret},
        created_at=entry.created_at,
        updated_at=entry.updated_at,
    )


def _entry_not_found(kind: EntryKind[Any]) -> NotFoundError:
    return NotFoundError("entry_not_found", f"there is no such {kind.name}")


async def erase_expired_entries(store: AuthEntryStore, clock: SlewedClock) -> int:
    """Remove entries that have expired; returns how many. Not while the clock is not trusted."""
    removed = 0
    for _ in range(MAX_SWEEPS):
        if clock.is_suspended:
            break
        found = await store.erase_expired(clock.now())
        removed += found
        if not found:
            break
    return removed
