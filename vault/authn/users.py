"""Users: the people and machines that API keys and tokens belong to."""

import unicodedata
from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from actors.world import World
from vault.authn.credential_validity import KEY_PARENT, RowLookup, user_policies
from vault.authn.mfa.entries import forget_entity
from vault.authn.privilege import require_authority_over, require_none_denies
from vault.authn.revocation import TOKENS_OF_USER, Revoker
from vault.authn.roles import normalized_policy_names
from vault.errors import ConflictError, NotFoundError, ValidationError
from vault.model.fold import fold_text
from vault.model.identity import DEFAULT_POLICY, Identity, Method
from vault.model.records import RecordStatus, RoleRow, UserRow
from vault.store.store import Store
from vault.store.table import MAX_LIMIT, StoreQuery
from vault.store.tables import API_KEYS, ENTITY_ALIASES, GROUP_MEMBERS, ROLES, USAGE, USERS
from vault.store.transaction import StoreTx

MAX_EMAIL: Final = 254  # RFC 5321 section 4.5.3.1.3, less the brackets of a path
MAX_USERNAME: Final = 128  # characters; an e-mail address of usual length fits
RESERVED: Final = frozenset({"root", "anonymous", "service", "system", "default"})

_PUNCTUATION: Final = frozenset("._@-")


class Users:
    """What handlers call. The caller is authorized for the path; the rules here go beyond it."""

    def __init__(self, store: Store, revoker: Revoker, world: World) -> None:
        self._store = store
        self._revoker = revoker
        self._world = world

    async def create(
        self,
        caller: Identity,
        username: str,
        *,
        email: str = "",
        roles: Iterable[str] = (),
        policies: Iterable[str] = (),
    ) -> UserRow:
        """Make a user.

        Raises `ValidationError` for an unclear or reserved name or an unknown role, `ConflictError`
        for a name that is taken in any spelling, and `AuthorizationError` when the user would be
        more privileged than the caller.
        """
        now = self._world.now()
        row = UserRow(
            id=self._world.new_id(),
            username=username,
            name_key=username_key(username),
            email=_email(email),
            roles=normalized_policy_names(roles, "roles"),
            policies=normalized_policy_names(policies),
            created_at=now,
            updated_at=now,
        )

        def change(tx: StoreTx) -> UserRow:
            if tx.select(USERS, StoreQuery(equals={"name_key": row.name_key}, limit=1)):
                raise ConflictError("user_exists", "a user of this name exists")
            _check_roles(tx, row)
            require_authority_over(tx.get, caller, user_policies(tx.get, row))
            tx.put(USERS, row)
            return row

        return await self._store.commit(change)

    async def get(self, user_id: str) -> UserRow:
        """Return a user; raises `NotFoundError`."""
        row = await self._store.get(USERS, user_id)
        if row is None:
            raise NotFoundError("user_not_found", "no such user")
        return row

    async def find_by_name(self, username: str) -> UserRow:
        """Return the user of a name in any spelling; raises `NotFoundError`."""
        query = StoreQuery(equals={"name_key": fold_text(username)}, limit=1)
        for row in await self._store.select(USERS, query):
            return row
        raise NotFoundError("user_not_found", "no such user")

    async def identity_of(self, username: str) -> Identity:
        """Return whom an API key of this user, not cut down, would stand for; for a dry run.

        Raises `NotFoundError`. A disabled user has no policies.
        """
        user = await self.find_by_name(username)
        names: set[str] = set()
        if user.status == RecordStatus.ACTIVE:
            roles = await self.roles_of(user)
            names = {*user.policies, DEFAULT_POLICY}.union(
                *(role.policies for role in roles.values() if role is not None)
            )
        return Identity(
            id=user.id,
            name=user.username,
            method=Method.API_KEY,
            policies=tuple(sorted(names)),
        )

    async def roles_of(self, user: UserRow) -> dict[str, RoleRow | None]:
        """Return the roles of a user by name; None for one that does not exist any more."""
        return {name: await self._store.get(ROLES, name) for name in user.roles}

    async def list_page(self, *, after: str = "", limit: int = 100) -> list[UserRow]:
        """Return up to `limit` users, by id, beyond the id `after`; raises `ValidationError`."""
        if not 1 <= limit <= MAX_LIMIT:
            raise ValidationError("limit_invalid", f"limit must be 1 to {MAX_LIMIT}", field="limit")
        query = StoreQuery(after=(after,) if after else None, limit=limit)
        return await self._store.select(USERS, query)

    async def update(
        self,
        caller: Identity,
        user_id: str,
        *,
        email: str | None = None,
        roles: Iterable[str] | None = None,
        policies: Iterable[str] | None = None,
        status: str | None = None,
    ) -> UserRow:
        """Change what is given.

        From the next request on, a disabled user has lost all tokens for good, and all keys until
        the user is enabled again; streams are cut.

        Raises `NotFoundError`, `ValidationError`, and `AuthorizationError` when the user is, or
        would become, more privileged than the caller.
        """
        if status is not None and status not in {RecordStatus.ACTIVE, RecordStatus.DISABLED}:
            raise ValidationError("status_invalid", "status is active or disabled", field="status")
        changes: dict[str, object] = {"updated_at": self._world.now()}
        if email is not None:
            changes["email"] = _email(email)
        if roles is not None:
            changes["roles"] = normalized_policy_names(roles, "roles")
        if policies is not None:
            changes["policies"] = normalized_policy_names(policies)
        if status is not None:
            changes["status"] = status

        def change(tx: StoreTx) -> UserRow:
            old = _require_user(tx, user_id)
            row = replace(old, **changes)
            if roles is not None:
                _check_roles(tx, row)
            require_authority_over(tx.get, caller, user_policies(tx.get, old))
            require_authority_over(tx.get, caller, user_policies(tx.get, row))
            tx.put(USERS, row)
            return row

        if status != RecordStatus.DISABLED:
            return await self._store.commit(change)
        disabled: list[UserRow] = []

        def end(tx: StoreTx) -> list[str]:
            disabled[:] = [change(tx)]  # a batch may be run again
            return credentials_of(tx, user_id)

        await self._revoker.revoke_families(end)
        return disabled[0]

    async def delete(self, caller: Identity, user_id: str) -> None:
        """Delete a user with keys and tokens. Secrets and the audit log keep the user name.

        Raises `NotFoundError` and `AuthorizationError` as `update`.
        """

        def change(tx: StoreTx) -> list[str]:
            user = _require_user(tx, user_id)
            require_authority_to_remove(tx.get, caller, user)
            return remove_user(tx, user)

        await self._revoker.revoke_families(change)


def require_authority_to_remove(get: RowLookup, caller: Identity, user: UserRow) -> None:
    """Raise `AuthorizationError` unless the caller may delete this user.

    Whoever has an alias logs in again and is made anew, without what was denied before.
    """
    policies = user_policies(get, user)
    require_authority_over(get, caller, policies)
    if user.aliases:
        require_none_denies(get, caller, policies)


def remove_user(tx: StoreTx, user: UserRow) -> list[str]:
    """Delete a user with keys and aliases; return the parents whose token families end."""
    ending = credentials_of(tx, user.id)
    for key in tx.select(API_KEYS, StoreQuery(equals={"user_id": user.id})):
        tx.delete(API_KEYS, key.id)
        tx.delete(USAGE, key.id)
    for alias_key in user.aliases or ():
        tx.delete(ENTITY_ALIASES, alias_key)
    for group_id in user.member_of or ():
        tx.delete(GROUP_MEMBERS, group_id, user.id)
    forget_entity(tx, user.id)
    tx.delete(USERS, user.id)
    return ending


def credentials_of(tx: StoreTx, user_id: str) -> list[str]:
    """Return the parents whose token families end with a user: the user, and the user's keys."""
    keys = tx.select(API_KEYS, StoreQuery(equals={"user_id": user_id}))
    return [*(KEY_PARENT + row.id for row in keys), TOKENS_OF_USER + user_id]


def _require_user(tx: StoreTx, user_id: str) -> UserRow:
    row = tx.get(USERS, user_id)
    if row is None:
        raise NotFoundError("user_not_found", "no such user")
    return row


def _check_roles(tx: StoreTx, row: UserRow) -> None:
    for i, name in enumerate(row.roles):
        if tx.get(ROLES, name) is None:
            raise ValidationError(
                "role_unknown", f"roles[{i}] is not a known role", field=f"roles[{i}]"
            )


def _email(text: str) -> str:
    if len(text) > MAX_EMAIL or not text.isprintable() or (text and "@" not in text):
        raise ValidationError("email_invalid", "email is not an e-mail address", field="email")
    return text


def username_key(username: str, field: str = "username") -> str:
    """Return the key of a user name; raises `ValidationError` saying which rule it breaks."""
    fault = _fault(username)
    if fault:
        raise ValidationError("username_invalid", f"{field} {fault}", field=field)
    key = fold_text(username)
    if key in RESERVED:
        raise ValidationError("username_reserved", f"{field} is reserved", field=field)
    return key


def _fault(name: str) -> str | None:
    if not 1 <= len(name) <= MAX_USERNAME:
        return f"must be 1 to {MAX_USERNAME} characters"
    if not unicodedata.is_normalized("NFC", name):
        return "must be in Unicode normal form NFC"
    if not all(c in _PUNCTUATION or unicodedata.category(c)[0] in "LMN" for c in name):
        return "may hold letters, digits and . _ @ - only"
    if unicodedata.category(name[0])[0] not in "LN":
        return "must begin with a letter or digit"
    if len({_script(c) for c in name if unicodedata.category(c)[0] == "L"}) > 1:
        return "must not mix scripts: look-alikes of other names are made so"
    return None


def _script(letter: str) -> str:
    """The first word of a letter's name is its script (`LATIN SMALL LETTER A`)."""
    return unicodedata.name(unicodedata.normalize("NFKC", letter)[0], "UNKNOWN").split()[0]
