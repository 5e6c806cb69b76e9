"""Moves of mounts: everything is at the new path afterwards, or nothing has happened."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from tests.unit.vault.handlers.conftest import NOW, ROOT, House
from vault.authz.authorizer import Authorizer
from vault.barrier import Barrier
from vault.errors import AuthorizationError, ConflictError, NotFoundError, ValidationError
from vault.handlers import mount_moves, stores
from vault.handlers.adoption import StoredAdoption
from vault.handlers.mount_moves import MountMoveHandlers
from vault.handlers.mount_snapshot import MountSnapshot
from vault.handlers.rotations import RotationHandlers
from vault.handlers.stores import (
    AuthMountStore,
    ConsumerStore,
    MountStore,
    MoveStore,
    RotationStore,
    RotationTx,
)
from vault.model.identity import Identity, Permission
from vault.model.payloads import MoveMount, ReadSecret, WritePolicy, WriteRotationPolicy
from vault.model.records import ConnectionRow, FolderPolicyRow, MountMoveRow, RotationRow
from vault.model.rotation import RotationPolicy
from vault.rotation.rotator import Rotators
from vault.rotation.rotators import generated
from vault.store.table import StoreQuery
from vault.store.tables import CONNECTIONS, FOLDER_POLICIES, ROTATIONS, SECRETS

T = TypeVar("T")


async def move(house: House, source: str, target: str, by: Identity = ROOT) -> MountMoveRow:
    """Move a mount of a secret engine."""
    row: MountMoveRow = await house.do(
        "mount.move", f"sys/mounts/{source}", MoveMount(to=target), by=by
    )
    return row


async def rotate(house: House, name: str, **more: Any) -> None:
    """A rotation of a secret that is over, unless `more` says otherwise."""
    secret = await house.head(name)
    assert secret is not None
    row = RotationRow(
        secret_id=secret.id, number=1, path=name, policy={"connection": "kv/admin"}, cause="due",
        previous=1, next_at=0, began_at=NOW,
    )  # fmt: skip
    await house.barrier.transact(lambda tx: tx.put(ROTATIONS, replace(row, **more)))


@pytest.fixture
async def kv(house: House) -> House:
    """With a mount of three secrets, the first with history."""
    await house.mount("kv/")
    for path in ("kv/app/db", "kv/app/db", "kv/admin", "kv/x"):
        await house.write(path, b'{"at":"%b"}' % path.encode())
    return house


async def test_everything_is_at_the_new_path(kv: House) -> None:
    """Values, history, rotations and rotation policies; nothing is left at the old one."""
    before = await kv.head("kv/app/db")
    await rotate(kv, "kv/app/db")
    folder = FolderPolicyRow(
        path="kv/app/", policy={"connection": "kv/admin"}, updated_at=NOW, updated_by="u",
        scheduled_to="kv/app/db",
    )  # fmt: skip
    await kv.barrier.transact(lambda tx: tx.put(FOLDER_POLICIES, folder))
    moved = await move(kv, "kv", "team/kv")
    assert (moved.source, moved.target, moved.secrets) == ("kv/", "team/kv/", 3)
    found = await kv.do("secret.read", "team/kv/app/db", ReadSecret())
    assert found.value == b'{"at":"kv/app/db"}'
    assert found.version.version == 2
    old = await kv.do("secret.read", "team/kv/app/db", ReadSecret(version=1))
    assert old.value == b'{"at":"kv/app/db"}'
    after = await kv.head("team/kv/app/db")
    assert before is not None
    assert after is not None
    assert after.id == before.id
    names = [row.name for row in await kv.barrier.select(SECRETS, StoreQuery())]
    assert names == ["team/kv/admin", "team/kv/app/db", "team/kv/x"]
    (rotated,) = await kv.barrier.select(ROTATIONS, StoreQuery())
    assert rotated.path == "team/kv/app/db"
    assert rotated.policy == {"connection": "team/kv/admin"}
    (policy,) = await kv.barrier.select(FOLDER_POLICIES, StoreQuery())
    assert policy.path == "team/kv/app/"
    assert policy.scheduled_to == "team/kv/app/db"
    assert policy.policy == {"connection": "team/kv/admin"}
    assert kv.mounts.get("kv/") is None
    mount = kv.mounts.get("team/kv/")
    assert mount is not None
    assert mount.id == "kv/"


async def test_a_move_is_kept(kv: House) -> None:
    """By its id, which is not the mount's; the latest comes first."""
    first = await move(kv, "kv", "one")
    kv.world.time += 1
    second = await move(kv, "one", "two")
    found = await kv.do("mount.move_status", f"sys/remount/status/{first.id}")
    assert replace(found, mac=b"") == first
    listed = await kv.do("mount.moves", "sys/remount/status")
    assert [row.id for row in listed] == [second.id, first.id]
    with pytest.raises(NotFoundError):
        await kv.do("mount.move_status", "sys/remount/status/kv")


async def test_the_latest_moves_are_kept(kv: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there may be, and of one more the oldest goes."""
    monkeypatch.setattr(stores, "MAX_MOVES", 4)
    made = []
    for count in range(5):
        kv.world.time += 1
        made.append((await move(kv, "kv" if not count else f"at{count}", f"at{count + 1}")).id)
        listed = await kv.do("mount.moves", "sys/remount/status")
        assert [row.id for row in listed] == made[::-1][:4]


async def test_a_move_fits_into_the_change_feed(kv: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the length of its names; nothing has happened otherwise."""
    monkeypatch.setattr(mount_moves, "MAX_MOVED_BYTES", 3 * (2 * 48 + len("longer") + 10))
    with pytest.raises(ValidationError) as refused:
        await move(kv, "kv", "longer")
    assert refused.value.code == "mount_too_large"
    monkeypatch.setattr(mount_moves, "MAX_MOVED_BYTES", 3 * (2 * 48 + len("longer") + 20))
    assert (await move(kv, "kv", "longer")).secrets == 3


async def test_what_was_made_since_at_the_old_path_is_another_secret(kv: House) -> None:
    """The old path is free at once."""
    await move(kv, "kv", "kv2")
    await kv.mount("kv/")
    await kv.write("kv/app/db", b'{"new":1}')
    found = await kv.do("secret.read", "kv2/app/db", ReadSecret())
    assert found.value == b'{"at":"kv/app/db"}'


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("kv", "mount_exists"),
        ("kv/deeper", "mount_exists"),
        ("taken", "mount_exists"),
        ("taken/below", "mount_exists"),
        ("loose", "mount_target_not_empty"),
        ("sys/x", "path_reserved"),
        ("AUTH/x", "path_reserved"),
        ("x" * 500, "path_invalid"),
        ("", "target_missing"),
    ],
)
async def test_where_it_cannot_go(kv: House, target: str, code: str) -> None:
    """Nothing has happened then."""
    await kv.mount("taken/")
    await kv.write("kv/" + "y" * 20)
    left = FolderPolicyRow(path="loose/", policy={}, updated_at=NOW, updated_by="u")
    await kv.barrier.transact(lambda tx: tx.put(FOLDER_POLICIES, left))
    with pytest.raises((ConflictError, ValidationError)) as refused:
        await move(kv, "kv", target)
    assert refused.value.code == code
    assert await kv.head("kv/app/db") is not None
    assert await kv.do("mount.moves", "sys/remount/status") == []


async def test_an_empty_mount_cannot_go_where_no_secrets_are(house: House) -> None:
    """Its secrets would not say so."""
    await house.mount("kv/")
    with pytest.raises(ValidationError) as refused:
        await move(house, "kv", "sys/x")
    assert refused.value.code == "path_reserved"


async def test_what_cannot_be_moved(kv: House) -> None:
    """A mount that is none, one of a database, one with a rotation under way."""
    with pytest.raises(NotFoundError):
        await move(kv, "nowhere", "x")
    await kv.mount("db/", type="database")
    with pytest.raises(ValidationError, match="database"):
        await move(kv, "db", "x")
    await rotate(kv, "kv/app/db", next_at=NOW)
    with pytest.raises(ConflictError) as running:
        await move(kv, "kv", "x")
    assert running.value.code == "rotation_running"
    assert "kv/app/db" in running.value.message


async def test_what_others_connect_with_stays(kv: House) -> None:
    """Their rotation would not find it any more."""
    await kv.write("secret/user")
    secret = await kv.head("secret/user")
    assert secret is not None
    held = replace(secret, rotation_policy={"connection": "kv/admin"})
    await kv.barrier.transact(lambda tx: tx.put(SECRETS, held))
    with pytest.raises(ConflictError) as used:
        await move(kv, "kv", "x")
    assert used.value.code == "connections_used"
    assert "secret/user" in used.value.message


async def test_what_a_database_connects_with_stays(kv: House) -> None:
    """Nobody could be given a user there any more."""
    row = ConnectionRow(
        path="db/config/main", kind="fake", secret="kv/admin", created_at=NOW, updated_at=NOW,
        updated_by="u",
    )  # fmt: skip
    await kv.barrier.transact(lambda tx: tx.put(CONNECTIONS, row))
    with pytest.raises(ConflictError) as used:
        await move(kv, "kv", "x")
    assert used.value.code == "connections_used"
    assert "db/config/main" in used.value.message


class Overtaken(MountStore):
    """Mounts whose connections are no longer what was found of them."""

    def __init__(self, barrier: Barrier, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(barrier)
        self._meanwhile = meanwhile

    async def find_connection_users(self, folder: str) -> tuple[str, int]:
        """As it was a moment ago."""
        found = await super().find_connection_users(folder)
        await self._meanwhile()
        return found


async def _connect(
    house: House, path: str, store: RotationStore | None = None, connection: str = "kv/admin"
) -> None:
    """Give a secret, or a folder, a policy that connects with a secret in the mount, or another."""
    rotators = Rotators()
    rotators.register(generated.KIND)
    handlers = RotationHandlers(
        store or RotationStore(house.barrier), rotators,
        StoredAdoption(ConsumerStore(house.barrier)), Authorizer(house.book), house.world,
    )  # fmt: skip
    house.handlers.update(handlers.handlers())
    policy = RotationPolicy(rotator="generated", connection=connection)
    await house.do("rotation.policy.write", path, WriteRotationPolicy(policy=policy))


def _overtake(house: House, meanwhile: Callable[[], Awaitable[object]]) -> None:
    """Have moves overtaken by this, each time that they have looked."""
    overtaken = Overtaken(house.barrier, meanwhile)
    handlers = MountMoveHandlers(
        MountSnapshot(overtaken, house.mounts),
        MountSnapshot(AuthMountStore(house.barrier), house.auth_mounts),
        overtaken,
        MoveStore(house.barrier),
        Authorizer(house.book),
        house.world,
    )
    house.handlers.update(handlers.handlers())


@pytest.mark.parametrize("user", ["secret/user", "secret/"])
async def test_what_is_connected_while_it_moves_is_not_lost(kv: House, user: str) -> None:
    """The move finds it when it looks again."""
    await kv.write("secret/user")
    _overtake(kv, lambda: _connect(kv, user))
    with pytest.raises(ConflictError) as refused:
        await move(kv, "kv", "x")
    assert refused.value.code == "connections_used"
    assert await kv.head("kv/admin") is not None


@pytest.mark.parametrize("times", [mount_moves.MAX_TRIES - 1, mount_moves.MAX_TRIES])
async def test_a_connection_of_another_mount_does_not_prevent_a_move(kv: House, times: int) -> None:
    """Whoever may write a rotation policy does not keep others' mounts where they are so easily."""
    for name in ("secret/user", "secret/admin"):
        await kv.write(name)
    left = times

    async def connect() -> None:
        nonlocal left
        if left:
            left -= 1
            await _connect(kv, "secret/user", connection="secret/admin")

    _overtake(kv, connect)
    if times < mount_moves.MAX_TRIES:
        await move(kv, "kv", "x")
        assert await kv.head("x/admin") is not None
        return
    with pytest.raises(ConflictError) as refused:
        await move(kv, "kv", "x")
    assert refused.value.code == "connections_changed"
    assert await kv.head("kv/admin") is not None


class Lagging:
    """A barrier whose searches are a replica's: it shows what there was, until a transaction.

    Then it has to have what that has seen (`Committer.read_known`).
    """

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier
        self._is_current = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._barrier, name)

    async def transact(self, *args: Any, **options: Any) -> Any:
        """From here on it knows what is stored."""
        found = await self._barrier.transact(*args, **options)
        self._is_current = True
        return found

    async def select_all(self, *args: Any) -> list[Any]:
        """None of the rows of late."""
        found = await self._barrier.select_all(*args)
        return found if self._is_current else []


async def test_a_connection_that_a_replica_lacks_is_found(kv: House) -> None:
    """The count of connections is as new as the search, so nothing is between the two."""
    await kv.write("secret/user")
    await _connect(kv, "secret/user")
    lagging: Any = Lagging(kv.barrier)
    handlers = MountMoveHandlers(
        MountSnapshot(MountStore(kv.barrier), kv.mounts),
        MountSnapshot(AuthMountStore(kv.barrier), kv.auth_mounts),
        MountStore(lagging),
        MoveStore(kv.barrier),
        Authorizer(kv.book),
        kv.world,
    )
    kv.handlers.update(handlers.handlers())
    with pytest.raises(ConflictError) as used:
        await move(kv, "kv", "x")
    assert used.value.code == "connections_used"


class MovedFirst(RotationStore):
    """Rotations whose connection is moved once it was looked at."""

    def __init__(self, house: House) -> None:
        super().__init__(house.barrier)
        self._house = house

    async def transact(self, change: Callable[[RotationTx], T], *, max_encryptions: int = 0) -> T:
        """After the move."""
        await move(self._house, "kv", "x")
        return await super().transact(change, max_encryptions=max_encryptions)


@pytest.mark.parametrize("user", ["secret/user", "secret/"])
async def test_nothing_connects_with_what_has_just_moved(kv: House, user: str) -> None:
    """Whoever may read it at its old path has not named it at the new one."""
    await kv.write("secret/user")
    with pytest.raises(ValidationError) as refused:
        await _connect(kv, user, MovedFirst(kv))
    assert refused.value.code == "rotation_policy_invalid"
    assert await kv.head("x/admin") is not None


@pytest.mark.parametrize("folder", ["kv/", "kv/app/"])
async def test_no_policy_is_left_where_the_mount_was(kv: House, folder: str) -> None:
    """Another mount that is made there would have it, and none could be moved there."""
    with pytest.raises(NotFoundError) as refused:
        await _connect(kv, folder, MovedFirst(kv), connection="")
    assert refused.value.code == "mount_not_found"
    await move(kv, "x", "kv")


async def _admin(house: House, *rules: dict[str, object], acl: str = "") -> Identity:
    documents: dict[str, dict[str, object]] = {"admin": {"rules": list(rules)}}
    documents |= {"more": {"acl": acl}} if acl else {}
    for name, document in documents.items():
        await house.do("policy.write", f"sys/policies/{name}", WritePolicy(document=document))
    return Identity(id="ann", name="ann", method=ROOT.method, policies=tuple(documents))


def _rule(effect: str, *paths: str) -> dict[str, object]:
    return {"effect": effect, "paths": list(paths), "capabilities": ["sudo", "read"]}


ADMIN = _rule("allow", "sys/mounts/*", "x/*")


@pytest.mark.parametrize("denied", ["kv/app/*", "kv/+/db", "+/app/db", "kv*"])
async def test_a_move_lifts_no_denial(kv: House, denied: str) -> None:
    """Who is denied something in the mount is not let at it by another path."""
    ann = await _admin(kv, ADMIN, _rule("deny", denied))
    with pytest.raises(AuthorizationError) as refused:
        await move(kv, "kv", "x", by=ann)
    assert refused.value.code == "denial_lifted"
    assert await kv.head("kv/app/db") is not None


async def test_a_move_lifts_no_denial_in_vaults_language(kv: House) -> None:
    """The same, as these policies say it."""
    ann = await _admin(kv, ADMIN, acl='path "kv/data/app/*" { capabilities = ["deny"] }')
    with pytest.raises(AuthorizationError) as refused:
        await move(kv, "kv", "x", by=ann)
    assert refused.value.code == "denial_lifted"


@pytest.mark.parametrize(
    "denied", ["auth/people/*", "auth/+/users/ann", "sys/auth/people/tune", "auth/people*"]
)
async def test_a_move_of_an_auth_mount_lifts_no_denial(house: House, denied: str) -> None:
    """Else whoever is kept from its users sets their passwords at the new path."""
    await house.enable("userpass", "people")
    rights = _rule("allow", "sys/auth/*", "auth/*")
    ann = await _admin(house, rights, _rule("deny", denied))
    with pytest.raises(AuthorizationError) as refused:
        await house.do("auth.mount.move", "sys/auth/people", MoveMount(to="x"), by=ann)
    assert refused.value.code == "denial_lifted"
    ann = await _admin(house, rights, _rule("deny", "auth/peoples/*"))
    moved = await house.do("auth.mount.move", "sys/auth/people", MoveMount(to="x"), by=ann)
    assert moved.target == "auth/x/"


async def test_denials_that_hold_at_both_places_are_no_hindrance(kv: House) -> None:
    """Nor are those of other places."""
    ann = await _admin(kv, ADMIN, _rule("deny", "kvx/*", "b", "kw*"), _rule("deny", "k*"))
    with pytest.raises(AuthorizationError):
        await move(kv, "kv", "x", by=ann)
    ann = await _admin(kv, _rule("allow", "sys/mounts/*"), _rule("deny", "kvx/*", "k*"))
    assert (await move(kv, "kv", "kw", by=ann)).target == "kw/"


def _allow(*paths: str) -> dict[str, object]:
    return {"effect": "allow", "paths": list(paths), "capabilities": ["read", "update"]}


MOVES = {"effect": "allow", "paths": ["sys/mounts/*", "sys/auth/*"], "capabilities": ["sudo"]}


@pytest.mark.parametrize(
    "rules",
    [
        [_allow("x/*")],
        [_allow("x/app/db")],
        [_allow("+/app/db", "x/+")],
        [_allow("x*"), _allow("kv/+")],
        [_allow("x/*"), {**_allow("kv/*"), "capabilities": ["read"]}],
    ],
)
async def test_a_move_gives_no_access(kv: House, rules: list[dict[str, object]]) -> None:
    """Who may do something in the folder that it goes to could not do it where it was."""
    ann = await _admin(kv, MOVES, *rules)
    with pytest.raises(AuthorizationError) as refused:
        await move(kv, "kv", "x", by=ann)
    assert refused.value.code == "more_privileged"
    assert await kv.head("kv/app/db") is not None


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [_allow("kv/*", "y/*")],
        [_allow("kv/*"), _allow("x/*")],
        [_allow("+/app/*")],
        [_allow("*")],
        [_allow("kv/app/*"), _allow("x/app/db", "x/app/+")],
    ],
)
async def test_who_is_allowed_no_more_may_move(kv: House, rules: list[dict[str, object]]) -> None:
    """Whatever the rules are called by which they have it."""
    ann = await _admin(kv, MOVES, *rules)
    assert (await move(kv, "kv", "x", by=ann)).target == "x/"


READ = 'capabilities = ["read"]'
LESS = 'path "kv/data/app/*" { capabilities = ["list"] }'


@pytest.mark.parametrize(
    ("acl", "is_gain"),
    [
        (f'path "x/data/*" {{ {READ} }}', True),
        ('path "x/metadata/app" { capabilities = ["list"] }', True),
        (f'path "x/data/*" {{ {READ} }} path "kv/data/*" {{ {READ} }} {LESS}', True),
        (f'path "x/data/*" {{ {READ} }} path "kv/data/*" {{ {READ} }}', False),
        (f'path "+/data/app/*" {{ {READ} }}', False),
    ],
)
async def test_a_move_gives_no_access_in_vaults_language(
    kv: House, acl: str, *, is_gain: bool
) -> None:
    """The same, as these policies say it."""
    ann = await _admin(kv, MOVES, acl=acl)
    if not is_gain:
        assert (await move(kv, "kv", "x", by=ann)).target == "x/"
        return
    with pytest.raises(AuthorizationError) as refused:
        await move(kv, "kv", "x", by=ann)
    assert refused.value.code == "more_privileged"


async def test_a_key_that_is_cut_down_moves_nothing_into_its_reach(kv: House) -> None:
    """Its permissions are its bound, whatever its user may do."""
    ann = await _admin(kv, {**MOVES, "paths": ["*"], "capabilities": ["*"]})
    permissions = (
        Permission(capabilities=("sudo",), paths=("sys/mounts/*",)),
        Permission(capabilities=("read",), paths=("x/*",)),
    )
    with pytest.raises(AuthorizationError) as refused:
        await move(kv, "kv", "x", by=replace(ann, permissions=permissions))
    assert refused.value.code == "more_privileged"
    assert (await move(kv, "kv", "y", by=replace(ann, permissions=permissions))).target == "y/"


async def test_a_move_of_an_auth_mount_gives_no_access(house: House) -> None:
    """Else who manages users in one place would set the passwords of others."""
    await house.enable("userpass", "people")
    for rules, is_gain in (([_allow("auth/x/*")], True), ([_allow("auth/*")], False)):
        ann = await _admin(house, MOVES, *rules)
        if is_gain:
            with pytest.raises(AuthorizationError) as refused:
                await house.do("auth.mount.move", "sys/auth/people", MoveMount(to="x"), by=ann)
            assert refused.value.code == "more_privileged"
        else:
            await house.do("auth.mount.move", "sys/auth/people", MoveMount(to="x"), by=ann)


async def test_sudo_is_needed_where_it_goes(kv: House) -> None:
    """Who may manage the mounts of one folder brings none into another."""
    ann = await _admin(kv, _rule("allow", "sys/mounts/kv", "sys/mounts/team/*"))
    with pytest.raises(AuthorizationError):
        await move(kv, "kv", "x", by=ann)
    assert (await move(kv, "kv", "team/x", by=ann)).target == "team/x/"
