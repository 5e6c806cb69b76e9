"""Does a credential still stand, and for whom: one pure rule for requests and for transactions.

A token stands while it has not expired, has uses left, and everything it came from stands: each
ancestor, the API key or the auth mount that made the first of them, the sessions that are among
them, and the users of all. One that ends, and was issued in the future, does not stand: the
machine's clock was ahead then, and its end is too late. So nothing has to be found and deleted for
a revocation to count: the next request looks up the line and ends there.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from actors.slewed_clock import EARLY
from vault.model.identity import DEFAULT_POLICY, ROOT_POLICY, Identity, Method, Permission
from vault.model.records import (
    ApiKeyRow,
    AuthMountRow,
    EntityAliasRow,
    GroupRow,
    RecordStatus,
    RoleRow,
    TokenRow,
    UserRow,
)
from vault.store.row_cache import MISSING
from vault.store.store import Store
from vault.store.table import Key, Table
from vault.store.tables import (
    API_KEYS,
    AUTH_MOUNTS,
    ENTITY_ALIASES,
    GROUPS,
    ROLES,
    SESSIONS,
    TOKENS,
    USERS,
)

R = TypeVar("R", bound=Struct)

KEY_PARENT: Final = "key:"  # `TokenRow.parent` of a token that an API key made; no token id has ':'
LOGIN_METHODS: Final = {
    method.value: method
    for method in Method
    if method not in {Method.TOKEN, Method.API_KEY, Method.SERVICE, Method.ANONYMOUS}
} | {"cert": Method.CERTIFICATE}
"""The methods of logins, by the type of their auth mounts."""
WRAPPING_PATH: Final = "sys/wrapping/wrap"
"""`TokenRow.path` of a wrapped answer's token; the token API, with its own paths, makes none."""
MAX_DEPTH: Final = 32  # tokens in a line, bounding the lookups of one request
_ENTITY: Final = "identity.entity."


class RowLookup(Protocol):
    """A lookup by key: a transaction's, or the cache's."""

    def __call__(self, table: Table[R], *key: str | int) -> R | None: ...  # noqa: D102


IdentityRule = Callable[[RowLookup, Any, int], Identity | None]
SeenRow: TypeAlias = tuple[Table[Any], Key, Any]  # what a rule looked up, and found: None is no row


def is_expired(expires_at: int, now: int) -> bool:
    """Say whether an instant (0: never) has come: the instant itself is too late."""
    return expires_at != 0 and now >= expires_at


def not_before(row: Struct | None) -> int:
    """From when on a credential stands (Unix ns); 0 for one without an end, and for other rows.

    A token or key that ends, and was issued in the future, was issued by a clock that was ahead: it
    would end too late. One without an end gains nothing by that.
    """
    if isinstance(row, TokenRow) and row.expires_at:
        return row.issued_at - EARLY
    if isinstance(row, ApiKeyRow) and row.expires_at:
        return row.created_at - EARLY
    return 0


def is_outside_validity(row: ApiKeyRow | TokenRow, now: int) -> bool:
    """Whether time alone says that a credential does not stand."""
    return _is_outside_validity(row, now, None)


def user_policies(get: RowLookup, user: UserRow) -> set[str]:
    """Return the policies of a user: assigned ones, those of roles and groups, without `default`.

    Roles are the user's own and those that a source maps its claims or groups to.
    """
    found = set(user.policies) | role_policies(get, user.roles)
    # Neither a group nor a claim at a source makes root: an old row that says so changes nothing.
    given: set[str] = set()
    for alias in aliases_of(get, user):
        given |= role_policies(get, alias.roles)
    for group in groups_of(get, user):
        given.update(group.policies)
    given.discard(ROOT_POLICY)
    return found | given


def role_policies(get: RowLookup, names: Iterable[str]) -> set[str]:
    """The policies of these roles, as they are now."""
    found = set[str]()
    for name in names:
        role: RoleRow | None = get(ROLES, name)
        if role is not None:
            found.update(role.policies)
    return found


def aliases_of(get: RowLookup, entity: UserRow) -> list[EntityAliasRow]:
    """The aliases of an entity, by key: at most `MAX_ALIASES`."""
    rows = [get(ENTITY_ALIASES, key) for key in entity.aliases or ()]
    return [row for row in rows if row is not None and row.entity_id == entity.id]


def groups_of(get: RowLookup, entity: UserRow) -> list[GroupRow]:
    """The groups of an entity, its own first and then those that these are in, by key.

    Membership of an external group counts for the alias by which the source gave it: it ends when
    the group has another alias, or none. How many there are is bounded (`vault.authn.groups`).
    """
    found: dict[str, GroupRow] = {}
    for group_id, alias_key in (entity.member_of or {}).items():
        group = get(GROUPS, group_id)
        if group is not None and group.alias_key == alias_key:
            found[group_id] = group
    above = dict.fromkeys(one for group in found.values() for one in group.ancestors)
    for group_id in above:
        group = None if group_id in found else get(GROUPS, group_id)
        if group is not None:
            found[group_id] = group
    return list(found.values())


def entity_values(get: RowLookup, entity: UserRow) -> tuple[tuple[str, str], ...]:
    """What identity templates stand for, of all but id and name of the entity."""
    values = {f"{_ENTITY}metadata.{key}": text for key, text in (entity.metadata or {}).items()}
    for alias in aliases_of(get, entity):
        at = f"{_ENTITY}aliases.{alias.mount_accessor}."
        values |= {f"{at}id": alias.id, f"{at}name": alias.name}
        values |= {f"{at}metadata.{key}": text for key, text in alias.metadata.items()}
        values |= {
            f"{at}custom_metadata.{key}": text for key, text in alias.custom_metadata.items()
        }
    for group in groups_of(get, entity):
        values[f"identity.groups.ids.{group.id}.name"] = group.name
        values[f"identity.groups.names.{group.name}.id"] = group.id
    return tuple(values.items())


def api_key_identity(
    get: RowLookup, row: ApiKeyRow, now: int, real: int | None = None
) -> Identity | None:
    """Return whom an API key stands for; None when it does not stand (any more).

    `real`: the time it is where `now` is another one, which somebody wants to know about.
    """
    if row.status != RecordStatus.ACTIVE or _is_outside_validity(row, now, real):
        return None
    user = get(USERS, row.user_id)
    if user is None or user.status != RecordStatus.ACTIVE:
        return None
    return Identity(
        id=user.id,
        name=user.username,
        method=Method.API_KEY,
        policies=tuple(sorted(user_policies(get, user) | {DEFAULT_POLICY})),
        permissions=key_permissions(row),
        credential=row.id,
        entity=entity_values(get, user),
    )


def token_identity(
    get: RowLookup, row: TokenRow, now: int, real: int | None = None
) -> Identity | None:
    """Return whom a token stands for; None when it does not stand. `real`: see `api_key_identity`.

    A user's token is allowed no more than its user is now. A login's token is allowed what the
    method gave it, and what its user is allowed now; what it makes in turn, no more than that. The
    denials of its own policies bind it, whether or not the user has them, and so do those of
    everything that it came from.
    """
    if row.num_uses and row.uses_left <= 0:
        return None
    line = _lineage(get, row, now, real)
    if line is None:
        return None
    if row.path == WRAPPING_PATH:  # a policy of that name gives it nothing
        return Identity(
            id=row.accessor, name=row.display_name, method=Method.TOKEN, credential=row.accessor
        )
    user = get(USERS, row.user_id) if row.user_id else None
    if line.login is row:
        policies = _login_policies(get, user, row)
    else:
        policies = tuple(row.policies)
        if user is not None:
            policies = _remaining_policies(get, user, row, line.login)
    return Identity(
        id=row.user_id or row.accessor,
        name=row.display_name if user is None else user.username,
        method=line.method if line.login is row else Method.TOKEN,
        mount="" if line.login is None else str(line.login.mount_id),
        policies=policies,
        permissions=line.permissions,
        denied_by=tuple(sorted(line.policies.difference(policies))),
        credential=row.accessor,
        line=line.first,
        session="" if line.login is None or not line.login.session else line.login.id,
        entity=() if user is None else entity_values(get, user),
        mfa_at=row.mfa_at or 0,
    )


def key_permissions(row: ApiKeyRow) -> tuple[Permission, ...]:
    """Return what an API key is cut down to; empty: not cut down."""
    return tuple(
        Permission(capabilities=tuple(p["capabilities"]), paths=tuple(p["paths"]))
        for p in row.permissions
    )


class _Lineage(Struct, frozen=True):
    """What a token came from: the permissions it is cut down to, the policies that bind it.

    `first`: the user, or the accessor of the token, that all of it began with. What root makes
    begins anew. `login`: the token of a login that it began with, by `method`.
    """

    permissions: tuple[Permission, ...]
    policies: frozenset[str]
    first: str
    login: TokenRow | None = None
    method: Method = Method.TOKEN


def _lineage(get: RowLookup, row: TokenRow, now: int, real: int | None) -> _Lineage | None:
    """Walk up to the beginning; None when a token or user on the way is not valid.

    Each token counts with its own policies and each user with all current ones. A token that
    itself holds root counts with none: no denial binds it. A user's root does not reach tokens.
    """
    policies: set[str] = set()
    users: set[str] = set()
    first = row.user_id or row.accessor
    for _ in range(MAX_DEPTH):
        if _is_outside_validity(row, now, real) or _is_over(get, row, now):
            return None
        if ROOT_POLICY not in row.policies:
            first = row.user_id or row.accessor
        policies.update(_binding_policies(row.policies))
        if row.denied_by:
            policies.update(row.denied_by)
        if row.user_id and row.user_id not in users:
            users.add(row.user_id)
            user = get(USERS, row.user_id)
            if user is None or user.status != RecordStatus.ACTIVE:
                return None
            policies.update(_binding_policies(user_policies(get, user) | {DEFAULT_POLICY}))
        if not row.parent:
            return _orphan_lineage(get, row, frozenset(policies), first)
        if row.parent.startswith(KEY_PARENT):
            key = get(API_KEYS, row.parent.removeprefix(KEY_PARENT))
            identity = None if key is None else api_key_identity(get, key, now, real)
            if identity is None:
                return None
            if ROOT_POLICY not in identity.policies:
                first = identity.id
            return _Lineage(identity.permissions, identity.binding_policies.union(policies), first)
        parent = get(TOKENS, row.parent)
        if parent is None:
            return None
        row = parent
    return None


def _orphan_lineage(
    get: RowLookup, row: TokenRow, policies: frozenset[str], first: str
) -> _Lineage | None:
    """The beginning of a line that no API key made; None for a login at a mount that is gone."""
    if not row.mount_id:
        return _Lineage((), policies, first)
    mount: AuthMountRow | None = get(AUTH_MOUNTS, row.mount_id)
    method = None if mount is None else LOGIN_METHODS.get(mount.type)
    user = get(USERS, row.user_id) if row.user_id else None
    if user is not None:  # whose root lifts nothing here, since it does not reach the token
        policies |= user_policies(get, user) - {ROOT_POLICY}
    return None if method is None else _Lineage((), policies, first, row, method)


def _is_outside_validity(row: ApiKeyRow | TokenRow, now: int, real: int | None) -> bool:
    return is_expired(row.expires_at, now) or (now if real is None else real) < not_before(row)


def _is_over(get: RowLookup, row: TokenRow, now: int) -> bool:
    """Whether a token is a session that was unused for too long, or has no row any more."""
    if not row.session:
        return False
    session = get(SESSIONS, row.id)
    return session is None or is_expired(session.idle_until, now)


def _binding_policies(policies: Collection[str]) -> Collection[str]:
    return () if ROOT_POLICY in policies else policies


def _login_policies(get: RowLookup, user: UserRow | None, row: TokenRow) -> tuple[str, ...]:
    """Return the policies of a login's token. A user's root does not reach it."""
    held = set() if user is None else user_policies(get, user) - {ROOT_POLICY}
    return tuple(sorted(held.union(row.policies)))


def _remaining_policies(
    get: RowLookup, user: UserRow, row: TokenRow, login: TokenRow | None
) -> tuple[str, ...]:
    """Return the policies whose allowances a user's token keeps."""
    held = user_policies(get, user)
    if ROOT_POLICY in held and login is None:
        return tuple(row.policies)
    if login is not None:
        held.update(login.policies)
    return tuple(name for name in row.policies if name in held or name == DEFAULT_POLICY)


class _NotCached(Exception):  # noqa: N818  # a signal, not an error: look it up and ask again
    def __init__(self, table: Table[Any], key: Key) -> None:
        super().__init__(table.name)
        self.table = table
        self.key = key


async def resolve_identity(
    store: Store, rule: IdentityRule, row: Struct, now: int, seen: list[SeenRow] | None = None
) -> Identity | None:
    """Apply a rule on the store: without a wait when all it asks for is in the cache.

    `seen` is given the rows that the judgement was made from, beside `row` itself.
    """
    seen = [] if seen is None else seen
    loaded: dict[tuple[str, Key], Any] = {}

    def get(table: Table[Any], *key: str | int) -> Any:
        found = store.get_cached(table, *key)
        if found is MISSING:
            if (table.name, key) not in loaded:
                raise _NotCached(table, key)
            found = loaded[table.name, key]
        seen.append((table, key, found))
        return found

    while True:  # each turn loads one more row, and a rule asks for a bounded number
        seen.clear()
        try:
            return rule(get, row, now)
        except _NotCached as absent:
            row_key = (absent.table.name, absent.key)
            loaded[row_key] = await store.get(absent.table, *absent.key)
