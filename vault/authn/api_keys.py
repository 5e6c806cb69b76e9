"""API keys of users: made (the text is shown once), listed without their hashes, revoked."""

from collections.abc import Iterable
from functools import partial
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors.world import World
from protocols.instant import MAX_NS
from vault.authn.credential_scheme import CredentialScheme
from vault.authn.credential_usage import CredentialUsage
from vault.authn.credential_validity import (
    KEY_PARENT,
    api_key_identity,
    key_permissions,
    resolve_identity,
    user_policies,
)
from vault.authn.privilege import require_authority_over_key
from vault.authn.revocation import Revoker
from vault.errors import AuthorizationError, ConflictError, NotFoundError, ValidationError
from vault.model.identity import Identity, Permission
from vault.model.records import BATCH_ACCESSOR, ApiKeyRow, RecordStatus, TokenRow, UserRow
from vault.store.store import Store
from vault.store.table import StoreQuery
from vault.store.tables import API_KEYS, TOKENS, USERS
from vault.store.transaction import StoreTx

MAX_KEYS: Final = 100  # of one user that are not revoked
MAX_REVOKED: Final = 100  # of one user that are kept to be seen; the oldest go
MAX_NAME: Final = 128
KEY_CREATE_PATH: Final = "sys/keys"  # `TokenRow.path` of a key that is looked at as a token


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key as it may be shown: everything but the hash of its secret."""

    id: str
    user_id: str
    name: str
    permissions: tuple[Permission, ...]
    expires_at: int
    created_at: int
    created_by: str
    status: str
    last_used: int = 0
    uses: int = 0


class CreatedKey(Struct, frozen=True, kw_only=True):
    """A new key and its text, which is never shown again."""

    key: ApiKey
    text: str
    policies: tuple[str, ...] = ()  # of its user
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"CreatedKey(id={self.key.id!r})"


class ApiKeys:
    """What handlers call. The caller is authorized for the path; the rules here go beyond it."""

    def __init__(
        self,
        store: Store,
        scheme: CredentialScheme,
        revoker: Revoker,
        usage: CredentialUsage,
        world: World,
    ) -> None:
        self._store = store
        self._scheme = scheme
        self._revoker = revoker
        self._usage = usage
        self._world = world

    async def create(
        self,
        caller: Identity,
        user_id: str,
        name: str,
        *,
        permissions: Iterable[Permission] = (),
        expires_at: int = 0,
    ) -> CreatedKey:
        """Make a key for a user; `permissions` have been validated, empty ones cut nothing.

        Raises `ValidationError`, `NotFoundError`, and `AuthorizationError` when the user is more
        privileged than the caller.
        """
        now, granted = self._world.now(), tuple(permissions)
        if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
            raise _invalid("name", f"name must be 1 to {MAX_NAME} printable characters")
        if expires_at and not now < expires_at <= MAX_NS:
            raise _invalid("expires_at", "expires_at must lie in the future")
        minted = self._scheme.mint_api_key()
        row = ApiKeyRow(
            id=minted.id,
            user_id=user_id,
            name=name,
            key_hash=minted.secret_hash,
            permissions=[
                {"capabilities": list(p.capabilities), "paths": list(p.paths)} for p in granted
            ],
            expires_at=expires_at,
            created_at=now,
            created_by=caller.name,
        )

        def change(tx: StoreTx) -> tuple[ApiKeyRow, set[str]]:
            user = tx.get(USERS, user_id)
            if user is None:
                raise NotFoundError("user_not_found", "no such user")
            if user_id == caller.id and _is_bound(tx, caller):
                raise AuthorizationError(
                    "credential_bound",
                    "your token is a batch token, or counts from some networks, with one "
                    "certificate or so many times alone: it makes no API key of your own, which "
                    "would count everywhere; log in another way, or ask somebody else for a key",
                )
            held = user_policies(tx.get, user)
            require_authority_over_key(tx.get, caller, held, granted)
            if user.status != RecordStatus.ACTIVE:
                raise ConflictError("user_disabled", "the user is disabled")
            _make_room(tx, user_id)
            tx.put(API_KEYS, row)
            return row, held

        stored, held = await self._store.commit(change)
        return CreatedKey(
            key=_public_key_info(stored), text=minted.text, policies=tuple(sorted(held))
        )

    async def get(self, key_id: str) -> ApiKey:
        """Return a key with its last use; raises `NotFoundError`."""
        row = await self._store.get(API_KEYS, key_id)
        if row is None:
            raise NotFoundError("key_not_found", "no such API key")
        return await self._with_usage(row)

    async def identity_of(self, key_id: str, at: int) -> Identity | None:
        """Return whom a key stands for, were it `at` (ns), or None; no use is counted."""
        row = await self._store.get(API_KEYS, key_id)
        rule = partial(api_key_identity, real=self._world.now())
        return None if row is None else await resolve_identity(self._store, rule, row, at)

    async def own_key_as_token(self, caller: Identity) -> TokenRow:
        """Return the caller's own key as Vault's clients look at a token: one that is not renewed.

        Raises `AuthorizationError` when it is gone by now.
        """
        row = await self._store.get(API_KEYS, caller.credential)
        if row is None:
            raise AuthorizationError("bad_token", "bad token")
        return TokenRow(
            id=row.id,
            accessor=row.id,
            secret_hash=b"",
            display_name=f"key-{caller.name}",
            user_id=row.user_id,
            policies=list(caller.policies),
            path=KEY_CREATE_PATH,
            created_at=row.created_at,
            issued_at=row.created_at,
            ttl=row.expires_at - row.created_at if row.expires_at else 0,
            expires_at=row.expires_at,
            renewable=False,
        )

    async def list_for_user(self, user_id: str) -> list[ApiKey]:
        """Return the keys of a user with their last use, revoked ones too."""
        rows = await self._store.select(API_KEYS, StoreQuery(equals={"user_id": user_id}))
        return [await self._with_usage(row) for row in rows]

    async def revoke(self, caller: Identity, key_id: str) -> None:
        """End a key, the tokens that came from it and their streams; a revoked one stays so.

        Raises `NotFoundError`, and `AuthorizationError` when its user is more privileged than the
        caller; every user may revoke their own keys.
        """

        def change(tx: StoreTx) -> list[str]:
            row = tx.get(API_KEYS, key_id)
            if row is None:
                raise NotFoundError("key_not_found", "no such API key")
            user = tx.get(USERS, row.user_id)
            if user is not None and not _is_own(caller, user, row):
                held = user_policies(tx.get, user)
                require_authority_over_key(tx.get, caller, held, key_permissions(row))
            tx.put(API_KEYS, replace(row, status=RecordStatus.REVOKED))
            return [KEY_PARENT + key_id]

        await self._revoker.revoke_families(change)

    async def _with_usage(self, row: ApiKeyRow) -> ApiKey:
        usage = await self._usage.get(row.id)
        return replace(_public_key_info(row), last_used=usage.last_used, uses=usage.uses)


def _is_own(caller: Identity, user: UserRow, row: ApiKeyRow) -> bool:
    return caller.credential == row.id or (caller.id == user.id and not caller.permissions)


def _is_bound(tx: StoreTx, caller: Identity) -> bool:
    """Whether the caller's token is one that a key would set free. A batch token has no row."""
    if caller.credential.startswith(BATCH_ACCESSOR):
        return True
    if not caller.holds_token:
        return False
    rows = tx.select(TOKENS, StoreQuery(equals={"accessor": caller.credential}, limit=1))
    return any(row.bound_cidrs or row.certificate or row.num_uses for row in rows)


def _make_room(tx: StoreTx, user_id: str) -> None:
    rows = tx.select(API_KEYS, StoreQuery(equals={"user_id": user_id}))
    revoked = sorted(
        (r for r in rows if r.status == RecordStatus.REVOKED), key=lambda r: (r.created_at, r.id)
    )
    if len(rows) - len(revoked) >= MAX_KEYS:
        raise ConflictError("keys_full", f"a user has at most {MAX_KEYS} API keys; revoke one")
    for row in revoked[: max(0, len(revoked) - MAX_REVOKED)]:
        tx.delete(API_KEYS, row.id)


def _public_key_info(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        user_id=row.user_id,
        name=row.name,
        permissions=key_permissions(row),
        expires_at=row.expires_at,
        created_at=row.created_at,
        created_by=row.created_by,
        status=row.status,
    )


def _invalid(field: str, message: str) -> ValidationError:
    return ValidationError("key_invalid", message, field=field)
