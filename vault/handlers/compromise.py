"""The blast radius of an identity: all that it has fetched, and the end of its credentials.

The plan is the order in which to rotate:

1. secrets that rotations or leases connect with: whoever has one of them can undo the others;
2. secrets with a rotator, those fetched last first;
3. what has to be changed by hand, those fetched last first.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from actors.pacer import Pacer
from actors.world import World
from vault import operations
from vault.authn.api_keys import ApiKeys
from vault.authn.tokens import Tokens
from vault.authn.users import Users
from vault.authz.authorizer import Authorizer
from vault.errors import ConflictError, NotFoundError
from vault.handlers.consumers import Dependents
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.rotation_schedule import load_effective_policy
from vault.handlers.stores import ConsumerStore, RotationStore, SecretStore, merge_fetches
from vault.handlers.visibility import Visibility
from vault.model.operation import Capability
from vault.model.payloads import Nothing
from vault.model.records import ConsumerRow, RecordStatus, RotationRow, SecretRow, UserRow
from vault.model.results import ExposedSecret, Exposure, RevokedIdentity
from vault.model.rotation import RotationState
from vault.rotation import machine

MAX_PLANNED: Final = 5_000  # fetches that a plan is made of
_PAGE: Final = 500


class _Who(NamedTuple):
    kind: str  # `user` or `token`
    id: str  # of the user, or the accessor of the first token of its line
    name: str
    is_active: bool


class Credentials(NamedTuple):
    """Where the credentials of an identity are found and ended."""

    users: Users
    tokens: Tokens
    keys: ApiKeys


@dataclass(frozen=True)
class CompromiseHandlers:
    """The handlers of `identity.*`.

    The end of the path is a user's name, an API key's id or a token's accessor. An API key, and a
    token of a user, stand for the user.
    """

    store: ConsumerStore
    secrets: SecretStore
    rotations: RotationStore
    dependents: Dependents
    credentials: Credentials
    authorizer: Authorizer
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.READ_EXPOSURE,
                run=self.read,
                capability=Capability.READ,
                audit_response=lambda found: {
                    "id": found.id,
                    "count": len(found.secrets),
                    "hidden": found.hidden,
                },
            ),
            Handler(
                operations.REVOKE_IDENTITY,
                run=self.revoke,
                capability=Capability.SUDO,
                mutates=True,
                audit_response=lambda found: {"id": found.id, "keys": found.keys},
            ),
        )

    async def _find(self, name: str) -> _Who:
        """Raises `NotFoundError` (`identity_not_found`)."""
        users, tokens, keys = self.credentials
        with suppress(NotFoundError):
            return _of_user(await users.find_by_name(name))
        with suppress(NotFoundError):
            return _of_user(await users.get((await keys.get(name)).user_id))
        identity = await tokens.identity_of(name)
        if identity is not None:
            with suppress(NotFoundError):
                return _of_user(await users.get(identity.first))
            return _Who("token", identity.first, identity.name, is_active=True)
        fetched = await self.store.list_of_identity(name, None, 1)
        if not fetched:
            raise NotFoundError(
                "identity_not_found",
                "there is no user of this name, no API key of this id and no token with this "
                "accessor that is valid or has fetched a secret: `freehold user list`",
            )
        return _Who("token", name, fetched[0].name, is_active=False)

    async def _fetches(self, identity: str) -> tuple[list[ConsumerRow], bool]:
        """What an identity has fetched, and whether there is more."""
        found, after = list[ConsumerRow](), None
        while len(found) < MAX_PLANNED:
            page = await self.store.list_of_identity(identity, after, _PAGE)
            found += page
            if len(page) < _PAGE:
                return found, False
            after = page[-1].secret_id, page[-1].consumer
        return found, True

    async def read(self, call: Call[Nothing]) -> Exposure:
        """What the identity has fetched, of what the caller may see. Raises `NotFoundError`."""
        who = await self._find(call.name)
        fetches, is_partial = await self._fetches(who.id)
        visibility = Visibility(self.authorizer, call, self.world.now())
        connections, pacer = await self.dependents.by_connection(), Pacer(self.world.monotonic)
        shown, hidden = list[ExposedSecret](), 0
        for row in _by_secret(fetches):
            await pacer.pace()
            secret = await self.secrets.get(row.path)
            if secret is None or secret.id != row.secret_id:
                continue  # it was removed
            if not visibility.can_read_metadata(secret):
                hidden += 1
                continue
            shown.append(await self._exposed(secret, row, is_connection=secret.name in connections))
        return Exposure(
            kind=who.kind,
            id=who.id,
            name=who.name,
            is_active=who.is_active,
            secrets=sorted(shown, key=_order),
            hidden=hidden,
            is_partial=is_partial,
        )

    async def _exposed(
        self, secret: SecretRow, row: ConsumerRow, *, is_connection: bool
    ) -> ExposedSecret:
        policy = (await load_effective_policy(self.rotations, secret)).policy
        latest = await self.rotations.get_latest(secret.id)
        return ExposedSecret(
            path=secret.name,
            version=row.version,
            current_version=secret.current_version,
            fetched_at=row.fetched_at,
            is_connection=is_connection,
            rotator="" if policy is None else policy.rotator,
            state=_state(secret, row, latest),
        )

    async def revoke(self, call: Call[Nothing]) -> RevokedIdentity:
        """End all credentials of an identity; a user is disabled, too. May be repeated.

        From then on no rotation waits for it. Raises `NotFoundError`, `AuthorizationError`, and
        `ConflictError` (`identity_is_caller`).
        """
        who = await self._find(call.name)
        if who.id in {call.identity.id, call.identity.first}:
            raise ConflictError(
                "identity_is_caller",
                "this would end your own access before the rotations begin: have somebody else do "
                "it, with a credential of their own",
            )
        keys = 0
        if who.kind == "user":
            keys = await self._revoke_user(call, who.id)
        else:
            row = await self.credentials.tokens.find_by_accessor(who.id)
            if row is not None:
                await self.credentials.tokens.revoke(row)
        await self._mark(who.id)
        return RevokedIdentity(kind=who.kind, id=who.id, name=who.name, keys=keys)

    async def _revoke_user(self, call: Call[Nothing], user_id: str) -> int:
        users, _, keys = self.credentials
        await users.update(call.identity, user_id, status=RecordStatus.DISABLED)
        active = [
            key for key in await keys.list_for_user(user_id) if key.status == RecordStatus.ACTIVE
        ]
        for key in active:
            await keys.revoke(call.identity, key.id)
        return len(active)

    async def _mark(self, identity: str) -> None:
        after, now = None, self.world.now()
        while page := await self.store.list_of_identity(identity, after, _PAGE):
            after = page[-1].secret_id, page[-1].consumer
            await self.store.mark_compromised([(row.secret_id, row.consumer) for row in page], now)


def _of_user(user: UserRow) -> _Who:
    return _Who("user", user.id, user.username, user.status == RecordStatus.ACTIVE)


def _by_secret(rows: Iterable[ConsumerRow]) -> list[ConsumerRow]:
    """The fetches of several credentials of one identity as one."""
    found: dict[str, ConsumerRow] = {}
    for row in rows:
        before = found.get(row.secret_id)
        found[row.secret_id] = row if before is None else merge_fetches(before, row)
    return list(found.values())


def _state(secret: SecretRow, row: ConsumerRow, latest: RotationRow | None) -> str:
    if latest is not None and not machine.is_over(latest):
        return "stuck" if latest.state == RotationState.STUCK else "running"
    return "done" if secret.current_version > row.version else "pending"


def _order(secret: ExposedSecret) -> tuple[int, int, str]:
    rank = 0 if secret.is_connection else 1 if secret.rotator else 2
    return rank, -secret.fetched_at, secret.path
