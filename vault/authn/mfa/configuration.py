"""Methods and enforcements, as administrators write them. Rules and words are OpenBao's."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from actors.world import World
from vault.authn.lockout import FAILURES
from vault.authn.methods.method import EntryTx, LoginTx, RowTx
from vault.authn.mfa.enforcement import (
    MAX_ENFORCEMENTS,
    MAX_IDS,
    TOTP,
    WEBAUTHN,
    Enforcement,
    EnforcementRules,
    MfaMethod,
    decode_enforcements,
)
from vault.authn.mfa.entries import ALL, ENFORCEMENTS, METHOD, FactorStore
from vault.authn.mfa.totp import ALGORITHMS, MAX_KEY, MAX_PERIOD, MIN_KEY
from vault.errors import ConflictError, NotFoundError, ValidationError
from vault.model.auth_mounts import MFA_MOUNT
from vault.store.table import StoreQuery
from vault.store.tables import AUTH_MOUNTS, GROUPS, MFA_LEVEL, USERS

MAX_METHODS: Final = 64
MAX_NAME: Final = 128  # characters
MAX_QR: Final = 1_000  # pixels
MOST_ATTEMPTS: Final = 10
"""Wrong codes that are taken in 15 minutes, whatever a method says: three of 10^6 are right."""


class MethodSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A method: for TOTP how its codes are made. `period` in seconds, `key_size` in bytes."""

    type: str = TOTP
    name: str = ""
    issuer: str = ""
    period: int = 30
    key_size: int = 20
    qr_size: int = 200
    algorithm: str = "SHA1"
    digits: int = 6
    skew: int = 1
    max_validation_attempts: int = FAILURES


class StoredMethod(Struct, frozen=True, kw_only=True):
    """A method with its id."""

    id: str
    settings: MethodSettings


class MethodWritten(Struct, frozen=True, kw_only=True):
    """A method that was made or changed, and which of the two."""

    id: str
    is_new: bool


METHODS: Final[Mapping[str, MethodSettings]] = {
    TOTP: MethodSettings(type=TOTP),
    WEBAUTHN: MethodSettings(type=WEBAUTHN),
}
"""Built-in methods by id. They cannot be changed or deleted."""


def read_settings(entries: EntryTx, method_id: str) -> MethodSettings | None:
    """The settings of a method within a transaction."""
    if method_id in METHODS:
        return METHODS[method_id]
    held = entries.get(METHOD, method_id)
    return None if held is None else msgspec.convert(held.document, MethodSettings)


def named_methods(entries: EntryTx, one: Enforcement) -> tuple[MfaMethod, ...]:
    """The methods of an enforcement, as an answer names them."""
    found = []
    for method_id in one.methods:
        settings = read_settings(entries, method_id)
        if settings is not None:
            found.append(MfaMethod(id=method_id, type=settings.type, name=settings.name))
    return tuple(found)


class MfaConfiguration:
    """What handlers call. The caller is authorized for the path."""

    def __init__(self, store: FactorStore, rules: EnforcementRules, world: World) -> None:
        self._store = store
        self._rules = rules
        self._world = world

    async def write_method(
        self, fields: Mapping[str, Any], *, method_id: str = ""
    ) -> MethodWritten:
        """Make a method, or change what is named of one: that of the id, or of the name.

        Raises `NotFoundError`, `ValidationError`.
        """
        new_id = self._world.new_id()

        def change(entries: EntryTx, _: RowTx) -> MethodWritten:
            name = str(fields.get("name", ""))
            chosen = method_id or _named(entries, name)
            old = read_settings(entries, chosen) if chosen else None
            if method_id and (old is None or method_id in METHODS):
                raise NotFoundError("method_not_found", "there is no such method")
            if name and method_id and _named(entries, name) not in {"", method_id}:
                raise ValidationError(
                    "method_exists", "another method has this name", field="method_name"
                )
            settings = _checked(replace(old or MethodSettings(), **fields))
            if old is None and len(entries.list_names(METHOD, limit=MAX_METHODS)) >= MAX_METHODS:
                raise ConflictError("methods_full", f"there may be {MAX_METHODS} methods")
            entries.put(METHOD, chosen or new_id, msgspec.to_builtins(settings))
            return MethodWritten(id=chosen or new_id, is_new=old is None)

        return await self._store.transact_rows(MFA_MOUNT.id, change)

    async def read_method(self, method_id: str) -> StoredMethod:
        """A method. Raises `NotFoundError`."""
        held = await self._store.get(MFA_MOUNT.id, METHOD, method_id)
        if held is None:
            raise NotFoundError("method_not_found", "there is no such method")
        return StoredMethod(id=method_id, settings=msgspec.convert(held.document, MethodSettings))

    async def list_methods(self) -> list[StoredMethod]:
        """The methods that administrators wrote, by id."""
        names = await self._store.list_names(MFA_MOUNT.id, METHOD)
        return [await self.read_method(name) for name in names]

    async def delete_method(self, method_id: str) -> None:
        """Delete a method. Raises `NotFoundError`, `ValidationError` where it is needed."""

        def change(entries: EntryTx, _: RowTx) -> None:
            if entries.get(METHOD, method_id) is None:
                raise NotFoundError("method_not_found", "there is no such method")
            for one in _read(entries).values():
                if method_id in one.methods:
                    raise ValidationError(
                        "method_in_use",
                        f"methodID is still used by an enforcement configuration with ID: {one.id}",
                    )
            entries.delete(METHOD, method_id)

        await self._store.transact_rows(MFA_MOUNT.id, change)

    async def write_enforcement(self, name: str, wanted: Enforcement) -> Enforcement:
        """Make or replace an enforcement. Raises `ValidationError` for what it names and is not."""
        if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or "/" in name:
            raise ValidationError(
                "name_invalid",
                f"the name of an enforcement is 1 to {MAX_NAME} printable characters without /",
                field="name",
            )
        if name in self._rules.configured:
            raise _of_the_settings()
        _check_given(wanted)
        new_id = self._world.new_id()

        def change(entries: EntryTx, rows: LoginTx) -> Enforcement:
            rows.rows.require_level(MFA_LEVEL)  # an older node would ask for no factor
            _check_existing(entries, rows, wanted)
            found = _read(entries)
            if name not in found and len(found) >= MAX_ENFORCEMENTS:
                raise ConflictError(
                    "enforcements_full", f"there may be {MAX_ENFORCEMENTS} enforcements"
                )
            stored = replace(wanted, id=found[name].id if name in found else new_id)
            _write(entries, {**found, name: stored})
            return stored

        return await self._store.transact_rows(MFA_MOUNT.id, change)

    async def read_enforcement(self, name: str) -> Enforcement:
        """An enforcement. Raises `NotFoundError`."""
        found = (await self.list_enforcements()).get(name)
        if found is None:
            raise _no_enforcement()
        return found

    async def list_enforcements(self) -> dict[str, Enforcement]:
        """All enforcements by name, with those of the settings."""
        held = await self._store.get(MFA_MOUNT.id, ENFORCEMENTS, ALL)
        stored = {} if held is None else decode_enforcements(held.document)
        found = {**stored, **self._rules.configured}
        return dict(sorted(found.items()))

    async def delete_enforcement(self, name: str) -> None:
        """Delete an enforcement. Raises `NotFoundError`."""
        if name in self._rules.configured:
            raise _of_the_settings()

        def change(entries: EntryTx, _: RowTx) -> None:
            found = _read(entries)
            if found.pop(name, None) is None:
                raise _no_enforcement()
            _write(entries, found)

        await self._store.transact_rows(MFA_MOUNT.id, change)


def _no_enforcement() -> NotFoundError:
    return NotFoundError("enforcement_not_found", "there is no such enforcement")


def _read(entries: EntryTx) -> dict[str, Enforcement]:
    held = entries.get(ENFORCEMENTS, ALL)
    return {} if held is None else decode_enforcements(held.document)


def _write(entries: EntryTx, found: Mapping[str, Enforcement]) -> None:
    entries.put(ENFORCEMENTS, ALL, msgspec.to_builtins(dict(sorted(found.items()))))


def _named(entries: EntryTx, name: str) -> str:
    """The id of the method of a name; empty where there is none."""
    if not name:
        return ""
    for method_id in entries.list_names(METHOD, limit=MAX_METHODS):
        settings = read_settings(entries, method_id)
        if settings is not None and settings.name == name:
            return method_id
    return ""


def _checked(settings: MethodSettings) -> MethodSettings:
    """Raises `ValidationError` in OpenBao's words."""
    for wrong, field, message in (
        (not settings.issuer, "issuer", "issuer must be set"),
        (settings.period <= 0, "period", "period must be greater than zero"),
        (settings.period > MAX_PERIOD, "period", f"period must be at most {MAX_PERIOD} seconds"),
        (settings.algorithm not in ALGORITHMS, "algorithm", "unrecognized algorithm"),
        (settings.digits not in {6, 8}, "digits", "digits can only be 6 or 8"),
        (settings.key_size <= 0, "key_size", "key_size must be greater than zero"),
        (
            not MIN_KEY <= settings.key_size <= MAX_KEY,
            "key_size",
            f"key_size must be {MIN_KEY} to {MAX_KEY} bytes (RFC 4226, R6)",
        ),
        (settings.skew not in {0, 1}, "skew", "skew must be 0 or 1"),
        (settings.qr_size > MAX_QR, "qr_size", f"qr_size must be at most {MAX_QR}"),
        (
            settings.max_validation_attempts <= 0,
            "max_validation_attempts",
            "max_validation_attempts must be greater than zero",
        ),
        (
            settings.max_validation_attempts > MOST_ATTEMPTS,
            "max_validation_attempts",
            f"max_validation_attempts must be at most {MOST_ATTEMPTS}",
        ),
        (
            max(len(settings.issuer), len(settings.name)) > MAX_NAME,
            "issuer",
            f"issuer and method_name may have {MAX_NAME} characters",
        ),
    ):
        if wrong:
            raise ValidationError("method_invalid", message, field=field)
    return settings


def _check_given(wanted: Enforcement) -> None:
    if not wanted.methods:
        raise ValidationError("enforcement_invalid", "missing method ids", field="methods")
    about = (wanted.accessors, wanted.types, wanted.groups, wanted.entities)
    if not any(about):
        raise ValidationError(
            "enforcement_invalid",
            "One of auth_method_accessors, auth_method_types, identity_group_ids, "
            "identity_entity_ids must be specified",
        )
    if any(len(ids) > MAX_IDS for ids in (*about, wanted.methods)):
        raise ValidationError("enforcement_invalid", f"an enforcement names at most {MAX_IDS}")


def _check_existing(entries: EntryTx, rows: RowTx, wanted: Enforcement) -> None:
    """In OpenBao's words: a name that is wrong would enforce nothing."""
    if any(read_settings(entries, one) is None for one in wanted.methods):
        raise _unknown("one of the provided method ids doesn't exist")
    mounts = rows.select(AUTH_MOUNTS, StoreQuery())
    if not {mount.accessor for mount in mounts}.issuperset(wanted.accessors):
        raise _unknown("one of the auth method accessors provided is invalid")
    if not {mount.type for mount in mounts}.issuperset(wanted.types):
        raise _unknown("one of the auth method types provided is invalid")
    if any(rows.get(USERS, one) is None for one in wanted.entities):
        raise _unknown("one of the provided entity ids doesn't exist")
    if any(rows.get(GROUPS, one) is None for one in wanted.groups):
        raise _unknown("one of the provided group ids doesn't exist")


def _unknown(message: str) -> ValidationError:
    return ValidationError("enforcement_invalid", message)


def _of_the_settings() -> ConflictError:
    return ConflictError(
        "enforcement_configured",
        "this enforcement is in the settings (authentication.mfa.required_for): change it there",
    )
