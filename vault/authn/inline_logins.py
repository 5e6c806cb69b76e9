"""Authentication by a login that goes with the request itself: no token is made, none is left.

The login is as any other: lockout, the source's breaker, one-time secrets that are used up. What it
would have given a token counts for the one operation.
"""

from msgspec import Struct

from actors.world import World
from vault.authn.aliases import AliasMount, alias_key
from vault.authn.bound_origin import is_within
from vault.authn.credential_validity import (
    RowLookup,
    entity_values,
    resolve_identity,
    user_policies,
)
from vault.authn.logins import Logins, VerifiedLogin, login_policies
from vault.authn.methods.method import LoginRefusedError
from vault.errors import NotFoundError, ValidationError
from vault.model.auth_mounts import AUTH
from vault.model.identity import ROOT_POLICY, Identity
from vault.model.operation import InlineLogin, Origin
from vault.model.records import RecordStatus
from vault.store.store import Store
from vault.store.tables import ENTITY_ALIASES, USERS


def _refusal() -> LoginRefusedError:
    return LoginRefusedError("login_refused", "permission denied", vault_status=403)


class _Holder(Struct, frozen=True):
    """Who logged in, before the entity is looked at."""

    identity: Identity
    alias_key: str


class InlineLogins:
    """Of one process."""

    def __init__(self, logins: Logins, store: Store, world: World) -> None:
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
        await self._logins.spend(login)
        holder = _Holder(
            Identity(
                id=login.identity.id,
                name=login.identity.name,
                method=login.identity.method,
                policies=tuple(sorted({*login_policies(login.result.token)} - {ROOT_POLICY})),
            ),
            _alias_key(login),
        )
        found = await resolve_identity(
            self._store, _with_entity, holder, self._world.now(), seen=None
        )
        if found is None:
            raise _refusal()
        return found


def _check_parameters(login: VerifiedLogin) -> None:
    """What would have bound the token binds the request."""
    asked, ip = login.result.token, login.origin.ip
    if asked.bound_cidrs and not is_within(ip, asked.bound_cidrs):
        raise _refusal()


def _alias_key(login: VerifiedLogin) -> str:
    mount, alias = login.mount, login.result.alias
    if not alias:
        return ""
    try:
        return alias_key(AliasMount(mount.accessor, f"{AUTH}{mount.path}", mount.type), alias)
    except ValidationError:
        raise _refusal() from None


def _with_entity(
    get: RowLookup,
    row: _Holder,
    now: int,  # noqa: ARG001  # the signature of an `IdentityRule`
    real: int | None = None,  # noqa: ARG001  # the same
) -> Identity | None:
    """With what the entity of its alias has, where there is one; None: it is disabled or gone."""
    alias = get(ENTITY_ALIASES, row.alias_key) if row.alias_key else None
    if alias is None:
        return row.identity
    entity = get(USERS, alias.entity_id)
    if entity is None or entity.status != RecordStatus.ACTIVE:
        return None
    policies = {*row.identity.policies, *user_policies(get, entity)} - {ROOT_POLICY}
    return Identity(
        id=entity.id,
        name=entity.username,
        method=row.identity.method,
        policies=tuple(sorted(policies)),
        entity=entity_values(get, entity),
    )
