"""Authentication by a login that goes with the request itself: no token is made, none is left.

The login is as any other: lockout, the source's breaker, one-time secrets that are used up. What it
would have given a token counts for the one operation.
"""

from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from actors.world import World
from vault.authn.aliases import alias_key, alias_mount
from vault.authn.bound_origin import is_within
from vault.authn.credential_validity import (
    RowLookup,
    entity_values,
    resolve_identity,
    role_policies,
    user_policies,
)
from vault.authn.groups import MAX_GROUPS, without_mount
from vault.authn.logins import Logins, VerifiedLogin, login_policies
from vault.authn.methods.method import LoginRefusedError, LoginResult
from vault.authn.mfa.enforcement import NO_ENFORCEMENTS, EnforcementRules, login_subject
from vault.errors import NotFoundError, ValidationError
from vault.model.identity import ROOT_POLICY, Identity
from vault.model.operation import InlineLogin, Origin
from vault.model.records import AuthMountRow, RecordStatus, UserRow
from vault.store.store import Store
from vault.store.tables import ENTITY_ALIASES, GROUP_ALIASES, USERS


def _refusal() -> LoginRefusedError:
    return LoginRefusedError("login_refused", "permission denied", vault_status=403)


class LoginHolder(Struct, frozen=True):
    """Who logged in, before the entity is looked at.

    `groups`: the keys of what their source calls their groups now; None: it does not say. `roles`:
    those it maps to.
    """

    identity: Identity
    alias_key: str
    accessor: str
    groups: tuple[str, ...] | None
    roles: tuple[str, ...]
    mount_type: str


class InlineLogins:
    """Of one process."""

    def __init__(
        self,
        logins: Logins,
        store: Store,
        world: World,
        enforcements: EnforcementRules = NO_ENFORCEMENTS,
    ) -> None:
        self._rule = partial(holder_identity, enforcements)
        self._logins = logins
        self._store = store
        self._world = world

    async def authenticate(self, shown: InlineLogin, origin: Origin) -> Identity:
        """Who asks. Raises what `Logins.verify` raises; a path without a mount is refused."""
        try:
            return await self._authenticate(shown, origin)
        except NotFoundError:
            refused = _refusal()
        except LoginRefusedError as error:
            refused = error
        refused.is_inline = True
        raise refused

    async def _authenticate(self, shown: InlineLogin, origin: Origin) -> Identity:
        login = await self._logins.verify(shown.path, shown.fields, origin)
        _check_parameters(login)
        holder = holder_of(login.mount, login.result, login.identity)
        found = await resolve_identity(
            self._store, self._rule, holder, self._world.now(), seen=None
        )
        if found is None:
            raise _refusal()
        await self._logins.spend(login)
        return found


def _check_parameters(login: VerifiedLogin) -> None:
    """What would have bound the token binds the request."""
    asked, ip = login.result.token, login.origin.ip
    if asked.bound_cidrs and not is_within(ip, asked.bound_cidrs):
        raise _refusal()


def holder_of(mount: AuthMountRow, result: LoginResult, identity: Identity) -> LoginHolder:
    """Who logged in at a mount. Raises `LoginRefusedError`, and as `login_policies`.

    `identity`: id, name, method and credential; nothing is stored of it, so it has no mount.
    """

    def key(name: str) -> str:
        try:
            return alias_key(alias_mount(mount), name)
        except ValidationError:
            raise _refusal() from None

    policies = tuple(sorted({*login_policies(result.token)} - {ROOT_POLICY}))
    return LoginHolder(
        replace(identity, policies=policies, mount=""),
        key(result.alias) if result.alias else "",
        mount.accessor,
        None if result.groups is None else tuple(map(key, dict.fromkeys(result.groups))),
        result.roles,
        mount.type,
    )


def holder_identity(
    enforcements: EnforcementRules,
    get: RowLookup,
    row: LoginHolder,
    now: int,
    real: int | None = None,  # noqa: ARG001  # the same
) -> Identity | None:
    """With what the entity of its alias has, where there is one; None: it is disabled or gone.

    Groups and roles are those that a login would take over now: they may be what denies.
    """
    alias = get(ENTITY_ALIASES, row.alias_key) if row.alias_key else None
    stored = None if alias is None else get(USERS, alias.entity_id)
    if alias is not None and (stored is None or stored.status != RecordStatus.ACTIVE):
        return None
    entity = stored or UserRow(
        id=row.identity.id, username="", name_key="", created_at=now, updated_at=now
    )
    member_of = _memberships(get, row, entity)
    if len(member_of) > MAX_GROUPS:  # as a login is refused: one left out may be what denies
        return None
    entity = replace(entity, member_of=member_of)
    subject = login_subject(get, accessor=row.accessor, mount_type=row.mount_type, entity=entity)
    if enforcements.required(get, subject):
        raise LoginRefusedError(
            "second_factor_needed",
            "this login needs a second factor, which cannot come with a request: log in first",
            vault_status=403,
            vault_message="permission denied",
        )
    others = [key for key in entity.aliases or () if key != row.alias_key]
    held = user_policies(get, replace(entity, aliases=others))
    given = set(row.identity.policies) | role_policies(get, row.roles)
    policies = tuple(sorted((given | held) - {ROOT_POLICY}))
    if stored is None:
        return replace(row.identity, policies=policies)
    return Identity(
        id=entity.id,
        name=entity.username,
        method=row.identity.method,
        policies=policies,
        credential=row.identity.credential,
        entity=entity_values(get, entity),
    )


def _memberships(get: RowLookup, row: LoginHolder, entity: UserRow) -> dict[str, str]:
    """As `vault.authn.groups.follow_source` would store them."""
    if row.groups is None:
        return entity.member_of or {}
    found = without_mount(entity.member_of or {}, row.accessor)
    for key in row.groups:
        group = get(GROUP_ALIASES, key)
        if group is not None:
            found[group.group_id] = key
    return found
