"""The contract of `Store`: what a caller is told, and what is there afterwards."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors import SystemWorld
from actors.report import FailureReport
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.samples import (
    StampGuard,
    next_version,
    put,
    remove,
    secret,
    system,
    user,
    version,
)
from vault.errors import TamperedError, UnavailableError, ValidationError
from vault.store.cache import MISSING
from vault.store.interface import UNKNOWN, Backend, BackendError, ConstraintError
from vault.store.store import MAX_WAITING, Store, open_store
from vault.store.table import Query
from vault.store.tables import SECRETS, SYSTEM, USERS, VERSIONS
from vault.store.tx import Tx, transact

FULL = BackendError("store_full", "the disk of the database is full")
BROKEN = BackendError("store_unavailable", "the disk is gone", UNKNOWN)


@asynccontextmanager
async def opened(backend: Backend, **options: Any) -> AsyncIterator[Store]:
    """A store over real threads; failures of the writer are expected."""
    options = {"report": lambda _: None} | options
    async with open_store(backend, StampGuard(), SystemWorld(), **options) as store:
        yield store


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    """One for the whole test."""
    async with opened(backend) as made:
        yield made


async def together(store: Store, *changes: Callable[[Tx], Any]) -> list[Any]:
    """Commit all as one batch, in this order; what each returned or raised."""
    outcomes: list[Any] = [None] * len(changes)
    all_are_there = threading.Event()

    async def commit(i: int) -> None:
        try:
            outcomes[i] = await store.commit(changes[i])
        except Exception as error:  # noqa: BLE001  # the outcome is what the test looks at
            outcomes[i] = error

    async with trio.open_nursery() as nursery:
        # Whoever comes while a batch is written joins the next: so one is held until all have come.
        nursery.start_soon(store.commit, lambda _: all_are_there.wait(10))
        for i in range(len(changes)):
            await wait_all_tasks_blocked()
            nursery.start_soon(commit, i)
        await wait_all_tasks_blocked()
        all_are_there.set()
    return outcomes


class TestReads:
    """What a reader finds."""

    async def test_after_commit(self, store: Store) -> None:
        """After an acknowledged commit everybody sees it: get, cached and select."""
        assert await store.get(SECRETS, "a") is None
        assert store.cached(SECRETS, "a") is None
        await store.commit(put(SECRETS, secret("a")))
        row = await store.get(SECRETS, "a")
        assert row is not None
        assert store.cached(SECRETS, "a") is row
        assert await store.select(SECRETS, Query()) == [row]
        await store.commit(remove(SECRETS, "a"))
        assert store.cached(SECRETS, "a") is None
        assert await store.get(SECRETS, "a") is None
        assert await store.select(SECRETS, Query()) == []

    async def test_unknown_until_loaded(self, backend: Backend, store: Store) -> None:
        """`cached` says that it does not know rather than that there is nothing."""
        transact(backend, put(SYSTEM, system("a")))
        assert store.cached(SYSTEM, "a") is MISSING
        assert await store.get(SYSTEM, "a") == system("a")
        assert store.cached(SYSTEM, "a") == system("a")

    async def test_bad_query(self, store: Store) -> None:
        """A value that no row can have is the request's fault, a column that is none the code's."""
        with pytest.raises(ValidationError):
            await store.select(VERSIONS, Query(equals={"version": 2**70}))
        with pytest.raises(ValueError, match="limit"):
            await store.select(VERSIONS, Query(limit=1001))

    async def test_tampered_row(self, backend: Backend, store: Store) -> None:
        """A row that fails its guard is refused by name, each time; the others can be read."""
        await store.commit(put(SECRETS, secret("good"), secret("other")))
        forged = secret("bad", mac=b"forged")
        backend.write(lambda _: _inserting(forged))
        for _ in range(2):
            with pytest.raises(TamperedError) as caught:
                await store.get(SECRETS, "bad")
            assert caught.value.details == {"table": "secrets", "key": ("bad",)}
        assert store.cached(SECRETS, "bad") is MISSING
        with pytest.raises(TamperedError) as caught:
            await store.select(SECRETS, Query())
        assert caught.value.details == {"table": "secrets", "key": ("bad",)}
        found = await store.select(SECRETS, Query(prefix=("name", "g")))
        assert [row.name for row in found] == ["good"]
        with pytest.raises(TamperedError):
            await store.commit(lambda tx: tx.get(SECRETS, "bad"))
        await store.commit(remove(SECRETS, "bad"))
        assert len(await store.select(SECRETS, Query())) == 2

    async def test_overtaken_load(self, backend: Backend) -> None:
        """An old row in a reader's hand never replaces the newer one of a commit meanwhile."""
        faulty = FaultyBackend(backend)
        async with opened(faulty) as store:
            transact(backend, put(SYSTEM, system("a", b"old")))

            def commit_meanwhile() -> None:
                faulty.on_read = lambda: None
                trio.from_thread.run(store.commit, put(SYSTEM, system("a", b"new")))

            faulty.on_read = commit_meanwhile
            assert await store.get(SYSTEM, "a") == system("a", b"old")
            assert store.cached(SYSTEM, "a") == system("a", b"new")
            assert await store.get(SYSTEM, "a") == system("a", b"new")

    async def test_overtaken_deletion(self, backend: Backend) -> None:
        """Nor does it come back after it was deleted."""
        faulty = FaultyBackend(backend)
        async with opened(faulty) as store:
            transact(backend, put(SYSTEM, system("a", b"old")))

            def delete_meanwhile() -> None:
                faulty.on_read = lambda: None
                trio.from_thread.run(store.commit, remove(SYSTEM, "a"))

            faulty.on_read = delete_meanwhile
            await store.get(SYSTEM, "a")
            assert store.cached(SYSTEM, "a") is None

    async def test_shared_database_is_not_cached(self, backend: Backend) -> None:
        """Where others write too, every read asks the database."""
        shared = _Shared(backend)
        async with opened(shared) as store:
            await store.commit(put(SYSTEM, system("a", b"1")))
            assert store.cached(SYSTEM, "a") is MISSING
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
        versions = await store.select(VERSIONS, Query())
        assert [row.version for row in versions] == list(range(1, 201))

    async def test_raising_change(self, store: Store) -> None:
        """A change that raises leaves no trace; its neighbours in the batch are stored."""

        def bad(tx: Tx) -> None:
            tx.put(SYSTEM, system("bad"))
            tx.put(SYSTEM, system("a", b"bad"))
            tx.delete(SYSTEM, "b")
            raise ZeroDivisionError

        outcomes = await together(
            store,
            put(SYSTEM, system("a"), system("b")),
            bad,
            put(SYSTEM, system("c")),
            lambda tx: tx.select(SYSTEM, Query()),
        )
        assert isinstance(outcomes[1], ZeroDivisionError)
        assert [o for i, o in enumerate(outcomes[:3]) if i != 1] == [None, None]
        assert [row.name for row in await store.select(SYSTEM, Query())] == [*"abc"]
        assert await store.get(SYSTEM, "a") == system("a")
        assert store.cached(SYSTEM, "bad") is MISSING

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
        assert len(await store.select(SYSTEM, Query())) == 20
        assert [row.id for row in await store.select(USERS, Query())] == ["ann"]
        assert store.cached(USERS, "bob") is not None  # not "known to be absent"
        assert await store.get(USERS, "bob") is None

    async def test_cancelled(self, store: Store) -> None:
        """A commit that is withdrawn before its turn is never stored."""
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.commit(put(SYSTEM, system("a")))
        assert scope.cancelled_caught
        await store.commit(put(SYSTEM, system("b")))
        assert [row.name for row in await store.select(SYSTEM, Query())] == ["b"]

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
            nursery.start_soon(store.commit, lambda _: all_are_there.wait(10))
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

        def flush(tx: Tx) -> int:
            rows = tx.get_many(SYSTEM, [(name,) for name in [*names, "none"]])
            for row in rows.values():
                tx.put(SYSTEM, system(row.name, row.value + b"!"))
            return len(rows)

        assert await store.commit(flush) == 3000
        page = await store.select(SYSTEM, Query(after=("2000",)))
        assert {row.value for row in page} == {b"value!"}


class TestFaults:
    """The database fails: nothing acknowledged is lost, nothing half is done."""

    @pytest.mark.parametrize("stage", ["begin", "flush", "lost", "stored"])
    @pytest.mark.parametrize("fault", [FULL, BROKEN])
    async def test_each_stage(self, backend: Backend, stage: str, fault: BackendError) -> None:
        """All changes of the batch fail alike, the writer connects anew, the next are stored."""
        faulty = FaultyBackend(backend)
        reports: list[FailureReport] = []
        async with opened(faulty, report=reports.append) as store:
            await store.commit(put(SYSTEM, system("before", b"1")))
            connects = faulty.connects
            faulty.faults = [(stage, fault)]
            faulty.armed_from = faulty.transactions + 2  # the batch, not the one it waits for
            outcomes = await together(
                store, put(SYSTEM, system("a")), put(SYSTEM, system("before", b"2"))
            )
            assert all(isinstance(o, BackendError) and o.code == fault.code for o in outcomes)
            assert all(o.details == fault.details for o in outcomes)
            assert outcomes[0] is not outcomes[1]  # each caller's traceback is his own
            assert [report.failure for report in reports] == ["BackendError"]
            await store.commit(put(SYSTEM, system("after")))
            assert faulty.connects == connects + 1
            expected = {"before": b"1", "after": b"value"}
            if stage == "stored":
                expected |= {"a": b"value", "before": b"2"}
            rows = await store.select(SYSTEM, Query())
            assert {row.name: row.value for row in rows} == expected
            for name in ("a", "before"):
                row = await store.get(SYSTEM, name)
                assert expected.get(name) == (row.value if row else None)

    async def test_unknown_outcome_is_looked_up(self, backend: Backend) -> None:
        """After a commit of unknown outcome no row of it is answered from memory."""
        faulty = FaultyBackend(backend)
        async with opened(faulty) as store:
            await store.commit(put(SYSTEM, system("a", b"1")))
            faulty.faults = [("stored", BROKEN)]
            with pytest.raises(BackendError):
                await store.commit(put(SYSTEM, system("a", b"2")))
            assert store.cached(SYSTEM, "a") is MISSING
            assert await store.get(SYSTEM, "a") == system("a", b"2")

    async def test_fault_in_a_read_of_a_change(self, backend: Backend) -> None:
        """A change that meets the database's failure fails with it, and nothing of it is stored."""

        def failing(tx: Tx) -> None:
            tx.put(SYSTEM, system("a"))
            raise FULL

        async with opened(backend) as store:
            with pytest.raises(BackendError):
                await store.commit(failing)
            assert await store.get(SYSTEM, "a") is None

    async def test_halves(self, backend: Backend) -> None:
        """When the disk fails while a contradiction is looked for, those stored are told so."""
        faulty = FaultyBackend(backend)
        async with opened(faulty) as store:
            await store.commit(put(USERS, user("ann")))

            # After the one that is held and the whole: first half, its neighbour, the second half.
            faulty.faults = [("flush", FULL)]
            faulty.armed_from = faulty.transactions + 4
            outcomes = await together(
                store,
                put(SYSTEM, system("a")),
                put(SYSTEM, system("b")),
                put(SYSTEM, system("c")),
                put(USERS, user("bob", name_key="ann")),
            )
            assert outcomes[:2] == [None, None]
            assert [o.code for o in outcomes[2:]] == ["store_full", "store_full"]
            rows = await store.select(SYSTEM, Query())
            assert [row.name for row in rows] == ["a", "b"]

    async def test_long_outage(self, backend: Backend) -> None:
        """However often the disk is full, reads go on, and writes do once there is room."""
        faulty = FaultyBackend(backend)
        async with opened(faulty) as store:
            await store.commit(put(SYSTEM, system("a")))
            faulty.faults = [("flush", FULL)] * 5
            for _ in range(5):
                with pytest.raises(BackendError, match="full"):
                    await store.commit(put(SYSTEM, system("b")))
                assert await store.select(SYSTEM, Query()) == [system("a")]
            await store.commit(put(SYSTEM, system("b")))

    async def test_connect_fails(self, backend: Backend) -> None:
        """A writer that cannot connect is tried again; who waits is served then."""
        faulty = FaultyBackend(backend)
        async with opened(faulty) as store:
            faulty.faults = [("begin", BROKEN), ("connect", BROKEN), ("connect", BROKEN)]
            with pytest.raises(BackendError):
                await store.commit(put(SYSTEM, system("a")))
            await store.commit(put(SYSTEM, system("b")))
            assert await store.get(SYSTEM, "b") is not None

    async def test_read_fails(self, backend: Backend) -> None:
        """A failed read is an error of that read and is not remembered."""
        faulty = FaultyBackend(backend)
        async with opened(faulty) as store:
            transact(backend, put(SYSTEM, system("a")))
            faulty.faults = [("read", BROKEN), ("read", BROKEN)]
            with pytest.raises(BackendError):
                await store.get(SYSTEM, "a")
            with pytest.raises(BackendError):
                await store.select(SYSTEM, Query())
            assert await store.get(SYSTEM, "a") == system("a")


class TestLife:
    """Who opens, closes."""

    async def test_opens_and_closes(self, backend: Backend) -> None:
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

    async def test_queue_is_served_at_the_end(self, backend: Backend) -> None:
        """What was asked before the store closes is stored."""
        async with trio.open_nursery() as nursery, opened(backend) as store:
            for i in range(300):
                nursery.start_soon(store.commit, put(SYSTEM, system(f"{i}")))
            await wait_all_tasks_blocked()
        with backend.read() as session:
            assert len(session.select(SYSTEM, Query())) == 300


def _inserting(row: Any) -> Any:
    from vault.store.interface import Writes

    return Writes(inserts={SECRETS: [row]})


class _Shared(FaultyBackend):
    exclusive = False  # type: ignore[assignment]  # as a database that several agents write
