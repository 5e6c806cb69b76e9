"""The contract of `Store`: what a caller is told, and what is there afterwards."""

import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.harness import cached, opened, together
from tests.contract.store.samples import (
    next_version,
    put,
    remove,
    secret,
    system,
    user,
    version,
)
from vault.errors import TamperedError, UnavailableError, ValidationError
from vault.store.interface import UNKNOWN, ConstraintError, StoreBackend, WriteSet
from vault.store.row_cache import MISSING
from vault.store.store import MAX_WAITING, Store
from vault.store.table import RankedQuery, StoreQuery
from vault.store.tables import ACCESS, SECRETS, SYSTEM, USERS, VERSIONS
from vault.store.transaction import StoreTx, transact


@pytest.fixture
async def store(backend: StoreBackend) -> AsyncIterator[Store]:
    """One for the whole test."""
    async with opened(backend) as made:
        yield made


@pytest.fixture
async def caching(backend: StoreBackend) -> AsyncIterator[Store]:
    """As `store`; where others may write, too, it follows the change feed."""
    async with opened(backend, **cached(backend)) as made:
        yield made


class TestReads:
    """What a reader finds."""

    async def test_after_commit(self, caching: Store) -> None:
        """After an acknowledged commit everybody sees it: get, cached and select."""
        assert await caching.get(SECRETS, "a") is None
        assert caching.get_cached(SECRETS, "a") is None
        await caching.commit(put(SECRETS, secret("a")))
        row = await caching.get(SECRETS, "a")
        assert row is not None
        assert caching.get_cached(SECRETS, "a") == row
        assert await caching.select(SECRETS, StoreQuery()) == [row]
        await caching.commit(remove(SECRETS, "a"))
        assert caching.get_cached(SECRETS, "a") is None
        assert await caching.get(SECRETS, "a") is None
        assert await caching.select(SECRETS, StoreQuery()) == []

    async def test_unknown_until_loaded(self, backend: StoreBackend, caching: Store) -> None:
        """`cached` says that it does not know rather than that there is nothing."""
        transact(backend, put(SYSTEM, system("a")))
        assert caching.get_cached(SYSTEM, "a") is MISSING
        assert await caching.get(SYSTEM, "a") == system("a")
        assert caching.get_cached(SYSTEM, "a") == system("a")

    async def test_bad_query(self, store: Store) -> None:
        """A value that no row can have is the request's fault, a column that is none the code's."""
        with pytest.raises(ValidationError):
            await store.select(VERSIONS, StoreQuery(equals={"version": 2**70}))
        with pytest.raises(ValueError, match="limit"):
            await store.select(VERSIONS, StoreQuery(limit=1001))

    async def test_tampered_row(self, backend: StoreBackend, store: Store) -> None:
        """A row that fails its guard is refused by name, each time; the others can be read."""
        await store.commit(put(SECRETS, secret("good"), secret("other")))
        forged = secret("bad", mac=b"forged")
        backend.write(lambda _: WriteSet(inserts={SECRETS: [forged]}))
        for _ in range(2):
            with pytest.raises(TamperedError) as caught:
                await store.get(SECRETS, "bad")
            assert caught.value.details == {"table": "secrets", "key": ("bad",)}
        assert store.get_cached(SECRETS, "bad") is MISSING
        with pytest.raises(TamperedError) as caught:
            await store.select(SECRETS, StoreQuery())
        assert caught.value.details == {"table": "secrets", "key": ("bad",)}
        found = await store.select(SECRETS, StoreQuery(prefix=("name", "g")))
        assert [row.name for row in found] == ["good"]
        with pytest.raises(TamperedError):
            await store.commit(lambda tx: tx.get(SECRETS, "bad"))
        await store.commit(remove(SECRETS, "bad"))
        assert len(await store.select(SECRETS, StoreQuery())) == 2

    async def test_overtaken_load(self, backend: StoreBackend) -> None:
        """An old row in a reader's hand never replaces the newer one of a commit meanwhile."""
        faulty, token = FaultyBackend(backend), trio.lowlevel.current_trio_token()
        async with opened(faulty, **cached(backend)) as store:
            transact(backend, put(SYSTEM, system("a", b"old")))

            def commit_meanwhile() -> None:
                faulty.on_read = lambda: None
                trio.from_thread.run(
                    store.commit, put(SYSTEM, system("a", b"new")), trio_token=token
                )

            faulty.on_read = commit_meanwhile
            assert await store.get(SYSTEM, "a") == system("a", b"old")
            assert store.get_cached(SYSTEM, "a") == system("a", b"new")
            assert await store.get(SYSTEM, "a") == system("a", b"new")

    async def test_overtaken_deletion(self, backend: StoreBackend) -> None:
        """Nor does it come back after it was deleted."""
        faulty, token = FaultyBackend(backend), trio.lowlevel.current_trio_token()
        async with opened(faulty, **cached(backend)) as store:
            transact(backend, put(SYSTEM, system("a", b"old")))

            def delete_meanwhile() -> None:
                faulty.on_read = lambda: None
                trio.from_thread.run(store.commit, remove(SYSTEM, "a"), trio_token=token)

            faulty.on_read = delete_meanwhile
            await store.get(SYSTEM, "a")
            assert store.get_cached(SYSTEM, "a") is None

    async def test_queries_of_a_moment(self, backend: StoreBackend) -> None:
        """A file is asked by one who asks all of them in one view; a server by each for himself."""
        for faulty in (FaultyBackend(backend), FaultyBackend(_Shared(backend))):
            async with opened(faulty) as store:
                await store.commit(put(SYSTEM, system("a")))
                before, may = faulty.reads, threading.Event()
                found: list[object] = []

                async def look(store: Store = store, found: list[object] = found) -> None:
                    found.append(await store.select(SYSTEM, StoreQuery()))

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(store._run_query, SYSTEM, lambda _, may=may: may.wait(60))
                    await wait_all_tasks_blocked()
                    for _ in range(3):
                        nursery.start_soon(look)
                    if faulty.queries_in_turn:
                        await wait_all_tasks_blocked()
                        assert not found
                    may.set()
                assert found == [[system("a")]] * 3
                assert faulty.reads - before == (2 if faulty.queries_in_turn else 4)

    @pytest.mark.parametrize("large", ["ranking", "values"])
    async def test_what_takes_long_is_in_no_querys_way(
        self, backend: StoreBackend, large: str
    ) -> None:
        """It looks at every row, or at values; others are answered beside it."""
        async with opened(backend) as store, trio.open_nursery() as nursery:
            rank, may = store._query_in_view, threading.Event()

            def held(*question: Any) -> Any:
                may.wait(60)
                return rank(*question)

            store._query_in_view = held
            by = RankedQuery(table=SECRETS, link="id", by=ACCESS, column="last_value_read", limit=1)
            if backend.queries_in_turn:
                if large == "ranking":
                    nursery.start_soon(store.select_ranked, by)
                else:
                    nursery.start_soon(store.select, VERSIONS, StoreQuery())
                await wait_all_tasks_blocked()
                assert await store.select(SYSTEM, StoreQuery()) == []
            may.set()

    async def test_who_asks_too_late_or_too_much(self, backend: StoreBackend) -> None:
        """Is told so: a query that was not answered in time, and one for which there is no room."""
        if not backend.queries_in_turn:
            return
        async with opened(backend) as store, trio.open_nursery() as nursery:
            may = threading.Event()
            nursery.start_soon(store._run_query, SYSTEM, lambda _: may.wait(60))
            await wait_all_tasks_blocked()
            for _ in range(MAX_WAITING):
                nursery.start_soon(store.select, SYSTEM, StoreQuery())
            await wait_all_tasks_blocked()
            with pytest.raises(UnavailableError, match="store_busy"):
                await store.select(SYSTEM, StoreQuery())
            may.set()

    async def test_shared_database_is_not_cached(self, backend: StoreBackend) -> None:
        """Where others write too, every read asks the database."""
        shared = _Shared(backend)
        async with opened(shared) as store:
            await store.commit(put(SYSTEM, system("a", b"1")))
            assert store.get_cached(SYSTEM, "a") is MISSING
            transact(backend, put(SYSTEM, system("a", b"2")))
            assert await store.get(SYSTEM, "a") == system("a", b"2")
            assert await store.commit(lambda tx: tx.get(SYSTEM, "a")) == system("a", b"2")


class TestCommits:
    """What a change does, and what its neighbours notice of it."""

    async def test_result(self, store: Store) -> None:
        """A commit returns what the change returned."""
        assert await store.commit(next_version("a")) == 1
        assert await store.commit(next_version("a")) == 2

    async def test_group(self, store: Store) -> None:
        """Changes that come together share transactions, and each sees those before it."""
        assert await together(store, *[next_version("a")] * 200) == list(range(1, 201))
        stats = store.statistics()
        assert stats.changes == 201
        assert stats.transactions == 2
        assert stats.largest == 200
        versions = await store.select(VERSIONS, StoreQuery())
        assert [row.version for row in versions] == list(range(1, 201))

    async def test_raising_change(self, store: Store) -> None:
        """A change that raises leaves no trace; its neighbours in the batch are stored."""

        def bad(tx: StoreTx) -> None:
            tx.put(SYSTEM, system("bad"))
            tx.put(SYSTEM, system("a", b"bad"))
            tx.delete(SYSTEM, "b")
            raise ZeroDivisionError

        outcomes = await together(
            store,
            put(SYSTEM, system("a"), system("b")),
            bad,
            put(SYSTEM, system("c")),
            lambda tx: tx.select(SYSTEM, StoreQuery()),
        )
        assert isinstance(outcomes[1], ZeroDivisionError)
        assert [o for i, o in enumerate(outcomes[:3]) if i != 1] == [None, None]
        assert [row.name for row in await store.select(SYSTEM, StoreQuery())] == [*"abc"]
        assert await store.get(SYSTEM, "a") == system("a")
        assert store.get_cached(SYSTEM, "bad") is MISSING

    async def test_impossible_row(self, store: Store) -> None:
        """A row that no database can hold is refused by name, before it can hurt its neighbours."""
        rows = [system("\ud800"), system("x" * 513), system("ä" * 257), system("a\0")]
        outcomes = await together(
            store,
            *(put(SYSTEM, row) for row in rows),
            put(VERSIONS, version("s", 2**63)),
            put(SECRETS, secret("s", metadata={"k": "\ud800"})),
            put(SYSTEM, system("x" * 512)),
        )
        assert [type(o) for o in outcomes] == [ValidationError] * 6 + [type(None)]
        assert outcomes[4].details == {"field": "version"}

    async def test_contradiction(self, store: Store) -> None:
        """Changes that contradict the schema are told so; their neighbours are stored."""
        good = [put(SYSTEM, system(f"{i}")) for i in range(20)]
        bad = [put(USERS, user("bob", name_key="ann")), put(VERSIONS, version("nobody", 1))]
        outcomes = await together(
            store, put(USERS, user("ann")), *good[:7], bad[0], *good[7:12], bad[1], *good[12:]
        )
        assert [i for i, o in enumerate(outcomes) if isinstance(o, ConstraintError)] == [8, 14]
        assert outcomes.count(None) == 21
        assert len(await store.select(SYSTEM, StoreQuery())) == 20
        assert [row.id for row in await store.select(USERS, StoreQuery())] == ["ann"]
        assert store.get_cached(USERS, "bob") is not None  # not "known to be absent"
        assert await store.get(USERS, "bob") is None

    async def test_cancelled(self, store: Store) -> None:
        """A commit that is withdrawn before its turn is never stored."""
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.commit(put(SYSTEM, system("a")))
        assert scope.cancelled_caught
        await store.commit(put(SYSTEM, system("b")))
        assert [row.name for row in await store.select(SYSTEM, StoreQuery())] == ["b"]

    async def test_too_late(self, store: Store) -> None:
        """A deadline that passed is unavailability, with an outcome that says what is known."""
        with pytest.raises(UnavailableError) as caught:
            await store.commit(put(SYSTEM, system("a")), deadline=0)
        assert caught.value.code == "store_timeout"
        assert caught.value.details == {"outcome": UNKNOWN}

    async def test_too_many(self, store: Store) -> None:
        """When the queue is full the caller is told at once, and that nothing was stored."""
        all_are_there = threading.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.commit, lambda _: all_are_there.wait(60))
            await wait_all_tasks_blocked()
            for _ in range(MAX_WAITING):
                nursery.start_soon(store.commit, lambda _: None)
            await wait_all_tasks_blocked()
            with pytest.raises(UnavailableError) as caught:
                await store.commit(lambda _: None)
            all_are_there.set()
        assert caught.value.code == "store_busy"
        assert caught.value.details == {"outcome": "none"}
        await store.commit(put(SYSTEM, system("a")))

    async def test_bulk(self, store: Store) -> None:
        """A change may read and write thousands of rows: counters are flushed so."""
        names = [f"{i:04}" for i in range(3000)]
        await store.commit(put(SYSTEM, *(system(name) for name in names)))

        def flush(tx: StoreTx) -> int:
            rows = tx.get_many(SYSTEM, [(name,) for name in [*names, "none"]])
            for row in rows.values():
                tx.put(SYSTEM, system(row.name, row.value + b"!"))
            return len(rows)

        assert await store.commit(flush) == 3000
        page = await store.select(SYSTEM, StoreQuery(after=("2000",)))
        assert {row.value for row in page} == {b"value!"}


class TestLife:
    """Who opens, closes."""

    async def test_opens_and_closes(self, backend: StoreBackend) -> None:
        """A closed backend is opened for the block; an open one is left open."""
        async with opened(backend):
            pass
        assert backend.is_open
        backend.close()
        async with opened(backend) as store:
            assert backend.is_open
            await store.commit(put(SYSTEM, system("a")))
        assert not backend.is_open
        async with opened(backend) as store:
            assert await store.get(SYSTEM, "a") == system("a")
            await store.check()
            assert store.tree().children[0].name == "store/writer"

    async def test_queue_is_served_at_the_end(self, backend: StoreBackend) -> None:
        """What was asked before the store closes is stored."""
        async with trio.open_nursery() as nursery, opened(backend) as store:
            for i in range(300):
                nursery.start_soon(store.commit, put(SYSTEM, system(f"{i}")))
            await wait_all_tasks_blocked()
        with backend.read() as session:
            assert len(session.select(SYSTEM, StoreQuery())) == 300


class _Shared(FaultyBackend):
    exclusive = False  # type: ignore[assignment]  # as a database that several agents write
    queries_in_turn = False  # type: ignore[assignment]
