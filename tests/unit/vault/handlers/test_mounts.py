"""Tests of mounts: where they may be, what changes them, what goes with them."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from actors.testing import FakeWorld
from tests.support.no_guard import NoGuard
from vault.errors import (
    AuthorizationError,
    ConflictError,
    NotFoundError,
    UnavailableError,
    ValidationError,
)
from vault.handlers import mounts as module
from vault.handlers.handler import Call
from vault.handlers.mounts import MountHandlers
from vault.handlers.stores import MountStore
from vault.model.identity import Identity, Method
from vault.model.mounts import MountTable
from vault.model.operation import Operation, OperationType, Origin
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing, TuneMount, WriteMount
from vault.model.records import MountRow, SecretRow, VersionRow
from vault.store.memory import MemoryBackend
from vault.store.table import StoreQuery, Table
from vault.store.tables import MOUNTS, SECRETS, VERSIONS
from vault.store.transaction import StoreTx, transact


class FakeBarrier:
    """A barrier's rows without its keys; `after_commit` may raise."""

    def __init__(self) -> None:
        self.backend = MemoryBackend()
        self.after_commit: Callable[[], None] = lambda: None
        self.commits = 0

    def count_transactions(self, _table: Table[Any]) -> int:
        """As many as were made."""
        return self.commits

    async def select(self, table: Table[Any], query: StoreQuery) -> list[Any]:
        """From the backend."""
        with self.backend.read() as session:
            return session.select(table, query)

    async def select_all(self, table: Table[Any]) -> list[Any]:
        """From the backend."""
        return await self.select(table, StoreQuery())

    async def transact(self, change: Callable[[StoreTx], Any]) -> Any:
        """One transaction."""
        result = transact(self.backend, change, NoGuard())
        self.commits += 1
        self.after_commit()
        return result


class FakeAuthorizer:
    """Reaches the folders it is told."""

    def __init__(self) -> None:
        self.folders: set[str] | None = None  # None: all

    def can_reach(self, _identity: Identity, folder: str) -> bool:
        """As told."""
        return self.folders is None or folder in self.folders


class House:
    """The handlers with what is below them."""

    def __init__(self) -> None:
        self.barrier, self.authorizer, self.book = FakeBarrier(), FakeAuthorizer(), MountTable()
        self.nouns = MountHandlers(
            MountStore(self.barrier), self.book, self.authorizer, FakeWorld()
        )  # type: ignore[arg-type]  # the fakes have what it asks
        self.handlers = self.nouns.handlers()

    async def do(self, name: str, path: str, payload: object = None) -> Any:
        """Run `mount.name` as the pipeline would."""
        op = Operation(
            type=OperationType(f"mount.{name}"),
            path=ResourcePath.parse(path), payload=payload or Nothing(),
            request_id="r", credential=None, origin=Origin(ip="::1"),
        )  # fmt: skip
        identity = Identity(id="u", name="ann", method=Method.TOKEN)
        return await self.handlers[f"mount.{name}"].run(Call(op, identity))

    async def mount(self, path: str, **settings: Any) -> MountRow:
        """A new mount."""
        row: MountRow = await self.do("write", f"sys/mounts/{path}", WriteMount(**settings))
        return row

    async def rows(self, table: Table[Any]) -> list[Any]:
        """What is stored."""
        return await self.barrier.select(table, StoreQuery())

    async def secret(self, name: str, versions: int = 2) -> None:
        """A secret with some versions."""

        def change(tx: StoreTx) -> None:
            tx.put(
                SECRETS,
                SecretRow(
                    name=name, id=f"id-{name}", current_version=versions, oldest_version=1,
                    created_at=1, updated_at=1, created_by="ann",
                ),
            )  # fmt: skip
            for number in range(1, versions + 1):
                tx.put(
                    VERSIONS,
                    VersionRow(
                        secret_id=f"id-{name}", version=number, wrapped_dek=b"", box=b"",
                        kek_generation=1, created_at=1, created_by="ann",
                    ),
                )  # fmt: skip

        await self.barrier.transact(change)


@pytest.fixture
def house() -> House:
    """No mounts yet."""
    return House()


async def test_write_and_read(house: House) -> None:
    """A mount has its path with a slash, an accessor and an id; the book has it at once."""
    row = await house.mount("team/blue", version=1, description="d")
    assert (row.path, row.version, row.description) == ("team/blue/", 1, "d")
    assert row.accessor.startswith("kv_")
    assert house.book.find_for_path("team/blue/x") == row
    assert await house.do("read", "sys/mounts/team/blue") == row
    assert await house.do("list", "sys/mounts") == [row] == await house.rows(MOUNTS)


@pytest.mark.parametrize("path", ["a", "a/b", "a/b/c"])
async def test_mounts_do_not_nest(house: House, path: str) -> None:
    """Neither above, at nor below another."""
    await house.mount("a/b")
    with pytest.raises(ConflictError, match="already in use at a/b/"):
        await house.mount(path)
    assert len(await house.rows(MOUNTS)) == 1


@pytest.mark.parametrize("path", ["sys/x", "auth/x", "SYS/x", "identity", "cubbyhole"])
async def test_reserved_paths(house: House, path: str) -> None:
    """The agent's own name space, however it is spelled."""
    with pytest.raises(ValidationError, match="reserved"):
        await house.mount(path)


async def test_unknown_versions(house: House) -> None:
    """There are two."""
    with pytest.raises(ValidationError):
        await house.mount("a", version=3)
    await house.mount("a")
    with pytest.raises(ValidationError):
        await house.do("tune", "sys/mounts/a", TuneMount(version=3))


async def test_the_number_of_mounts_is_bounded(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are held in memory."""
    monkeypatch.setattr(module, "MAX_MOUNTS", 2)
    await house.mount("a")
    await house.mount("b")
    with pytest.raises(ValidationError, match="there are 2 mounts"):
        await house.mount("c")


async def test_tune(house: House) -> None:
    """What is named changes, the rest stays; the book follows."""
    await house.mount("a", version=1, description="d")
    tuned = await house.do(
        "tune", "sys/mounts/a",
        TuneMount(version=2, max_versions=3, cas_required=True, delete_version_after=-1),
    )  # fmt: skip
    assert (tuned.version, tuned.description, tuned.max_versions) == (2, "d", 3)
    assert (tuned.cas_required, tuned.delete_version_after) == (True, -1)
    assert house.book.get("a/") == tuned
    assert (await house.do("tune", "sys/mounts/a", TuneMount(description=""))).description == ""


async def test_what_cannot_be_tuned(house: House) -> None:
    """Back to version 1, an absurd number, a mount that is not there."""
    await house.mount("a")
    with pytest.raises(ValidationError, match="cannot downgrade mount from version 2"):
        await house.do("tune", "sys/mounts/a", TuneMount(version=1))
    with pytest.raises(ValidationError, match="max_versions"):
        await house.do("tune", "sys/mounts/a", TuneMount(max_versions=-1))
    for name, payload in (("tune", TuneMount()), ("read", None), ("delete", None)):
        with pytest.raises(NotFoundError):
            await house.do(name, "sys/mounts/none", payload)


async def test_delete_erases_what_is_in_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every secret below with all its versions, some at a time; its neighbours stay."""
    monkeypatch.setattr(module, "ERASE_BATCH", 2)
    await house.mount("a")
    for name in ("a/1", "a/2/x", "a/3", "a/4", "a/5", "ab/6"):
        await house.secret(name)
    before = house.barrier.commits
    await house.do("delete", "sys/mounts/a")
    assert house.barrier.commits == before + 3
    assert [row.name for row in await house.rows(SECRETS)] == ["ab/6"]
    assert {row.secret_id for row in await house.rows(VERSIONS)} == {"id-ab/6"}
    assert await house.rows(MOUNTS) == house.book.list_mounts() == []


async def test_a_delete_ends_though_others_write(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops after so many and says so; told again it goes on, and the mount goes last."""
    monkeypatch.setattr(module, "ERASE_BATCH", 1)
    monkeypatch.setattr(module, "MAX_ERASE_BATCHES", 2)
    await house.mount("a")
    for name in ("a/1", "a/2", "a/3"):
        await house.secret(name)
    with pytest.raises(UnavailableError, match="2 secrets are erased, more are left"):
        await house.do("delete", "sys/mounts/a")
    assert [row.name for row in await house.rows(SECRETS)] == ["a/3"]
    assert house.book.get("a/") is not None
    await house.do("delete", "sys/mounts/a")
    assert await house.rows(SECRETS) == house.book.list_mounts() == []


async def test_a_delete_cut_short_can_be_repeated(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mount goes last, so what is left is still in it."""
    monkeypatch.setattr(module, "ERASE_BATCH", 1)
    await house.mount("a")
    await house.secret("a/1")
    await house.secret("a/2")

    def fail() -> None:
        raise UnavailableError("store_unavailable", "gone")

    house.barrier.after_commit = fail
    with pytest.raises(UnavailableError):
        await house.do("delete", "sys/mounts/a")
    assert house.book.get("a/") is not None
    house.barrier.after_commit = lambda: None
    await house.do("delete", "sys/mounts/a")
    assert await house.rows(SECRETS) == house.book.list_mounts() == []


async def test_the_book_follows_a_commit_of_unknown_outcome(house: House) -> None:
    """It was stored, though the caller heard of an error."""

    def fail() -> None:
        raise UnavailableError("store_unavailable", "gone")

    house.barrier.after_commit = fail
    with pytest.raises(UnavailableError):
        await house.mount("a")
    assert house.book.get("a/") is not None


async def test_visible(house: House) -> None:
    """The mounts in which the caller may do anything."""
    a = await house.mount("a")
    await house.mount("b")
    house.authorizer.folders = {"a/"}
    assert await house.do("visible", "sys/internal/ui/mounts") == [a]


async def test_preflight(house: House) -> None:
    """The mount of a path; 403 comes before 404, so that nobody probes for mounts."""
    a = await house.mount("a")
    assert await house.do("preflight", "a/x/y") == await house.do("preflight", "a") == a
    with pytest.raises(NotFoundError):
        await house.do("preflight", "none/x")
    house.authorizer.folders = set()
    for path in ("a/x", "none/x"):
        with pytest.raises(AuthorizationError):
            await house.do("preflight", path)


async def test_a_change_that_is_stored_late_is_followed(house: House) -> None:
    """One that was told as timed out and stored long after is in the book at the next request."""
    await house.nouns.snapshot.reload()
    await house.mount("a")
    assert not house.nouns.snapshot.is_stale
    row = replace(house.book.list_mounts()[0], path="b/", id="b", accessor="b")
    await house.barrier.transact(lambda tx: tx.put(MOUNTS, row))
    assert house.nouns.snapshot.is_stale
    await house.nouns.snapshot.refresh()
    assert not house.nouns.snapshot.is_stale
    assert [mount.path for mount in house.book.list_mounts()] == ["a/", "b/"]


async def test_what_cannot_be_read_back_is_stored_all_the_same(house: House) -> None:
    """The mount is told as made, and the book as stale: nothing is decided by it."""

    async def gone(*_: object) -> list[Any]:
        raise UnavailableError("store_unavailable", "gone")

    await house.nouns.snapshot.reload()
    select, house.barrier.select = house.barrier.select, gone  # type: ignore[method-assign]  # the database fails
    assert (await house.mount("a")).path == "a/"
    assert house.nouns.snapshot.is_stale
    house.barrier.select = select  # type: ignore[method-assign]  # and is back
    await house.nouns.snapshot.refresh()
    assert house.book.get("a/") is not None
