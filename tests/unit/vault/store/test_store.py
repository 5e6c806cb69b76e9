"""vault.store.store: small promises; the large ones are in tests/contract/store/test_store.py."""

import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from actors import Failure, SystemWorld
from actors.testing import FakeWorld
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.samples import StampGuard, put, secret, system, version
from vault.errors import TamperedError, UnavailableError, ValidationError
from vault.store.committer import NO_DEADLINE
from vault.store.interface import NOTHING_STORED, UNKNOWN, BackendError
from vault.store.memory import MemoryBackend
from vault.store.query_runner import MAX_PREFETCH
from vault.store.row_cache import CacheConfig, RowCache
from vault.store.sqlite import SqliteBackend
from vault.store.store import Store, open_store
from vault.store.table import StoreQuery
from vault.store.tables import SECRETS, SYSTEM, VERSIONS
from vault.store.transaction import transact


async def test_simulated_world() -> None:
    """In a world without threads everything runs inline, so that a simulation is deterministic."""
    async with open_store(MemoryBackend(), StampGuard(), FakeWorld()) as store:
        assert await store.commit(lambda tx: tx.put(SYSTEM, system("a"))) is None
        assert await store.get(SYSTEM, "a") == system("a")
        assert await store.select(SYSTEM, StoreQuery()) == [system("a")]
        await store.check()


async def test_statistics() -> None:
    """Commits, and the cache's hits and loads, are counted."""
    backend = MemoryBackend()
    transact(backend, put(SYSTEM, system("a")))
    async with open_store(
        backend, StampGuard(), SystemWorld(), cache=CacheConfig(max_bytes=50_000)
    ) as store:
        await store.get(SYSTEM, "a")
        await store.get(SYSTEM, "a")
        await store.commit(put(SYSTEM, system("b")))
        stats = store.statistics()
        assert (stats.transactions, stats.changes, stats.largest) == (1, 1, 1)
        assert (stats.cache.misses, stats.cache.hits) == (1, 1)
        assert stats.cache.entries == 2
        assert stats.cache.max_bytes == 50_000
        writer = store.tree().children[0]
        assert (writer.name, writer.handled) == ("store/writer", 1)


def here(store: Store, changes: list[Any]) -> Any:
    """Committed in this thread, whenever."""
    return store.commit_in_thread(changes, deadline=NO_DEADLINE)


async def test_changes_are_committed_in_the_thread_that_asks() -> None:
    """And are there for whoever reads behind it; the writer's own are beside them."""
    async with open_store(MemoryBackend(), StampGuard(), SystemWorld()) as store:
        changes = [put(SYSTEM, system("a")), lambda _: 1 // 0, lambda _: 3]
        done: Any = await trio.to_thread.run_sync(here, store, changes)
        assert (done[0], type(done[1]), done[2]) == (None, Failure, 3)
        assert store.get_cached(SYSTEM, "a") == system("a")
        await store.commit(put(SYSTEM, system("b")))
        assert store.statistics().transactions == 2
        assert store.count_all_transactions() == 2


@pytest.mark.parametrize("outcome", [NOTHING_STORED, UNKNOWN])
async def test_a_database_that_fails_in_a_thread(
    outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing stored: it may be asked again, of the writer; else it is told, and the log has it."""
    backend = FaultyBackend(MemoryBackend())
    async with open_store(backend, StampGuard(), SystemWorld()) as store:
        backend.faults = [("flush", BackendError("store_full", "no room", outcome))]
        asked = trio.to_thread.run_sync(here, store, [put(SYSTEM, system("a"))])
        if outcome == NOTHING_STORED:
            assert await asked is None
        else:
            with pytest.raises(BackendError):
                await asked
        told = "a transaction may be stored or not: store_full: no room" in caplog.text
        assert told is (outcome == UNKNOWN)
        assert await trio.to_thread.run_sync(here, store, [lambda _: 1]) == [1]


async def test_a_store_that_only_reads_commits_in_no_thread_either() -> None:
    """Another process does."""
    async with open_store(MemoryBackend(), StampGuard(), SystemWorld(), writes=False) as store:
        with pytest.raises(UnavailableError, match="another process writes"):
            here(store, [put(SYSTEM, system("a"))])


async def test_a_store_is_closed_behind_the_transaction_of_a_thread() -> None:
    """And not within it: its connection would go from under it."""
    backend, begun, may = MemoryBackend(), threading.Event(), threading.Event()
    open_at_end: list[bool] = []

    def slow(_: Any) -> None:
        begun.set()
        assert may.wait(5)
        open_at_end.append(backend.is_open)

    async with (
        trio.open_nursery() as nursery,
        open_store(backend, StampGuard(), SystemWorld()) as store,
    ):
        nursery.start_soon(trio.to_thread.run_sync, here, store, [slow])
        assert await trio.to_thread.run_sync(begun.wait, 5)
        threading.Timer(0.05, may.set).start()
    assert open_at_end == [True]
    assert not backend.is_open
    assert here(store, [slow]) is None


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
async def test_a_query_checks_each_row_once(ask: Ask) -> None:
    """What is cached was checked when it came."""
    backend, guard = MemoryBackend(), CountingGuard()
    names = [f"app/{number}" for number in range(4)]
    transact(backend, put(SECRETS, *map(secret, names)), guard)
    query = StoreQuery(prefix=("name", "app/"), limit=3)
    async with open_store(backend, guard, FakeWorld()) as store:
        for name in names[:3]:
            assert await ask(store, query) == names[:3]
            await store.get(SECRETS, name)
        guard.checks = 0
        assert await ask(store, query) == names[:3]
        assert guard.checks == 0
    async with open_store(backend, guard, FakeWorld(), cache=CacheConfig(max_bytes=0)) as store:
        await ask(store, query)
        assert guard.checks == 3


@both
async def test_what_is_asked_for_again_is_there(ask: Ask) -> None:
    """A query brings in some of the rows that are not cached, and no more at a time."""
    backend, guard, cache = MemoryBackend(), CountingGuard(), RowCache()
    names = [f"app/{number:03}" for number in range(MAX_PREFETCH + 9)]
    transact(backend, put(SECRETS, *map(secret, names)), guard)
    query = StoreQuery(prefix=("name", "app/"))
    async with open_store(backend, guard, FakeWorld(), cache=cache) as store:
        checks = []
        for _ in range(3):
            guard.checks = 0
            assert await ask(store, query) == names
            checks.append((guard.checks, cache.statistics().entries))
        assert checks == [
            (2 * MAX_PREFETCH + 9, MAX_PREFETCH),
            (9, MAX_PREFETCH + 9),
            (0, MAX_PREFETCH + 9),
        ]
        assert cache.statistics().misses == 0


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


async def test_who_has_no_second_view_brings_nothing_in() -> None:
    """The one that asks has one already, and would wait for itself."""
    backend, guard, cache = MemoryBackend(), StampGuard(), RowCache()
    backend.readers = 3
    transact(backend, put(SECRETS, secret("app/0")), guard)
    async with open_store(backend, guard, FakeWorld(), cache=cache) as store:
        assert len(await store.select(SECRETS, StoreQuery())) == 1
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
