"""Dynamic credentials at a server that is a fake: each user has a lease, and goes with it."""

import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import trio
import trio.testing
from msgspec import Struct
from msgspec.structs import replace

from protocols.instant import DAY, HOUR, MINUTE, SECOND
from tests.unit.vault.handlers.conftest import NOW, House
from vault.authn.tokens import NewToken
from vault.authz.authorizer import Authorizer
from vault.errors import (
    AuthorizationError,
    ConflictError,
    NotFoundError,
    RateLimitError,
    UnavailableError,
    ValidationError,
)
from vault.handlers import lease_targets
from vault.handlers.database_roles import DatabaseRoleHandlers
from vault.handlers.lease_targets import MAX_WAITING, PER_CONNECTION, LeaseTargets, vault_prefix
from vault.handlers.leases import KEPT, LeaseHandlers
from vault.handlers.mounts import MountHandlers
from vault.handlers.stores import LeaseStore, MountStore
from vault.model.dynamic import LEASES_PATH, UNRENEWED_ALERT, LeaseState
from vault.model.identity import Identity
from vault.model.lease_transitions import CREATING_TIME
from vault.model.payloads import (
    CreateApiKey,
    CreateCredentials,
    CreateUser,
    LeaseSelector,
    ListLeases,
    PatchSecret,
    RenewLease,
    RevokeLease,
    RevokeLeases,
    StepLease,
    WriteConnection,
    WriteDatabaseRole,
)
from vault.model.records import DynamicLeaseRow
from vault.model.results import IssuedCredentials
from vault.rotation.leased_user import LeasedUser, LeasedUserKind, user_name
from vault.rotation.rotator import RotationError, TargetAccess, Value
from vault.store.tables import DYNAMIC_LEASES, LEASE_CLIENTS

PREFIX: Final = vault_prefix(b"a digest of this vault's identity")
CONNECTION: Final = "database/config/main"
ROLE: Final = "database/roles/app"
CREDENTIALS: Final = "database/creds/app"
PASSWORD: Final = "canary-of-the-administrator"


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing that matters to the fake."""

    host: str = ""


class Lost(BaseException):
    """The agent's process ends here."""


@dataclass
class Server:
    """Its users with their passwords. What is planned next fails, or ends us, before or after."""

    users: dict[str, str] = field(default_factory=dict)
    expiries: dict[str, int] = field(default_factory=dict)
    drops: list[str] = field(default_factory=list)
    before: dict[str, BaseException] = field(default_factory=dict)
    after: dict[str, BaseException] = field(default_factory=dict)
    gate: threading.Event | None = None
    busy: int = 0
    counting: threading.Lock = field(default_factory=threading.Lock)
    on_check: Callable[[], object] = object

    def create_user(self, access: TargetAccess, user: LeasedUser) -> Value:
        """As documented."""
        self._meet(self.before, "create", access)
        self.users[user.name] = user.password
        self.expiries[user.name] = user.expires
        self._meet(self.after, "create", access)
        return {"username": user.name, "password": user.password}

    def renew_user(self, access: TargetAccess, name: str, expires: int) -> None:
        """As documented."""
        self._meet(self.before, "renew", access)
        if name not in self.users:
            raise RotationError("user_missing", "no such user")
        self.expiries[name] = expires

    def drop_user(self, access: TargetAccess, name: str) -> None:
        """As documented."""
        self._meet(self.before, "drop", access)
        self.drops.append(name)
        self.users.pop(name, None)
        self._meet(self.after, "drop", access)

    def list_users(self, _access: TargetAccess, prefix: str) -> list[str]:
        """As documented."""
        return sorted(name for name in self.users if name.startswith(prefix))

    def check(self, access: TargetAccess) -> None:
        """A login of the administrator's."""
        self.on_check()
        if access.connection.get("password") != PASSWORD:
            raise RotationError("administrator_refused", "wrong password", is_final=True)

    def _meet(self, planned: dict[str, BaseException], call: str, access: TargetAccess) -> None:
        self.check(access)
        with self.counting:
            self.busy += 1
        if self.gate is not None:
            assert self.gate.wait(60)
        if call in planned:
            raise planned[call]


class Limits(Struct):
    """As the settings."""

    max_leases: int = 100
    max_leases_per_client: int = 50
    revoke_attempts: int = 3


class StillClock:
    """The clock by which leases expire, with the test's time."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now


@dataclass
class Bench:
    """The vault, the server, and a client with a token."""

    house: House
    server: Server
    limits: Limits
    client: Identity
    handlers: LeaseHandlers
    unrenewed: list[str]

    async def do(self, name: str, path: str, payload: object = None, **more: Any) -> Any:
        """An operation."""
        return await self.house.do(name, path, payload, **more)

    async def create(self, by: Identity | None = None, ttl: int = 0) -> IssuedCredentials:
        """New credentials."""
        found: IssuedCredentials = await self.do(
            "credentials.create", CREDENTIALS, CreateCredentials(ttl=ttl), by=by or self.client
        )
        return found

    async def rows(self) -> list[DynamicLeaseRow]:
        """All leases."""
        return await self.house.barrier.select_all(DYNAMIC_LEASES)

    async def row(self, lease: str) -> DynamicLeaseRow:
        """A lease."""
        row = await self.house.barrier.get(DYNAMIC_LEASES, lease)
        assert row is not None
        return row

    async def step(self, lease: str) -> DynamicLeaseRow:
        """The next step of a lease, at its time or now if that was before."""
        row = await self.row(lease)
        self.house.world.time = max(self.house.world.time, row.next_at)
        found: DynamicLeaseRow = await self.do(
            "lease.step", lease, StepLease(lease=lease, timeout=5)
        )
        return found

    async def finish(self) -> None:
        """Take steps until there are none."""
        for row in await self.rows():
            while (await self.row(row.id)).next_at:
                await self.step(row.id)

    async def leases_held(self) -> int:
        """As it is counted."""
        return await self.handlers.store.count_leases()

    async def renew(self, lease: str, by: Identity | None = None, increment: int = 0) -> Any:
        """A renewal."""
        payload = RenewLease(lease=lease, increment=increment)
        path = f"{LEASES_PATH}renew/{lease}"
        return await self.do("lease.renew", path, payload, by=by or self.client)

    async def revoke(self, lease: str, by: Identity | None = None, **how: bool) -> Any:
        """A revocation."""
        payload = RevokeLease(lease=lease, **how)
        path = f"{LEASES_PATH}revoke/{lease}"
        return await self.do("lease.revoke", path, payload, by=by or self.client)


async def token(house: House, policies: tuple[str, ...] = ("root",), **more: Any) -> Identity:
    """A token of root's own, with its row."""
    root = await house.tokens.create_root()
    maker = await house.tokens.identity_of(root.row.accessor)
    assert maker is not None
    made = await house.tokens.create(maker, NewToken(policies=policies, **more))
    found = await house.tokens.identity_of(made.row.accessor)
    assert found is not None
    return found


@pytest.fixture
async def bench(house: House) -> AsyncIterator[Bench]:
    """A connection and a role."""
    await house.mount("database/", type="database")
    house.world.clock = StillClock(house.world.now)  # type: ignore[assignment]  # all of it here
    server, limits, store = Server(), Limits(), LeaseStore(house.barrier)
    kind = LeasedUserKind("fake", Config, lambda _: server, server.check, Config())
    targets = LeaseTargets(store, {"fake": kind}, PREFIX, house.world)
    authorizer, unrenewed = Authorizer(house.book), list[str]()
    handlers = LeaseHandlers(
        store, house.mounts, targets, authorizer, house.world, limits, os.urandom,
        on_unrenewed=lambda: unrenewed.append("one"),
    )  # fmt: skip
    roles = DatabaseRoleHandlers(store, house.mounts, targets, authorizer, house.world)
    mounts = MountHandlers(MountStore(house.barrier), house.mounts, authorizer, house.world)
    house.handlers |= {**handlers.handlers(), **roles.handlers(), **mounts.handlers()}
    made = Bench(house, server, limits, await token(house), handlers, unrenewed)
    await made.do(
        "database.connection.write",
        CONNECTION,
        WriteConnection(kind="fake", value={"url": "fake://", "password": PASSWORD}),
    )
    await made.do(
        "database.role.write",
        ROLE,
        WriteDatabaseRole(connection="main", config={}, default_ttl=HOUR, max_ttl=DAY),
    )
    yield made
    if server.gate is not None:
        server.gate.set()


async def test_a_user_lives_as_long_as_its_lease(bench: Bench) -> None:
    """It is there when the client hears of it, and is dropped when the lease is over."""
    issued = await bench.create()
    name = issued.value["username"]
    assert bench.server.users == {name: issued.value["password"]}
    assert name == user_name(PREFIX, issued.lease.id)
    assert issued.lease.expires_at == NOW + HOUR
    assert bench.server.expiries[name] * SECOND >= issued.lease.expires_at
    assert await bench.leases_held() == 1
    ended = await bench.step(issued.lease.id)
    assert (ended.state, ended.reason) == ("revoking", "expired")
    assert name in bench.server.users
    gone = await bench.step(issued.lease.id)
    assert gone.state == "revoked"
    assert not bench.server.users
    assert await bench.leases_held() == 0
    assert await bench.house.barrier.select_all(LEASE_CLIENTS) == []
    assert issued.value["password"] not in repr(issued)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["create", "drop"])
async def test_a_kill_within_any_call_leaves_no_user(bench: Bench, call: str, when: str) -> None:
    """The row says what to do, and each transition is made once."""
    planned = getattr(bench.server, when)
    planned[call] = Lost()
    ended = False
    try:
        await bench.create()
        await bench.finish()
    except Lost:
        ended = True
    assert ended
    planned.clear()
    (row,) = await bench.rows()
    assert row.state == ("creating" if call == "create" else "revoking")
    if call == "create":
        bench.house.world.time += CREATING_TIME
    await bench.finish()
    assert not bench.server.users
    assert (await bench.row(row.id)).state == "revoked"
    assert await bench.leases_held() == 0


async def test_a_lease_that_is_being_created_is_left_for_a_minute(bench: Bench) -> None:
    """Its caller may still be at it."""
    bench.server.before["create"] = Lost()
    with pytest.raises(Lost):
        await bench.create()
    (row,) = await bench.rows()
    bench.house.world.time += CREATING_TIME - 1
    with pytest.raises(ConflictError, match="lease_moved"):
        await bench.do("lease.step", row.id, StepLease(lease=row.id, timeout=5))


async def test_a_server_that_refuses_a_user_leaves_none(bench: Bench) -> None:
    """The client is told why, and a user that was made all the same is dropped."""
    bench.server.after["create"] = RotationError("statement_invalid", "…")
    with pytest.raises(UnavailableError) as caught:
        await bench.create()
    assert (caught.value.code, caught.value.details["cause"]) == (
        "target_failed",
        "statement_invalid",
    )
    assert bench.server.users
    await bench.finish()
    assert not bench.server.users


async def test_whoever_ends_while_a_user_is_created_gets_none(bench: Bench) -> None:
    """The token is revoked while the server works: nobody gets the password."""
    bench.server.gate = threading.Event()
    answers = list[str]()

    async def ask() -> None:
        with pytest.raises(UnavailableError) as caught:
            await bench.create()
        answers.append(caught.value.code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        while not bench.server.busy:
            await trio.lowlevel.checkpoint()
        row = await bench.house.tokens.find_by_accessor(bench.client.credential)
        assert row is not None
        await bench.house.tokens.revoke(row)
        bench.server.gate.set()
    assert answers == ["lease_ended"]
    await bench.finish()
    assert not bench.server.users


async def test_a_renewal_counts_from_now_and_ends_with_the_role(bench: Bench) -> None:
    """At the server, too; and it never goes beyond the longest time of the role."""
    lease = (await bench.create()).lease
    bench.house.world.time += 30 * MINUTE
    renewed = await bench.renew(lease.id)
    assert renewed.lease.expires_at == NOW + 30 * MINUTE + HOUR
    assert bench.server.expiries[lease.username] * SECOND == renewed.lease.expires_at
    assert renewed.warnings == ()
    capped = await bench.renew(lease.id, increment=7 * DAY)
    assert capped.lease.expires_at == NOW + DAY
    assert capped.warnings
    bench.house.world.time = NOW + DAY
    with pytest.raises(ValidationError, match="lease_not_renewable"):
        await bench.renew(lease.id)
    await bench.finish()
    assert not bench.server.users


async def test_no_renewed_lease_is_dropped(bench: Bench) -> None:
    """Renewals and expiry begin at the same instant: whoever has its commit first has won."""
    issued = [await bench.create() for _ in range(20)]
    renewed, refused = set[str](), set[str]()
    bench.house.world.time = NOW + HOUR - 1

    async def renew(lease: str) -> None:
        try:
            await bench.renew(lease)
            renewed.add(lease)
        except ValidationError:
            refused.add(lease)

    async def expire(lease: str) -> None:
        bench.house.world.time = NOW + HOUR
        with suppress(ConflictError):  # it was renewed
            await bench.do("lease.step", lease, StepLease(lease=lease, timeout=5))

    async with trio.open_nursery() as nursery:
        for one in issued:
            nursery.start_soon(renew, one.lease.id)
            nursery.start_soon(expire, one.lease.id)
    assert len(renewed | refused) == len(issued)
    for one in issued:
        state = (await bench.row(one.lease.id)).state
        assert state == ("active" if one.lease.id in renewed else "revoking")
        assert one.value["username"] in bench.server.users


async def test_a_renewal_within_the_step_that_ends_a_lease_wins(bench: Bench) -> None:
    """The step has seen that its time is over; its transaction sees that it was renewed."""
    lease = (await bench.create()).lease
    store, read = bench.handlers.store, bench.handlers.store.get_lease

    async def read_and_be_overtaken(lease_id: str) -> DynamicLeaseRow | None:
        row = await read(lease_id)
        store.get_lease = read  # type: ignore[method-assign]
        bench.house.world.time = NOW + HOUR - 1
        await bench.renew(lease_id)
        bench.house.world.time = NOW + HOUR
        return row

    bench.house.world.time = NOW + HOUR
    store.get_lease = read_and_be_overtaken  # type: ignore[method-assign]
    with pytest.raises(ConflictError, match="lease_moved"):
        await bench.do("lease.step", lease.id, StepLease(lease=lease.id, timeout=5))
    assert (await bench.row(lease.id)).state == "active"
    assert lease.username in bench.server.users


async def test_a_lease_is_its_owners_alone(bench: Bench) -> None:
    """Others are not even told that it is there; a policy may allow them."""
    lease = (await bench.create()).lease
    stranger = await token(bench.house, ("default",))
    for name, verb, payload in (
        ("lease.renew", "renew", RenewLease(lease=lease.id)),
        ("lease.revoke", "revoke", RevokeLease(lease=lease.id)),
        ("lease.read", "lookup", LeaseSelector(lease=lease.id)),
        ("lease.read", "lookup", LeaseSelector(lease="database/creds/app/none")),
    ):
        with pytest.raises(AuthorizationError, match="permission_denied"):
            await bench.do(name, f"{LEASES_PATH}{verb}/{lease.id}", payload, by=stranger)
    page = await bench.do("lease.list", f"{LEASES_PATH}lookup", ListLeases(), by=stranger)
    assert page.leases == []
    own = await bench.do("lease.list", f"{LEASES_PATH}lookup", ListLeases(), by=bench.client)
    assert [row.id for row in own.leases] == [lease.id]
    await bench.house.allow("helper", "sys/leases/renew/*", capabilities=("update",))
    helper = await token(bench.house, ("helper",))
    await bench.renew(lease.id, by=helper)
    with pytest.raises(AuthorizationError):
        await bench.revoke(lease.id, by=helper)
    with pytest.raises(NotFoundError, match="lease_not_found"):
        await bench.renew("database/creds/app/none")
    assert await bench.revoke("database/creds/app/none") is None


async def test_leases_end_with_their_token(bench: Bench) -> None:
    """In the transaction of its revocation; those of its children too, and of nobody else."""
    parent = await token(bench.house)
    child_token = await bench.house.tokens.create(parent, NewToken(policies=("root",)))
    child = await bench.house.tokens.identity_of(child_token.row.accessor)
    assert child is not None
    mine, below, other = await bench.create(parent), await bench.create(child), await bench.create()
    row = await bench.house.tokens.find_by_accessor(parent.credential)
    assert row is not None
    await bench.house.tokens.revoke(row)
    for one in (mine, below):
        found = await bench.row(one.lease.id)
        assert (found.state, found.reason, found.parent) == ("revoking", "token_ended", "")
        with pytest.raises(ValidationError, match="lease_not_renewable"):
            await bench.renew(one.lease.id)
    assert (await bench.row(other.lease.id)).state == "active"


async def test_leases_end_with_their_api_key(bench: Bench) -> None:
    """By revocation, and no later than it expires."""
    await bench.do("user.create", "sys/users/", CreateUser(username="ci", policies=("root",)))
    made = await bench.do(
        "key.create",
        "sys/keys/",
        CreateApiKey(user="ci", name="deploy", expires_at=NOW + 10 * MINUTE),
    )
    key = await bench.house.handlers["key.create"].run.__self__.keys.identity_of(made.key.id, NOW)
    assert key is not None
    lease = (await bench.create(key)).lease
    assert lease.expires_at == NOW + 10 * MINUTE == lease.max_expires_at
    await bench.do("key.revoke", f"sys/keys/{made.key.id}")
    assert (await bench.row(lease.id)).state == "revoking"


async def test_there_are_only_so_many_leases(bench: Bench) -> None:
    """Of a client and in all; those whose user is not dropped yet count."""
    bench.limits.max_leases_per_client = 2
    bench.limits.max_leases = 3
    first = await bench.create()
    await bench.create()
    with pytest.raises(RateLimitError, match="client_leases_full"):
        await bench.create()
    await bench.create(await token(bench.house))
    with pytest.raises(RateLimitError, match="leases_full"):
        await bench.create(await token(bench.house))
    await bench.revoke(first.lease.id)
    with pytest.raises(RateLimitError):
        await bench.create()
    await bench.step(first.lease.id)
    await bench.create()


async def test_a_client_that_never_renews_is_noticed(bench: Bench) -> None:
    """Once; and a renewal begins the count anew."""
    first = await bench.create()
    for _ in range(UNRENEWED_ALERT - 1):
        await bench.create()
    assert bench.unrenewed == []
    await bench.create()
    assert bench.unrenewed == ["one"]
    await bench.renew(first.lease.id)
    await bench.create()
    rows = await bench.house.barrier.select_all(LEASE_CLIENTS)
    assert {row.unrenewed for row in rows if row.client} == {1}
    assert bench.unrenewed == ["one"]


async def test_a_server_that_is_down_is_tried_again_and_then_listed(bench: Bench) -> None:
    """The lease is irrevocable after so many tries, and over once the server is there."""
    lease = (await bench.create()).lease
    bench.server.before["drop"] = RotationError("target_unreachable", "no answer")
    with pytest.raises(UnavailableError, match="target_failed"):
        await bench.revoke(lease.id, sync=True)
    waits = list[int]()
    for _ in range(3):
        row = await bench.step(lease.id)
        waits.append(row.next_at - bench.house.world.time)
    assert all(waits[0] < later for later in waits[1:])
    assert (row.state, row.error_code) == ("irrevocable", "target_unreachable")
    page = await bench.do("lease.list", f"{LEASES_PATH}lookup", ListLeases(state="irrevocable"))
    assert [one.id for one in page.leases] == [lease.id]
    assert await bench.leases_held() == 1
    bench.server.before.clear()
    assert (await bench.step(lease.id)).state == "revoked"
    assert not bench.server.users


async def test_a_user_is_left_behind_only_by_force(bench: Bench) -> None:
    """That takes another right than ending a lease does, of its owner too."""
    lease = (await bench.create()).lease
    bench.server.before["drop"] = RotationError("target_unreachable", "no answer")
    owner = await token(bench.house, ("default",))
    with pytest.raises(AuthorizationError):
        await bench.revoke(lease.id, by=owner, force=True)
    forced = await bench.revoke(lease.id, force=True)
    assert (forced.state, forced.reason) == ("revoked", "forced")
    assert bench.server.users
    assert await bench.leases_held() == 0


async def test_a_prefix_is_revoked_in_bounded_steps(bench: Bench) -> None:
    """Called again it goes on, and what has ended is not ended again."""
    for _ in range(5):
        await bench.create()
    payload = RevokeLeases(prefix="database/creds/app/")
    path = f"{LEASES_PATH}revoke-prefix/database/creds/app"
    assert (await bench.do("lease.revoke_prefix", path, payload)).count == 5
    assert {row.state for row in await bench.rows()} == {"revoking"}
    ids = sorted(row.id for row in await bench.rows())
    later = RevokeLeases(prefix="database/creds/app/", after=ids[2])
    assert (await bench.do("lease.revoke_prefix", path, later)).count == 2
    keys = await bench.do("lease.keys", f"{LEASES_PATH}lookup/database/creds/")
    assert keys.keys == ["app/"]
    await bench.finish()
    assert not bench.server.users
    assert len(bench.server.drops) == 5


async def test_a_prefix_ends_with_a_segment(bench: Bench) -> None:
    """Whoever may end the leases of one role ends none of a role whose name begins so."""
    lease = (await bench.create()).lease
    path = f"{LEASES_PATH}revoke-prefix/"

    async def revoke(prefix: str) -> int:
        done = await bench.do("lease.revoke_prefix", path + prefix, RevokeLeases(prefix=prefix))
        return int(done.count)

    assert await revoke("database/creds/ap") == 0
    assert await revoke(lease.id[:-1]) == 0
    assert await revoke(lease.id) == 1
    await bench.create()
    assert await revoke("database/creds/app") == 2


async def test_a_sweep_drops_users_of_ended_leases_and_reports_others(bench: Bench) -> None:
    """One that came to be behind its drop goes; what no lease knows may be a copy's of this vault.

    Users of other vaults are not even listed.
    """
    issued = await bench.create()
    late, kept = issued.value["username"], (await bench.create()).value["username"]
    await bench.revoke(issued.lease.id, sync=True)
    unknown = user_name(PREFIX, "of a copy")
    foreign = user_name(vault_prefix(b"another digest"), "one of theirs")
    bench.server.users |= dict.fromkeys((late, unknown, foreign, "app"), "x")
    found = await bench.do("database.sweep", CONNECTION)
    assert (found.dropped, found.unknown) == ([late], [unknown])
    assert set(bench.server.users) == {kept, unknown, foreign, "app"}
    assert (await bench.do("database.orphans.list", CONNECTION)).unknown == [unknown]
    dropped = await bench.do("database.orphans.drop", CONNECTION)
    assert dropped.dropped == [unknown]
    assert set(bench.server.users) == {kept, foreign, "app"}


async def test_what_is_over_goes_after_a_day(bench: Bench) -> None:
    """With leases that come to be over later."""
    first = await bench.create()
    await bench.revoke(first.lease.id, sync=True)
    bench.house.world.time += KEPT
    second = await bench.create()
    await bench.revoke(second.lease.id, sync=True)
    assert [row.id for row in await bench.rows()] == [second.lease.id]


async def test_a_server_that_hangs_holds_up_no_other(bench: Bench) -> None:
    """Calls wait for it up to a bound; another connection is served meanwhile."""
    bench.limits.max_leases = bench.limits.max_leases_per_client = 1000
    await bench.do(
        "database.connection.write",
        "database/config/other",
        WriteConnection(kind="fake", value={"password": PASSWORD}),
    )
    payload = WriteDatabaseRole(connection="other", config={})
    await bench.do("database.role.write", "database/roles/other", payload)
    gate = bench.server.gate = threading.Event()
    refused = trio.Event()

    async def create() -> None:
        try:
            await bench.create()
        except UnavailableError as error:
            assert "target_busy" in str(error)  # noqa: PT017  # of one of them, whichever is last
            assert not refused.is_set()
            refused.set()

    async with trio.open_nursery() as nursery:
        for _ in range(PER_CONNECTION + MAX_WAITING + 1):
            nursery.start_soon(create)
        with trio.fail_after(60):
            await refused.wait()
            while bench.server.busy < PER_CONNECTION:  # a thread may begin late
                await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        assert bench.server.busy == PER_CONNECTION
        bench.server.gate = None
        path = "database/creds/other"
        other = await bench.do("credentials.create", path, CreateCredentials(), by=bench.client)
        assert other.lease.state == "active"
        gate.set()


async def test_servers_that_hang_have_so_many_threads(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Together, too: then the next server is told to come later, and no thread is added."""
    monkeypatch.setattr(lease_targets, "MAX_THREADS", 1)
    other = "database/config/other"
    value = WriteConnection(kind="fake", value={"password": PASSWORD}, verify=False)
    await bench.do("database.connection.write", other, value)
    gate = bench.server.gate = threading.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.create)
        while not bench.server.busy:
            await trio.lowlevel.checkpoint()
        with pytest.raises(UnavailableError, match="target_busy"):
            await bench.do("database.connection.write", other, replace(value, verify=True))
        gate.set()
    await bench.do("database.connection.write", other, replace(value, verify=True))


async def test_who_writes_a_role_may_read_what_it_connects_with(bench: Bench) -> None:
    """Its statements run as the administrator; and the connection says which roles may use it."""
    await bench.house.allow("roles", "database/roles/*", capabilities=("update",))
    writer = await token(bench.house, ("roles",))
    payload = WriteDatabaseRole(connection="main", config={})
    with pytest.raises(AuthorizationError, match="connection_denied"):
        await bench.do("database.role.write", "database/roles/mine", payload, by=writer)
    limited = WriteConnection(kind="fake", allowed_roles=("other",))
    await bench.do("database.connection.write", CONNECTION, limited)
    with pytest.raises(AuthorizationError, match="role_not_allowed"):
        await bench.do("database.role.write", "database/roles/mine", payload)
    with pytest.raises(AuthorizationError, match="role_not_allowed"):
        await bench.create()
    stranger = WriteConnection(kind="fake", secret="secret/admin", verify=False)
    await bench.house.allow("config", "database/config/*", capabilities=("update",))
    with pytest.raises(AuthorizationError, match="connection_denied"):
        await bench.do(
            "database.connection.write",
            CONNECTION,
            stranger,
            by=await token(bench.house, ("config",)),
        )


async def test_what_a_connection_logs_in_with_is_shown_to_nobody(bench: Bench) -> None:
    """Neither as a secret nor by the connection; a wrong one is not stored."""
    with pytest.raises(AuthorizationError, match="connection_unreadable"):
        await bench.do("secret.read", CONNECTION, None)
    shown = await bench.do("database.connection.read", CONNECTION)
    assert PASSWORD not in repr(shown)
    wrong = WriteConnection(kind="fake", value={"password": "wrong"})
    with pytest.raises(UnavailableError, match="administrator_refused"):
        await bench.do("database.connection.write", CONNECTION, wrong)
    await bench.create()


async def test_a_connection_goes_when_nothing_needs_it(bench: Bench) -> None:
    """And a mount when no user of it may be at a server."""
    lease = (await bench.create()).lease
    with pytest.raises(ConflictError, match="connection_in_use"):
        await bench.do("database.connection.delete", CONNECTION)
    with pytest.raises(ConflictError, match="leases_active"):
        await bench.do("mount.delete", "sys/mounts/database")
    await bench.do("database.role.delete", ROLE)
    with pytest.raises(ConflictError, match="connection_in_use"):
        await bench.do("database.connection.delete", CONNECTION)
    await bench.revoke(lease.id, sync=True)
    await bench.do("database.connection.delete", CONNECTION)
    assert await bench.house.head(CONNECTION) is None
    await bench.do("mount.delete", "sys/mounts/database")
    assert await bench.rows() == []


async def test_states_are_as_documented(bench: Bench) -> None:
    """A lease that has ended stays so, whoever ends it again."""
    lease = (await bench.create()).lease
    await bench.revoke(lease.id)
    before = await bench.row(lease.id)
    await bench.revoke(lease.id)
    assert replace(await bench.row(lease.id), mac=b"") == replace(before, mac=b"")
    assert before.state == LeaseState.REVOKING


@pytest.mark.parametrize("is_down", [False, True])
async def test_force_gives_up_only_what_a_server_does_not_drop(bench: Bench, is_down: bool) -> None:
    """All below a prefix is over with the answer; a server that answers has dropped its users."""
    for _ in range(3):
        await bench.create()
    if is_down:
        bench.server.before["drop"] = RotationError("target_unreachable", "no answer")
    payload = RevokeLeases(prefix="database/creds/app/", force=True)
    path = f"{LEASES_PATH}revoke-force/database/creds/app"
    assert (await bench.do("lease.revoke_prefix", path, payload)).count == 3
    assert {row.state for row in await bench.rows()} == {"revoked"}
    assert await bench.leases_held() == 0
    assert bool(bench.server.users) is is_down


async def test_what_is_over_is_forgotten_on_request(bench: Bench) -> None:
    """And what was over for less than a day is not."""
    first = await bench.create()
    await bench.revoke(first.lease.id, sync=True)
    bench.house.world.time += KEPT
    await bench.do("lease.tidy", f"{LEASES_PATH}tidy")
    assert await bench.rows() == []
    second = await bench.create()
    await bench.revoke(second.lease.id, sync=True)
    await bench.do("lease.tidy", f"{LEASES_PATH}tidy")
    assert [row.id for row in await bench.rows()] == [second.lease.id]


async def test_a_connection_is_changed_in_part(bench: Bench) -> None:
    """What is not named stays, its password too, which nobody has to know for that."""

    async def merge(**named: Any) -> None:
        payload = WriteConnection(kind="fake", merge=True, **named)
        await bench.do("database.connection.write", CONNECTION, payload)

    await merge(allowed_roles=("app",), options={"shown": {"a": 1, "b": 2}})
    await merge(value={"url": "fake://other"}, allowed_roles=None, options={"shown": {"b": 3}})
    shown = await bench.do("database.connection.read", CONNECTION)
    assert shown.allowed_roles == ["app"]
    assert shown.options == {"shown": {"a": 1, "b": 3}}
    found = await bench.handlers.targets.read(CONNECTION)
    assert found == {"url": "fake://other", "password": PASSWORD}
    await bench.create()


async def test_who_keeps_a_password_may_read_it(bench: Bench) -> None:
    """Or an address of one's own would be told it, and statements would run with it."""
    await bench.house.allow("config", "database/config/*", capabilities=("update",))
    writer = await token(bench.house, ("config",))
    parts: list[dict[str, Any]] = [
        {"merge": True, "value": {"url": "fake://mine"}},
        {"merge": True, "options": {"rotation_statements": ["…"]}},
        {"options": {"rotation_statements": ["…"]}},
    ]
    for part in parts:
        payload = WriteConnection(kind="fake", **part)
        with pytest.raises(AuthorizationError, match="connection_denied"):
            await bench.do("database.connection.write", CONNECTION, payload, by=writer)
    patch = PatchSecret(patch=b'{"url":"fake://mine"}')
    with pytest.raises(AuthorizationError, match="connection_unreadable"):
        await bench.do("secret.patch", CONNECTION, patch, by=writer)
    whole = WriteConnection(kind="fake", value={"url": "fake://", "password": PASSWORD})
    await bench.do("database.connection.write", CONNECTION, whole, by=writer)


async def test_a_change_in_part_does_not_bring_back_a_rotated_password(bench: Bench) -> None:
    """It was laid over a version that is not the current one any more."""

    def rotate() -> None:
        trio.from_thread.run(bench.house.write, CONNECTION, b'{"password":"rotated"}')

    bench.server.on_check = rotate
    payload = WriteConnection(kind="fake", merge=True, value={"url": "fake://other"})
    with pytest.raises(ConflictError, match="changed_meanwhile"):
        await bench.do("database.connection.write", CONNECTION, payload)
    assert (await bench.handlers.targets.read(CONNECTION))["password"] == "rotated"
