"""The contract of `Store` over a database that fails."""

import pytest

from actors.report import FailureReport
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.harness import opened, together
from tests.contract.store.samples import put, system, user
from vault.store.interface import UNKNOWN, BackendError, StoreBackend
from vault.store.row_cache import MISSING
from vault.store.table import StoreQuery
from vault.store.tables import SYSTEM, USERS
from vault.store.transaction import StoreTx, transact

FULL = BackendError("store_full", "the disk of the database is full")
BROKEN = BackendError("store_unavailable", "the disk is gone", UNKNOWN)


class TestFaults:
    """The database fails: nothing acknowledged is lost, nothing half is done."""

    @pytest.mark.parametrize("stage", ["begin", "flush", "lost", "stored"])
    @pytest.mark.parametrize("fault", [FULL, BROKEN])
    async def test_each_stage(self, backend: StoreBackend, stage: str, fault: BackendError) -> None:
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
            rows = await store.select(SYSTEM, StoreQuery())
            assert {row.name: row.value for row in rows} == expected
            for name in ("a", "before"):
                row = await store.get(SYSTEM, name)
                assert expected.get(name) == (row.value if row else None)

    async def test_unknown_outcome_is_looked_up(self, backend: StoreBackend) -> None:
        """After a commit of unknown outcome no row of it is answered from memory."""
        faulty = FaultyBackend(backend)
        async with opened(faulty) as store:
            await store.commit(put(SYSTEM, system("a", b"1")))
            faulty.faults = [("stored", BROKEN)]
            with pytest.raises(BackendError):
                await store.commit(put(SYSTEM, system("a", b"2")))
            assert store.get_cached(SYSTEM, "a") is MISSING
            assert await store.get(SYSTEM, "a") == system("a", b"2")

    async def test_fault_inside_a_change(self, backend: StoreBackend) -> None:
        """A change that meets the database's failure takes the whole transaction with it."""

        def failing(tx: StoreTx) -> None:
            tx.put(SYSTEM, system("a"))
            raise FULL  # as a read of the session would

        async with opened(backend) as store:
            outcomes = await together(
                store, put(SYSTEM, system("b")), failing, put(SYSTEM, system("c"))
            )
            assert [type(outcome) for outcome in outcomes] == [BackendError] * 3
            assert await store.select(SYSTEM, StoreQuery()) == []

    async def test_halves(self, backend: StoreBackend) -> None:
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
            rows = await store.select(SYSTEM, StoreQuery())
            assert [row.name for row in rows] == ["a", "b"]

    async def test_long_outage(self, backend: StoreBackend) -> None:
        """However often the disk is full, reads go on, and writes do once there is room."""
        faulty = FaultyBackend(backend)
        async with opened(faulty) as store:
            await store.commit(put(SYSTEM, system("a")))
            faulty.faults = [("flush", FULL)] * 5
            for _ in range(5):
                with pytest.raises(BackendError, match="full"):
                    await store.commit(put(SYSTEM, system("b")))
                assert await store.select(SYSTEM, StoreQuery()) == [system("a")]
            await store.commit(put(SYSTEM, system("b")))

    async def test_connect_fails(self, backend: StoreBackend) -> None:
        """A writer that cannot connect is tried again; who waits is served then."""
        faulty = FaultyBackend(backend)
        async with opened(faulty) as store:
            faulty.faults = [("begin", BROKEN), ("connect", BROKEN), ("connect", BROKEN)]
            with pytest.raises(BackendError):
                await store.commit(put(SYSTEM, system("a")))
            await store.commit(put(SYSTEM, system("b")))
            assert await store.get(SYSTEM, "b") is not None

    async def test_read_fails(self, backend: StoreBackend) -> None:
        """A failed read is an error of that read and is not remembered."""
        faulty = FaultyBackend(backend)
        async with opened(faulty) as store:
            transact(backend, put(SYSTEM, system("a")))
            faulty.faults = [("read", BROKEN), ("read", BROKEN)]
            with pytest.raises(BackendError):
                await store.get(SYSTEM, "a")
            with pytest.raises(BackendError):
                await store.select(SYSTEM, StoreQuery())
            assert await store.get(SYSTEM, "a") == system("a")
