"""vault.store.integrity_monitor: damage that an opening does not look for seals the vault."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.testing import FakeWorld
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.samples import StampGuard, put, user
from vault.errors import TamperedError, UnavailableError
from vault.store.integrity_monitor import (
    FOREIGN_CHECK_INTERVAL,
    FOREIGN_WRITE_CODE,
    FULL_CHECK_INTERVAL,
    WINDOW,
    monitor_integrity,
)
from vault.store.interface import BackendError, StoreSession
from vault.store.memory import MemoryBackend
from vault.store.row_cache import MISSING
from vault.store.store import Store, open_store
from vault.store.tables import MOUNTS, SYSTEM, USERS


class Reading(FaultyBackend):
    """Counts how often it was read through, and fails as it is told to."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend())
        self.readings = 0
        self.error: Exception | None = None
        self.foreign = 0
        self.is_away = False

    def foreign_writes(self) -> int:
        """As often as the test says."""
        if self.is_away:
            raise BackendError("store_unavailable", "away")
        return self.foreign

    def check(self) -> None:
        """Counted."""
        self.readings += 1
        if self.error is not None:
            raise self.error


class Watch:
    """Remembers what it is told; `error` is what the rows are found to be."""

    def __init__(self) -> None:
        self.seals = 0
        self.alerts = 0
        self.codes: list[str] = []
        self.counts = 0
        self.error: Exception | None = None
        self.unavailable = False

    def seal(self) -> None:
        """Counted."""
        self.seals += 1

    def alert(self) -> None:
        """Counted."""
        self.alerts += 1

    def begin_recount(self) -> Callable[[StoreSession], None]:
        """Counted."""

        def compare(session: StoreSession) -> None:
            assert session.get(SYSTEM, ("mark",)) is None
            self.counts += 1
            if self.error is not None:
                raise self.error

        return compare

    async def record(self, code: str, _what: str) -> None:
        """Kept, if there is room."""
        if self.unavailable:
            raise UnavailableError("audit_unavailable", "full")
        self.codes.append(code)


async def looked(error: Exception | None, days: int) -> tuple[int, int]:
    """How often it was read in so many days, and how often damage was told."""
    backend, world, watch = Reading(), FakeWorld(), Watch()
    backend.error = error
    async with (
        open_store(backend, StampGuard(), world) as store,
        monitor_integrity(store, watch, 0, world),
    ):
        for _ in range(days):
            await wait_all_tasks_blocked()
            world.advance(FULL_CHECK_INTERVAL)
        await wait_all_tasks_blocked()
    assert len(watch.codes) == watch.seals
    return backend.readings, watch.seals


async def test_it_is_read_at_once_and_daily() -> None:
    """A healthy one for as long as it is open."""
    assert await looked(None, 2) == (3, 0)


@pytest.mark.parametrize(
    "error",
    [BackendError("store_corrupt", "damaged"), TamperedError("storage_schema_changed", "changed")],
)
async def test_damage_is_told_once(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """With what it is, in the log of the process."""
    with caplog.at_level(logging.ERROR, "freehold.store"):
        assert await looked(error, 2) == (1, 1)
    assert error.args[0] in caplog.text or str(error) in caplog.text


async def test_a_database_that_does_not_answer_is_read_again() -> None:
    """Who needs it is told so."""
    assert await looked(BackendError("store_unavailable", "away"), 1) == (2, 0)


async def test_the_block_ends_while_it_is_read() -> None:
    """Nothing waits for the next reading."""
    backend, world = Reading(), FakeWorld()
    with trio.fail_after(30):
        async with (
            open_store(backend, StampGuard(), world) as store,
            monitor_integrity(store, Watch(), 0, world),
        ):
            await wait_all_tasks_blocked()


class Foreign:
    """A store with a watch, and somebody who writes beside it."""

    def __init__(self) -> None:
        self.backend, self.world, self.watch = Reading(), FakeWorld(), Watch()
        self.backend.foreign = 5  # before the opening, which has looked

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Store]:
        """It is looked at."""
        async with (
            open_store(self.backend, StampGuard(), self.world) as store,
            monitor_integrity(store, self.watch, 5, self.world),
        ):
            await wait_all_tasks_blocked()
            self.watch.counts = 0
            yield store
            await wait_all_tasks_blocked()

    async def writes(self, after: float = FOREIGN_CHECK_INTERVAL) -> None:
        """He does, and is seen."""
        self.backend.foreign += 1
        await self.looks(after)

    async def looks(self, after: float = FOREIGN_CHECK_INTERVAL) -> None:
        """The next look at the database is over."""
        self.world.advance(after)
        await wait_all_tasks_blocked()


async def test_a_write_of_somebody_else_goes_on_record_and_is_counted_after() -> None:
    """Within a second, once; what he wrote may be as it was."""
    foreign = Foreign()
    async with foreign.watched():
        await foreign.writes()
        for _ in range(5):
            foreign.world.advance(FOREIGN_CHECK_INTERVAL)
            await wait_all_tasks_blocked()
        assert (foreign.watch.codes, foreign.watch.counts) == ([FOREIGN_WRITE_CODE], 1)
    assert (foreign.watch.seals, foreign.watch.alerts) == (0, 1)


async def test_rows_that_differ_seal_the_vault() -> None:
    """The write is on record before, what it did after."""
    foreign = Foreign()
    foreign.watch.error = TamperedError("storage_rows_changed", "tokens")
    async with foreign.watched():
        watch = foreign.watch
        watch.codes, watch.seals, watch.alerts = [], 0, 0  # of the reading at once
        await foreign.writes()
    assert foreign.watch.codes == [FOREIGN_WRITE_CODE, "storage_rows_changed"]
    assert (foreign.watch.seals, foreign.watch.alerts) == (1, 2)


async def test_damage_that_cannot_be_recorded_is_an_alert_all_the_same() -> None:
    """The audit log's disk is full: the control plane is told in any case."""
    foreign = Foreign()
    foreign.watch.error = TamperedError("storage_rows_changed", "tokens")
    foreign.watch.unavailable = True
    async with foreign.watched():
        assert (foreign.watch.codes, foreign.watch.seals, foreign.watch.alerts) == ([], 1, 1)


async def test_who_writes_again_and_again_is_stopped() -> None:
    """At the third time in an hour: nobody has the agent do nothing but count."""
    foreign = Foreign()
    async with foreign.watched():
        for _ in range(5):
            await foreign.writes()
    assert foreign.watch.codes == [FOREIGN_WRITE_CODE] * 4
    assert (foreign.watch.counts, foreign.watch.seals) == (2, 1)


async def test_a_write_now_and_then_is_counted_after() -> None:
    """An administrator who compacts the file each hour finds his records, and an open vault."""
    foreign = Foreign()
    async with foreign.watched():
        for _ in range(5):
            await foreign.writes(after=WINDOW / 2)
    assert (foreign.watch.codes, foreign.watch.seals) == ([FOREIGN_WRITE_CODE] * 5, 0)


async def test_what_could_not_be_recorded_is_recorded_later() -> None:
    """It is not forgotten over a full disk."""
    foreign = Foreign()
    async with foreign.watched():
        foreign.watch.unavailable = True
        await foreign.writes()
        foreign.world.advance(FOREIGN_CHECK_INTERVAL)
        await wait_all_tasks_blocked()
        assert (foreign.watch.codes, foreign.watch.alerts) == ([], 0)
        foreign.watch.unavailable = False
        foreign.world.advance(FOREIGN_CHECK_INTERVAL)
        await wait_all_tasks_blocked()
        assert (foreign.watch.codes, foreign.watch.counts) == ([FOREIGN_WRITE_CODE], 1)
        assert foreign.watch.alerts == 1


async def test_the_end_looks_once_more() -> None:
    """What was written in the last second is on record as well."""
    foreign = Foreign()
    async with foreign.watched():
        foreign.backend.foreign += 1
    assert foreign.watch.codes == [FOREIGN_WRITE_CODE]


async def test_what_is_held_is_forgotten_before_anything_else() -> None:
    """A row that he put back may be in memory, and gone from the file when the rows are counted."""
    foreign = Foreign()
    async with foreign.watched() as store:
        await store.commit(put(USERS, user("ann")))
        assert store.get_cached(USERS, "ann") is not MISSING
        ended = store.count_transactions(MOUNTS)
        foreign.watch.unavailable = True  # it cannot even go on record
        await foreign.writes()
        assert store.get_cached(USERS, "ann") is MISSING
        assert (
            store.count_transactions(MOUNTS) > ended
        )  # who holds a table in another form reads it anew


async def test_a_database_that_is_away() -> None:
    """Nothing is answered from memory, and it is told why, until it is there again."""
    foreign = Foreign()
    async with foreign.watched() as store:
        await store.commit(put(USERS, user("ann")))
        assert store.get_cached(USERS, "ann") is not MISSING
        foreign.backend.is_away = True
        await foreign.looks()
        assert store.get_cached(USERS, "ann") is MISSING
        assert store.outage == "away"
        foreign.backend.is_away = False
        await foreign.looks()
        assert store.outage == ""
    assert foreign.watch.seals == 0
