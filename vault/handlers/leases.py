"""Leased users: created on request, renewed by their owner, dropped when their lease ends.

The row comes first: `creating` before the target hears of a user, `revoking` before it is told to
drop one. So after a crash every user has a row that says what to do, and each transition happens in
one transaction, which whoever comes second finds made.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import msgspec
import trio
from msgspec.structs import replace

from actors.world import World
from protocols.instant import DAY, SECOND
from vault import operations
from vault.authn.lease_owners import LeaseOwner, can_own_leases
from vault.authz.access import AccessRequest
from vault.authz.authorizer import Authorizer
from vault.errors import (
    AuthorizationError,
    ConflictError,
    NotFoundError,
    RateLimitError,
    UnavailableError,
    ValidationError,
    VaultError,
)
from vault.handlers.database_roles import (
    connection_of,
    database_mount,
    require_allowed,
    role_of,
    target_failed,
)
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.lease_targets import LeaseTargets
from vault.handlers.stores import LeaseStore, LeaseTx
from vault.model import lease_transitions as transitions
from vault.model.dynamic import (
    CONNECTIONS,
    CREDENTIALS,
    LEASES_PATH,
    ROLES,
    STANDING,
    UNRENEWED_ALERT,
    LeaseState,
)
from vault.model.identity import Identity
from vault.model.mounts import MountTable
from vault.model.operation import Capability
from vault.model.path import ResourcePath
from vault.model.payloads import (
    MAX_PAGE_SIZE,
    CreateCredentials,
    LeaseSelector,
    ListLeases,
    Nothing,
    RenewLease,
    RevokeLease,
    RevokeLeases,
    StepLease,
)
from vault.model.records import ConnectionRow, DatabaseRoleRow, DynamicLeaseRow
from vault.model.results import (
    IssuedCredentials,
    KeyList,
    LeasePage,
    OrphanedUsers,
    RenewedLease,
    RevokedLeases,
)
from vault.rotation.leased_user import LeasedUser, LeasedUsers, user_name
from vault.rotation.rotator import RotationError, TargetAccess, Value
from vault.rotation.targets.password import PasswordRules

KEPT: Final = DAY
"""How long a lease that is over stays on record: a user that comes to be later is known by it."""
PAGE: Final = 200  # rows that are looked at in one query
MAX_PAGES: Final = 20  # of one answer; the next one goes on behind them
BATCH: Final = 100  # leases that one transaction ends
MAX_BATCHES: Final = 50  # of one request
MAX_RENEWALS: Final = 5  # that one renewal follows at the target, each of which came later
MAX_ORPHANS: Final = 1_000  # users that one sweep looks at
SYNC_SECONDS: Final = 10.0  # for the server to drop a user while somebody waits for that
_LONGEST_ID: Final = 460  # bytes; paths of operations on a lease are longer


class LeaseLimits(Protocol):
    """The settings of dynamic credentials."""

    @property
    def max_leases(self) -> int:
        """Of all clients."""
        ...

    @property
    def max_leases_per_client(self) -> int:
        """Of one."""
        ...

    @property
    def revoke_attempts(self) -> int:
        """Until a lease counts as irrevocable."""
        ...


@dataclass(frozen=True)
class LeaseHandlers:
    """The handlers of `credentials.*`, `lease.*` and `database.orphans.*`."""

    store: LeaseStore
    mounts: MountTable
    targets: LeaseTargets
    authorizer: Authorizer
    world: World
    limits: LeaseLimits
    random: Callable[[int], bytes]
    on_unrenewed: Callable[[], object] = object

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.CREATE_CREDENTIALS,
                run=self.create,
                capability=Capability.READ,
                mutates=True,
                audit_response=lambda issued: lease_reference(issued.lease),
            ),
            Handler(
                operations.READ_LEASE,
                run=self.read,
                capability=None,
                is_self_service=True,
                audit_response=lease_reference,
            ),
            Handler(
                operations.LIST_LEASES,
                run=self.list,
                capability=None,
                discloses=lambda page: bool(page.leases),
                audit_response=lambda page: {"count": len(page.leases)},
            ),
            Handler(operations.LIST_LEASE_KEYS, run=self.keys, capability=Capability.LIST),
            Handler(
                operations.RENEW_LEASE,
                run=self.renew,
                capability=None,
                is_self_service=True,
                mutates=True,
                audit_response=lambda renewed: lease_reference(renewed.lease),
            ),
            Handler(
                operations.REVOKE_LEASE,
                run=self.revoke,
                capability=None,
                is_self_service=True,
                mutates=True,
                audit_response=lease_reference,
            ),
            Handler(
                operations.REVOKE_LEASES,
                run=self.revoke_prefix,
                capability=Capability.SUDO,
                mutates=True,
                audit_response=lambda revoked: {"count": revoked.count},
            ),
            Handler(
                operations.TIDY_LEASES, run=self.tidy, capability=Capability.UPDATE, mutates=True
            ),
            Handler(
                operations.STEP_LEASE,
                run=self.step,
                capability=Capability.SUDO,
                mutates=True,
                audit_response=lease_reference,
            ),
            Handler(
                operations.LIST_ORPHANS,
                run=self.list_orphans,
                capability=Capability.READ,
                audit_response=_orphan_counts,
            ),
            Handler(
                operations.DROP_ORPHANS,
                run=partial(self._sweep_of, drop_unknown=True),
                capability=Capability.SUDO,
                mutates=True,
                audit_response=_orphan_counts,
            ),
            Handler(
                operations.SWEEP_USERS,
                run=partial(self._sweep_of, drop_unknown=False),
                capability=Capability.SUDO,
                mutates=True,
                audit_response=_orphan_counts,
            ),
        )

    async def create(self, call: Call[CreateCredentials]) -> IssuedCredentials:
        """A new user. Raises `RateLimitError` (`leases_full`, `client_leases_full`).

        `UnavailableError` (`target_failed`): the server has failed; if it has made the user, the
        user is dropped.
        """
        path, caller = call.op.path, call.identity
        mount = database_mount(self.mounts, path, CREDENTIALS)
        name = path.removeprefix(mount.path + CREDENTIALS)
        if not can_own_leases(caller):
            raise AuthorizationError(
                "credential_ended", "leases belong to tokens and API keys, and you have neither"
            )
        lease_id = f"{path}/{self.world.new_id()}"
        if len(lease_id.encode()) > _LONGEST_ID:
            raise ValidationError("path_invalid", "the path of the role is too long", field="path")
        row, secret, unrenewed = await self.store.transact(
            lambda tx: self._begin(tx, f"{mount.path}{ROLES}{name}", lease_id, call)
        )
        if unrenewed == UNRENEWED_ALERT:
            self.on_unrenewed()
        user = LeasedUser(
            lease_id,
            PasswordRules().generate(self.random),
            _seconds(row.expires_at),
            self.targets.prefix,
        )
        try:
            value = await self.targets.create(row, secret, partial(_create, user=user))
        except RotationError as error:
            await self._give_up(lease_id, "creation_failed")
            raise target_failed(error) from None
        active = await self.store.transact(lambda tx: self._activate(tx, lease_id, caller))
        if active is None:
            raise UnavailableError(
                "lease_ended",
                "the credential that asked, or the lease, has ended meanwhile: ask again",
                outcome="none",
            )
        return IssuedCredentials(lease=active, value=dict(value))

    def _begin(
        self, tx: LeaseTx, role_path: str, lease_id: str, call: Call[CreateCredentials]
    ) -> tuple[DynamicLeaseRow, str, int]:
        """The lease before its user, its connection's secret, and what `_count_one` says."""
        now, caller = self.world.now(), call.identity
        role = role_of(tx.get_role(role_path))
        connection = connection_of(tx.get_connection(role.connection))
        require_allowed(connection, role_path.rpartition("/")[2])
        owner = tx.find_owner(caller, now)
        unrenewed = self._count_one(tx, caller, now)
        row = _new_lease(
            role,
            connection,
            lease_id,
            user_name(self.targets.prefix, lease_id),
            owner=owner,
            caller=caller,
            ttl=call.payload.ttl,
            now=now,
        )
        tx.insert_lease(row)
        return row, connection.secret, unrenewed

    def _count_one(self, tx: LeaseTx, caller: Identity, now: int) -> int:
        """Count one more for the client; how many it has asked for since it renewed any."""
        everyone, client = tx.get_client(), tx.get_client(caller.first)
        if everyone.leases >= self.limits.max_leases:
            raise RateLimitError(
                "leases_full",
                "there are as many leases as dynamic.max_leases allows: revoke some, or raise it",
                retry_after=60,
            )
        if client.leases >= self.limits.max_leases_per_client:
            raise RateLimitError(
                "client_leases_full",
                "you have as many leases as dynamic.max_leases_per_client allows: renew those that "
                "you have, and revoke what you do not use",
                retry_after=60,
            )
        tx.put_client(replace(everyone, leases=everyone.leases + 1, issued=everyone.issued + 1))
        unrenewed = client.unrenewed + 1 if client.leases else 0
        tx.put_client(
            replace(
                client,
                leases=client.leases + 1,
                issued=client.issued + 1,
                issued_at=now,
                unrenewed=unrenewed,
            )
        )
        return unrenewed

    def _activate(self, tx: LeaseTx, lease_id: str, caller: Identity) -> DynamicLeaseRow | None:
        """None: nobody may have it any more, and its user is dropped."""
        now = self.world.now()
        row = tx.get_lease(lease_id)
        if row is None or row.state != LeaseState.CREATING:
            return None
        try:
            tx.find_owner(caller, now)
        except AuthorizationError:
            tx.put_lease(transitions.end(row, "token_ended", now))
            return None
        active = transitions.activate(row)
        tx.put_lease(active)
        return active

    async def _give_up(self, lease_id: str, reason: str) -> None:
        """Whatever comes of it: a lease that stays `creating` is ended a minute later."""

        def change(tx: LeaseTx) -> None:
            row = tx.get_lease(lease_id)
            if row is not None:
                tx.put_lease(transitions.end(row, reason, self.world.now()))

        await self.store.transact(change)

    async def read(self, call: Call[LeaseSelector]) -> DynamicLeaseRow:
        """A lease, for its owner and for whoever may `update` its path below `sys/leases/lookup`.

        Raises `AuthorizationError`, `NotFoundError` (`lease_not_found`).
        """
        row = await self._find(call, call.payload.lease)
        if row is None:
            raise _not_found()
        return row

    async def _find(self, call: Call[object], lease_id: str) -> DynamicLeaseRow | None:
        """The lease. Whoever may not know of it is not told that it is not there."""
        row = await self.store.get_lease(lease_id)
        is_own = row is not None and row.owner == call.identity.credential  # not secret: an id
        if not is_own and not self._may(call, call.op.path):
            raise AuthorizationError(
                "permission_denied",
                f"permission denied: the lease is not yours, and update on {call.op.path} is not "
                "allowed; ask for a policy that allows it",
            )
        return row

    def _may(
        self, call: Call[object], path: ResourcePath, capability: Capability = Capability.UPDATE
    ) -> bool:
        access = AccessRequest(
            capability=capability,
            path=path,
            identity=call.identity,
            origin=call.op.origin,
            now=self.world.now(),
            api=call.op.api if (path, capability) == (call.op.path, Capability.UPDATE) else None,
        )
        return self.authorizer.decide(access).allowed

    async def list(self, call: Call[ListLeases]) -> LeasePage:
        """Leases that are the caller's own, or that the caller may look up."""
        payload = call.payload
        if not 1 <= payload.limit <= MAX_PAGE_SIZE:
            raise ValidationError(
                "limit_invalid", f"limit must be 1 to {MAX_PAGE_SIZE}", field="limit"
            )
        after = self.store.open_cursor(payload.cursor) if payload.cursor else ""
        shown = list[DynamicLeaseRow]()
        for _ in range(MAX_PAGES):
            page = await self.store.list_leases(payload.prefix, payload.state, after, PAGE)
            for row in page:
                after = row.id
                if self._is_visible(call, row):
                    shown.append(row)
                if len(shown) == payload.limit:
                    return LeasePage(leases=shown, cursor=self.store.seal_cursor(after))
            if len(page) < PAGE:
                return LeasePage(leases=shown, cursor="")
        return LeasePage(leases=shown, cursor=self.store.seal_cursor(after))

    def _is_visible(self, call: Call[object], row: DynamicLeaseRow) -> bool:
        is_own = row.owner == call.identity.credential  # not secret: an id
        return is_own or self._may(call, ResourcePath.parse(f"{LEASES_PATH}lookup/{row.id}"))

    async def keys(self, call: Call[Nothing]) -> KeyList:
        """The direct children of a folder of leases that are not over."""
        folder = call.op.path.removeprefix(f"{LEASES_PATH}lookup/")
        found, after = list[str](), ""
        for _ in range(MAX_PAGES):
            page = await self.store.list_leases(folder, "", after, PAGE)
            for row in page:
                after = row.id
                child, slash, _ = row.id[len(folder) :].partition("/")
                if row.state != LeaseState.REVOKED and child + slash not in found[-1:]:
                    found.append(child + slash)
            if len(page) < PAGE:
                break
            if found and found[-1].endswith("/") and after.startswith(folder + found[-1]):
                after = f"{folder}{found[-1]}\U0010ffff"  # no path has this character
        return KeyList(keys=found)

    async def renew(self, call: Call[RenewLease]) -> RenewedLease:
        """Have a lease last longer, here first and then at its server.

        Raises `ValidationError` (`lease_not_renewable`), `NotFoundError`, `AuthorizationError`,
        `UnavailableError` (`target_failed`): it is renewed here, and the server may not know.
        """
        payload = call.payload
        if await self._find(call, payload.lease) is None:
            raise _not_found()
        if payload.increment < 0:
            raise ValidationError("ttl_invalid", "increment is not negative", field="increment")
        row, secret, is_capped = await self.store.transact(
            lambda tx: self._renew(tx, payload.lease, payload.increment)
        )
        try:
            await self._renew_at_target(row, secret)
        except RotationError as error:
            raise target_failed(error) from None
        warnings = ("it ends earlier: its role allows no longer",) if is_capped else ()
        return RenewedLease(lease=row, warnings=warnings)

    def _renew(
        self, tx: LeaseTx, lease_id: str, increment: int
    ) -> tuple[DynamicLeaseRow, str, bool]:
        now = self.world.now()
        row = tx.get_lease(lease_id)
        if row is None:
            raise _not_found()
        renewed = transitions.renew(row, increment, now)
        tx.put_lease(renewed)
        client, everyone = tx.get_client(row.client), tx.get_client()
        tx.put_client(replace(client, renewed=client.renewed + 1, unrenewed=0))
        tx.put_client(replace(everyone, renewed=everyone.renewed + 1))
        connection = tx.get_connection(row.connection)
        secret = row.connection if connection is None else connection.secret
        return renewed, secret, renewed.expires_at < now + (increment or row.ttl)

    async def _renew_at_target(self, row: DynamicLeaseRow, secret: str) -> None:
        """The server ends with the latest expiry: of two at a time each looks behind its call."""
        for _ in range(MAX_RENEWALS):
            await self.targets.create(
                row, secret, partial(_renew, name=row.username, expires=_seconds(row.expires_at))
            )
            now = await self.store.get_lease(row.id)
            if now is None or now.expires_at == row.expires_at:
                return
            row = now

    async def revoke(self, call: Call[RevokeLease]) -> DynamicLeaseRow | None:
        """End a lease; None where there is none. Its user is dropped by the background work.

        With `sync` that is tried before the answer: `UnavailableError` (`target_failed`) says that
        it goes on being tried. `force` takes the capability `sudo`.
        """
        payload = call.payload
        if await self._find(call, payload.lease) is None:
            return None
        if payload.force and not self._may(call, call.op.path, Capability.SUDO):
            raise AuthorizationError(
                "permission_denied",
                f"permission denied: sudo on {call.op.path} is needed to leave a user behind",
            )
        now = self.world.now()

        def change(tx: LeaseTx) -> DynamicLeaseRow | None:
            row = tx.get_lease(payload.lease)
            return None if row is None else self._end(tx, row, now, force=payload.force)

        row = await self.store.transact(change)
        if row is None or not payload.sync or row.state == LeaseState.REVOKED:
            return row
        dropped = await self._drop(row, SYNC_SECONDS)
        if dropped.state != LeaseState.REVOKED:
            raise UnavailableError(
                "target_failed",
                f"{dropped.error_code}: {dropped.error}; the lease has ended, and dropping its "
                "user is tried again",
                cause=dropped.error_code,
                outcome="done",
            )
        return dropped

    def _end(self, tx: LeaseTx, row: DynamicLeaseRow, now: int, *, force: bool) -> DynamicLeaseRow:
        ended = transitions.retry(transitions.end(row, "revoked", now), now)
        if force and ended.state != LeaseState.REVOKED:
            return self._close(tx, replace(ended, reason="forced"), now)
        if ended is not row:
            tx.put_lease(ended)
        return ended

    def _close(self, tx: LeaseTx, row: DynamicLeaseRow, now: int) -> DynamicLeaseRow:
        """It is over. It counts no more."""
        closed = transitions.drop(row, now)
        tx.put_lease(closed)
        for client in (tx.get_client(), tx.get_client(row.client)):
            tx.put_client(replace(client, leases=max(client.leases - 1, 0)))
        tx.purge_leases(now - KEPT)
        return closed

    async def revoke_prefix(self, call: Call[RevokeLeases]) -> RevokedLeases:
        """End a lease, or all of a folder, some in each transaction; called again, it goes on.

        A prefix ends with a segment: `database/creds/a` is not about those of the role `ab`. With
        `force` their users are dropped before the answer, and none of it is tried again.
        """
        payload, now, prefix = call.payload, self.world.now(), call.payload.prefix
        if not prefix.endswith("/") and await self.store.get_lease(prefix) is None:
            prefix += "/"
        count, after, answers = 0, payload.after, True
        for _ in range(MAX_BATCHES):

            def change(tx: LeaseTx, after: str = after) -> tuple[list[DynamicLeaseRow], str]:
                page = tx.list_leases(prefix, after, BATCH)
                live = [row for row in page if row.state != LeaseState.REVOKED]
                ended = [self._end(tx, row, now, force=False) for row in live]
                return ended, page[-1].id if len(page) == BATCH else ""

            ended, after = await self.store.transact(change)
            if payload.force and ended:
                answers = answers and await self._drop_all(ended)
                await self.store.transact(partial(self._give_up_on, rows=ended, now=now))
            count += len(ended)
            if not after:
                break
        return RevokedLeases(count=count, after=after)

    def _give_up_on(self, tx: LeaseTx, *, rows: Sequence[DynamicLeaseRow], now: int) -> None:
        """Those of these leases that are not over, are."""
        for row in rows:
            found = tx.get_lease(row.id)
            if found is not None and found.state != LeaseState.REVOKED:
                self._end(tx, found, now, force=True)

    async def _drop_all(self, rows: Sequence[DynamicLeaseRow]) -> bool:
        """Drop their users, as far as their servers answer in time; whether they do."""

        async def drop(row: DynamicLeaseRow) -> None:
            with suppress(ConflictError):  # somebody else has dropped it
                await self._drop(row, SYNC_SECONDS)

        with trio.move_on_after(SYNC_SECONDS) as waiting:
            async with trio.open_nursery() as nursery:
                for row in rows:
                    nursery.start_soon(drop, row)
        return not waiting.cancelled_caught

    async def tidy(self, _: Call[Nothing]) -> Nothing:
        """Forget leases that were over long ago, sooner than new ones would have them forgotten."""
        before = self.world.now() - KEPT
        for _turn in range(MAX_BATCHES):
            if await self.store.transact(lambda tx: tx.purge_leases(before, BATCH)) < BATCH:
                break
        return Nothing()

    async def step(self, call: Call[StepLease]) -> DynamicLeaseRow:
        """What is due of a lease: it ends, or its user is dropped.

        Raises `ConflictError` (`lease_moved`): somebody else was quicker, or it was renewed.
        """
        row = await self.store.get_lease(call.payload.lease)
        now = self.world.clock.now()  # a clock that jumps ahead ends nothing
        if row is None or not 0 < row.next_at <= now:
            raise _moved()
        if row.state in STANDING:
            return await self.store.transact(lambda tx: self._expire(tx, call.payload.lease))
        return await self._drop(row, call.payload.timeout)

    def _expire(self, tx: LeaseTx, lease_id: str) -> DynamicLeaseRow:
        row = tx.get_lease(lease_id)
        now = self.world.clock.now()
        if row is None or not transitions.is_overdue(row, now):
            raise _moved()
        reason = "expired" if row.state == LeaseState.ACTIVE else "abandoned"
        ended = transitions.end(row, reason, now)
        tx.put_lease(ended)
        return ended

    async def _drop(self, row: DynamicLeaseRow, seconds: float) -> DynamicLeaseRow:
        """Have its user dropped, and store what came of it."""
        failure: RotationError | None = None
        try:
            connection = await self.store.get_connection(row.connection)
            secret = row.connection if connection is None else connection.secret
            await self.targets.drop(row, secret, seconds)
        except RotationError as error:
            failure = error
        except VaultError as error:  # a kind or settings that this program does not know
            failure = RotationError(error.code, error.message)

        def change(tx: LeaseTx) -> DynamicLeaseRow:
            now = self.world.now()
            found = tx.get_lease(row.id)
            if found is None or found.state in STANDING or found.state == LeaseState.REVOKED:
                raise _moved()
            if failure is None:
                return self._close(tx, found, now)
            failed = transitions.fail(
                found,
                failure.code,
                failure.text,
                attempts=self.limits.revoke_attempts,
                now=now,
                jitter=self.world.jitter(),
            )
            tx.put_lease(failed)
            return failed

        return await self.store.transact(change)

    async def list_orphans(self, call: Call[Nothing]) -> OrphanedUsers:
        """Users of this vault at a server that belong to no lease. Nothing is dropped."""
        _, unknown, _ = await self._find_orphans(call.op.path)
        return OrphanedUsers(unknown=sorted(unknown), dropped=[])

    async def _sweep_of(self, call: Call[Nothing], *, drop_unknown: bool) -> OrphanedUsers:
        """Drop users of leases that are over; with `drop_unknown` also those that no lease knows.

        Only a person may say the latter: a copy of this vault, made from its backup, calls its
        users as this one does.
        """
        connection, unknown, ended = await self._find_orphans(call.op.path)
        dropped = list[str]()
        for name, row in ended.items():
            await self._drop_orphan(connection, name, row.config)
            dropped.append(name)
        if drop_unknown:
            for name, config in unknown.items():
                await self._drop_orphan(connection, name, config)
                dropped.append(name)
            unknown = {}
        return OrphanedUsers(unknown=sorted(unknown), dropped=sorted(dropped))

    async def _drop_orphan(
        self, connection: ConnectionRow, name: str, config: dict[str, object]
    ) -> None:
        kind = self.targets.kind(connection.kind)
        users = kind.make(kind.parse(config))
        try:
            await self.targets.run(
                connection.path,
                connection.secret,
                lambda access: users.drop_user(access, name),
                drops=True,
            )
        except RotationError as error:
            raise target_failed(error) from None

    async def _find_orphans(
        self, path: str
    ) -> tuple[ConnectionRow, dict[str, dict[str, object]], dict[str, DynamicLeaseRow]]:
        """The users without a lease, with settings of a role, and those of leases that are over.

        The server is asked before the database, so a user that is there has a row by then.
        """
        connection = connection_of(await self.store.get_connection(path))
        kind = self.targets.kind(connection.kind)
        mount = path.rpartition(CONNECTIONS)[0]
        roles = [
            role.config for role in await self.store.list_roles(mount) if role.connection == path
        ]
        configs: Sequence[dict[str, object] | None] = [None, *roles]
        found = dict[str, dict[str, object]]()
        seen = set[str]()
        for config in configs:
            settings = kind.any_role if config is None else kind.parse(config)
            where = str(getattr(settings, "host", ""))  # of MySQL: accounts are found by their host
            if where in seen:
                continue
            seen.add(where)
            users = kind.make(settings)
            try:
                names = await self.targets.run(
                    connection.path, connection.secret, partial(_list, users, self.targets.prefix),
                    drops=True,
                )  # fmt: skip
            except RotationError as error:
                raise target_failed(error) from None
            shown = msgspec.to_builtins(settings) if config is None else config
            found.update(dict.fromkeys(names, shown))
        return connection, *await self._without_lease(found)

    async def _without_lease(
        self, found: dict[str, dict[str, object]]
    ) -> tuple[dict[str, dict[str, object]], dict[str, DynamicLeaseRow]]:
        unknown, ended = dict[str, dict[str, object]](), dict[str, DynamicLeaseRow]()
        names = sorted(found)
        for begin in range(0, len(names), BATCH):
            part = names[begin : begin + BATCH]

            def look(tx: LeaseTx, part: list[str] = part) -> list[DynamicLeaseRow | None]:
                return [tx.find_by_username(name) for name in part]

            for name, row in zip(part, await self.store.transact(look), strict=True):
                if row is None:
                    unknown[name] = found[name]
                elif row.state == LeaseState.REVOKED:
                    ended[name] = row
            if len(unknown) + len(ended) >= MAX_ORPHANS:
                break
        return unknown, ended


def lease_reference(row: DynamicLeaseRow | None) -> object:
    """What the audit log tells of a lease."""
    if row is None:
        return None
    return {"lease": row.id, "username": row.username, "state": row.state, "reason": row.reason}


def _new_lease(
    role: DatabaseRoleRow,
    connection: ConnectionRow,
    lease_id: str,
    username: str,
    *,
    owner: LeaseOwner,
    caller: Identity,
    ttl: int,
    now: int,
) -> DynamicLeaseRow:
    if ttl < 0:
        raise ValidationError("ttl_invalid", "ttl is not negative", field="ttl")
    longest = now + role.max_ttl
    if owner.ends_at:
        longest = min(longest, owner.ends_at)
    lasts = min(ttl or role.default_ttl, role.max_ttl)
    return DynamicLeaseRow(
        id=lease_id,
        username=username,
        kind=connection.kind,
        connection=connection.path,
        config=role.config,
        parent=owner.parent,
        owner=caller.credential,
        owner_name=caller.name,
        client=caller.first,
        ttl=lasts,
        issued_at=now,
        expires_at=min(now + lasts, longest),
        max_expires_at=longest,
        next_at=now + transitions.CREATING_TIME,
    )


def _create(users: LeasedUsers, access: TargetAccess, *, user: LeasedUser) -> Value:
    return users.create_user(access, user)


def _renew(users: LeasedUsers, access: TargetAccess, *, name: str, expires: int) -> None:
    users.renew_user(access, name, expires)


def _list(users: LeasedUsers, prefix: str, access: TargetAccess) -> list[str]:
    return users.list_users(access, prefix)


def _seconds(instant: int) -> int:
    """The first whole second that is not before it."""
    return -(-instant // SECOND)


def _orphan_counts(found: OrphanedUsers) -> object:
    return {"unknown": len(found.unknown), "dropped": found.dropped}


def _not_found() -> NotFoundError:
    return NotFoundError("lease_not_found", "there is no such lease")


def _moved() -> ConflictError:
    return ConflictError("lease_moved", "the lease was renewed or has gone on meanwhile")
