"""vault.store.store: small promises; the large ones are in tests/contract/store/test_store.py."""

import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace
from trio.testing import wait_all_tasks_blocked

from actors import SystemWorld
from actors.testing import FakeWorld
from protocols.instant import MAX_NS, SECOND
from tests.contract.store.samples import StampGuard, put, secret, system, version
from vault.errors import TamperedError, UnavailableError, ValidationError
from vault.store.change_feed import FedChanges
from vault.store.interface import BackendError, StoreSession, WriteSet
from vault.store.memory import MemoryBackend
from vault.store.memory_only import use_memory_only
from vault.store.row_cache import CacheConfig, RowCache
from vault.store.row_index import RowIndex, RowIndexBuilder
from vault.store.sqlite import SqliteBackend
from vault.store.store import RETRY_INTERVAL, Store, open_store
from vault.store.table import StoreQuery
from vault.store.tables import SECRETS, SYSTEM, VERSIONS
from vault.store.transaction import TransactionBatch, transact

SHORT, MANY, LONG = 0.1, 100, 60.0  # seconds for a look, looks, seconds on a busy machine


async def test_simulated_world() -> None:
    """In a world without threads everything runs inline, so that a simulation is deterministic."""
    async with open_store(MemoryBackend(), StampGuard(), FakeWorld()) as store:
        assert await store.commit(lambda tx: tx.put(SYSTEM, system("a"))) is None
        assert await store.get(SYSTEM, "a") == system("a")
        assert await store.select(SYSTEM, StoreQuery()) == [system("a")]
        await store.check()


class FailingBackend(MemoryBackend):
    """Takes no change while `refuses`."""

    refuses = False

    def write(self, apply: Callable[[StoreSession], WriteSet]) -> None:
        """As the memory's, or refused."""
        if self.refuses:
            raise BackendError("store_unavailable", "the disk is full")
        super().write(apply)


async def test_a_store_that_failed_notices_its_recovery_without_a_caller() -> None:
    """The alert ends although nobody writes: a machine that was refused has turned away."""
    backend, world = FailingBackend(), FakeWorld()
    async with open_store(backend, StampGuard(), world, report=lambda _: None) as store:
        backend.refuses = True
        with pytest.raises(UnavailableError, match="disk is full"):
            await store.commit(lambda tx: tx.put(SYSTEM, system("a")))
        backend.refuses = False
        with trio.fail_after(LONG):
            while store.is_failing:
                await wait_all_tasks_blocked()
                world.advance(RETRY_INTERVAL)


Ask = Callable[[Store, StoreQuery], Awaitable[list[str]]]


async def _selected(store: Store, query: StoreQuery) -> list[str]:
    return [row.name for row in await store.select(SECRETS, query)]


async def _checked(store: Store, query: StoreQuery) -> list[str]:
    return [str(name) for (name,) in await store.select_checked_keys(SECRETS, query)]


both = pytest.mark.parametrize("ask", [_selected, _checked])


class CountingGuard(StampGuard):
    """Counts the rows that are checked."""

    checks = 0

    def check(self, table: str, row: Any) -> None:
        """One more."""
        self.checks += 1
        super().check(table, row)


@both
async def test_what_was_brought_in_counts_if_it_is_what_the_query_has_seen(ask: Ask) -> None:
    """It comes from another view of the database, which may be of a later moment."""
    backend, guard = MemoryBackend(), CountingGuard()
    transact(backend, put(SECRETS, secret("app/0"), secret("app/1")), guard)
    stored = guard.stamp(SECRETS.name, secret("app/1"))
    for first, checks in (("u2", 2), ("u1", 0)):
        row = guard.stamp(SECRETS.name, secret("app/0", created_by=first))
        async with open_store(backend, guard, FakeWorld()) as store:
            brought = {("app/0",): row, ("app/1",): stored}
            store._cache_loader.prefetch = lambda *_, brought=brought: brought  # type: ignore[method-assign]
            guard.checks = 0
            assert await ask(store, StoreQuery()) == ["app/0", "app/1"]
            assert guard.checks == checks
            rows = await store.select(SECRETS, StoreQuery())
            assert [row.created_by for row in rows] == ["u1", "u1"]


async def test_a_value_that_no_row_has() -> None:
    """It is told before anything is asked."""
    async with open_store(MemoryBackend(), StampGuard(), FakeWorld()) as store:
        for asked in (store.select, store.select_keys, store.select_checked_keys):
            with pytest.raises(ValidationError):
                await asked(SECRETS, StoreQuery(prefix=("name", "a\0")))


async def test_values_are_not_brought_in() -> None:
    """Whoever looks at all versions, as a rotation does, pushes nothing out."""
    backend, guard, cache = MemoryBackend(), StampGuard(), RowCache()
    transact(backend, put(SECRETS, secret("app/0", id="i")), guard)
    transact(backend, put(VERSIONS, version("i", 1), version("i", 2)), guard)
    async with open_store(backend, guard, FakeWorld(), cache=cache) as store:
        assert [row.version for row in await store.select(VERSIONS, StoreQuery())] == [1, 2]
        assert cache.statistics().entries == 0


@both
@pytest.mark.parametrize("ahead", [None, secret("app/0", created_by="u2")])
async def test_a_query_is_of_one_moment(ahead: Any, ask: Ask) -> None:
    """Where the cache has other rows than the database's view, the view says what they are.

    The cache hears of a commit a moment later, and is ahead of a view that was opened before.
    """
    backend, cache, guard = MemoryBackend(), RowCache(), StampGuard()
    transact(backend, put(SECRETS, secret("app/0"), secret("app/1")), guard)
    query = StoreQuery(equals={"created_by": "u1"}, limit=2)
    async with open_store(backend, guard, FakeWorld(), cache=cache) as store:
        whole = await store.select(SECRETS, query)
        cache.apply_commit([(SECRETS, ("app/1",), whole[1])])
        other = None if ahead is None else guard.stamp(SECRETS.name, ahead)
        cache.apply_commit([(SECRETS, ("app/0",), other)])
        assert await store.select(SECRETS, query) == whole
        assert await ask(store, query) == ["app/0", "app/1"]


@both
@pytest.mark.parametrize("bytes_", [0, 50_000])
async def test_a_query_refuses_a_row_that_somebody_else_wrote(bytes_: int, ask: Ask) -> None:
    """What fails its guard is told, with a cache and without one."""
    backend, guard = MemoryBackend(), StampGuard()
    transact(backend, put(SECRETS, secret("app/0")), _Forger())
    cache = CacheConfig(max_bytes=bytes_)
    async with open_store(backend, guard, FakeWorld(), cache=cache) as store:
        with pytest.raises(TamperedError):
            await ask(store, StoreQuery())


class _Forger(StampGuard):
    """Does not know the key."""

    def _mac(self, table: str, row: Any) -> bytes:
        return b"guess" + super()._mac(table, row)


async def test_what_is_over_is_counted_whatever_it_changed() -> None:
    """When a change is acknowledged it is in both counts, so nobody goes by what was before."""
    async with open_store(MemoryBackend(), StampGuard(), FakeWorld()) as store:
        assert store.count_all_transactions() == 0
        await store.commit(put(SYSTEM, system("a")))
        await store.commit(put(SYSTEM, system("b")))
        assert (store.count_all_transactions(), store.count_transactions(SYSTEM, "a")) == (2, 1)


@both
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE secrets SET name = CAST('b' AS BLOB) WHERE name = 'b'",
        "UPDATE secrets SET mac = 'text' WHERE name = 'b'",
        "UPDATE secrets SET created_at = 'text', mac = x'00' WHERE name = 'b'",
    ],
)
async def test_a_query_tells_a_damaged_row_as_one(tmp_path: Path, statement: str, ask: Ask) -> None:
    """Whatever cell it is, the error names table and row, though the others are cached."""
    file = tmp_path / "vault.db"
    backend = SqliteBackend(f"sqlite:///{file}")
    async with open_store(backend, StampGuard(), SystemWorld()) as store:
        await store.commit(put(SECRETS, secret("a"), secret("b")))
        assert len(await ask(store, StoreQuery())) == 2
        with closing(sqlite3.connect(file)) as other:
            other.execute(statement)
            other.commit()
        with pytest.raises(TamperedError) as raised:
            await ask(store, StoreQuery())
        assert raised.value.details["table"] == "secrets"


class SilentBackend(MemoryBackend):
    """A shared database that does not answer until it is told to."""

    exclusive = False
    look_seconds = LONG

    def __init__(self) -> None:
        super().__init__()
        self.answers = threading.Event()
        self.answers.set()

    def read_head(self) -> bytes:
        """Once it answers."""
        self.answers.wait()
        return super().read_head()


class LoneStamper:
    """Of a database that nobody else writes."""

    commits = 0
    written = b""

    def stamp(self, batch: TransactionBatch) -> None:
        """Nothing."""

    def on_durable(self) -> None:
        """Nothing."""

    def catch_up(
        self, _session: StoreSession, *, most: int | None = None
    ) -> list[list[FedChanges]]:
        """Nothing."""
        _ = most
        return []

    def count_rows(self, *_: object) -> None:
        """Nothing."""

    def resume(self, _: object) -> None:
        """Nothing."""


async def test_how_stale_it_is() -> None:
    """By both clocks, since the last look that was answered, and the node's last commit."""
    backend, world = SilentBackend(), FakeWorld()
    async with open_store(backend, StampGuard(), world, stamper=LoneStamper()) as store:
        assert store.staleness() == MAX_NS
        await store.catch_up()
        assert store.staleness() == 0
        world.advance(2.0)
        assert store.staleness() == 2 * SECOND
        world.step_wall(5.0)  # as of a machine that was suspended
        assert store.staleness() == 7 * SECOND
        await store.catch_up()
        assert store.staleness() == 0
        committed = world.uptime()
        store.committed_at = lambda: committed
        world.advance(3.0)
        await store.catch_up()
        assert store.staleness() == 3 * SECOND


async def test_memory_alone() -> None:
    """What is cached is answered, a list if all of its folder is; nothing else, and no change."""
    cache, index = RowCache(), RowIndex(RowIndexBuilder())
    async with open_store(
        MemoryBackend(), StampGuard(), SystemWorld(), cache=cache, index=index
    ) as store:
        await store.commit(put(SECRETS, *map(secret, ("k/b", "k/a", "k/c/d", "l/a", "l/b"))))
        below = StoreQuery(prefix=("name", "k/"))
        for name in ("k/a", "k/c/d", "k/b"):
            await store.get(SECRETS, name)
        with use_memory_only():
            assert (await store.get(SECRETS, "k/a")) is not None
            assert [row.name for row in await store.select(SECRETS, below)] == [
                "k/a",
                "k/b",
                "k/c/d",
            ]
            page = replace(below, after=("k/a",), limit=1)
            assert await store.select_checked_keys(SECRETS, page) == [("k/b",)]
            found = await store.select(SECRETS, StoreQuery(prefix=("name", "none/")))
            assert found == []
            cache.invalidate([(SECRETS, ("l/a",), None)])  # as if it had made room
            with pytest.raises(UnavailableError, match="not in memory"):
                await store.get(SECRETS, "l/a")
            for query in (StoreQuery(prefix=("name", "l/")), StoreQuery(), StoreQuery(limit=1)):
                with pytest.raises(UnavailableError, match="not in memory"):
                    await store.select(SECRETS, query)
            with pytest.raises(UnavailableError, match="not in memory"):
                await store.commit(put(SECRETS, secret("new")))
        assert await store.get(SECRETS, "l/a") is not None


async def test_nobody_waits_behind_a_look_without_an_answer() -> None:
    """A request may look several times: they cost it one time-out together."""
    backend = SilentBackend()
    async with open_store(backend, StampGuard(), SystemWorld(), stamper=LoneStamper()) as store:
        await store.catch_up()
        backend.answers.clear()
        backend.look_seconds = SHORT
        try:
            with trio.fail_after(MANY * SHORT / 2):
                for _ in range(MANY):
                    with pytest.raises(UnavailableError):
                        await store.catch_up()
            assert "in time" in store.outage
        finally:
            backend.answers.set()
        backend.look_seconds = LONG
        await store.catch_up()
        assert not store.outage
