"""vault.workers.follower: current, or the leader's turn."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from tests.contract.store.samples import system
from tests.unit.vault.workers.pages import new_page
from vault.errors import UnavailableError
from vault.store.bounded_cache import slot_of
from vault.store.row_cache import MISSING
from vault.store.tables import POLICIES, SECRETS, SYSTEM
from vault.workers import page
from vault.workers.caches import SNAPSHOTS, WorkerCache, is_of_snapshots
from vault.workers.elsewhere import Elsewhere
from vault.workers.follower import Follower, Rows
from vault.workers.journal import JournalWriter, Row
from vault.workers.lockout import WorkerLockout

POLICY = (POLICIES.name, ("p",))
SECRET = (SECRETS.name, ("s",))


class Stage:
    """A follower of an open vault, and what it reloaded."""

    def __init__(self) -> None:
        self.page = new_page()
        self.journal = JournalWriter(self.page)
        self.page.words[page.OPENING] = 1
        self.cache = WorkerCache()
        self.lockout = WorkerLockout(self.page)
        self.follower = Follower(self.page, 1, self.cache, self.lockout)
        self.reloaded: list[str] = []
        self.rows: list[Rows] = []
        self.failing = False
        self.gate = trio.Event()
        self.gate.set()

    async def begin(self) -> None:
        """Load all for the first time."""
        await self.follower.begin({name: self._reload(name) for name in SNAPSHOTS})
        assert self.rows == [None] * len(SNAPSHOTS)
        self.reloaded.clear()
        self.rows.clear()

    def fence(self, rows: list[Row]) -> None:
        """As the leader's cache does."""
        slots = [slot_of(*row) for row in rows]
        self.journal.fence(slots, filter(is_of_snapshots, rows))

    def _reload(self, name: str) -> Callable[[Rows], Awaitable[None]]:
        async def reload(rows: Rows) -> None:
            await self.gate.wait()
            if self.failing:
                raise UnavailableError("store_unavailable", "not now")
            self.reloaded.append(name)
            self.rows.append(rows)

        return reload


@pytest.fixture
async def stage() -> Stage:
    """One that has begun."""
    made = Stage()
    await made.begin()
    return made


async def test_rows_are_forgotten_before_the_answer(stage: Stage) -> None:
    """Announced rows are gone from the cache, and kept again once the transaction has ended."""
    stage.cache.apply_commit([(SYSTEM, ("a",), system("a"))])
    stage.fence([(SYSTEM.name, ("a",)), SECRET])
    assert await stage.follower.is_current()
    assert stage.cache.lookup(SYSTEM, ("a",)) is MISSING
    stage.cache.end_load(stage.cache.begin_load(SYSTEM, ("a",)), SYSTEM, system("a"))
    assert stage.cache.lookup(SYSTEM, ("a",)) is MISSING
    stage.journal.settle()
    assert await stage.follower.is_current()
    stage.cache.end_load(stage.cache.begin_load(SYSTEM, ("a",)), SYSTEM, system("a"))
    assert stage.cache.lookup(SYSTEM, ("a",)) == system("a")
    assert stage.reloaded == []


async def test_what_changes_during_a_reload(stage: Stage) -> None:
    """It is read anew by whoever asks next, and not taken for what is being read."""
    stage.gate = trio.Event()

    async def ask() -> None:
        assert await stage.follower.is_current()

    async with trio.open_nursery() as nursery:
        for name in ("p", "q"):
            stage.fence([(POLICIES.name, (name,))])
            stage.journal.settle()
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
        stage.gate.set()
    assert stage.rows == [{("p",)}, {("q",)}]


async def test_a_snapshot_that_cannot_be_read(stage: Stage) -> None:
    """Then the leader answers; it is tried again at the next request."""
    stage.failing = True
    stage.fence([POLICY])
    stage.journal.settle()
    assert not await stage.follower.is_current()
    stage.failing = False
    assert await stage.follower.is_current()
    assert stage.reloaded == [POLICIES.name]


async def test_sealed(stage: Stage) -> None:
    """Nothing is answered while sealed, nor with the keys of another opening."""
    for opening in (0, 2):
        stage.page.words[page.OPENING] = opening
        assert not await stage.follower.is_current()


async def test_lost(stage: Stage) -> None:
    """Everything is forgotten and read anew; a transaction under way is known."""
    stage.cache.apply_commit([(SYSTEM, ("a",), system("a"))])
    for _ in range(page.RING // 50_000 + 2):
        stage.fence([(SECRETS.name, ("x" * 50_000,))])
        stage.journal.settle()
    stage.fence([(SYSTEM.name, ("a",))])
    assert await stage.follower.is_current()
    assert sorted(stage.reloaded) == sorted(SNAPSHOTS)
    stage.cache.end_load(stage.cache.begin_load(SYSTEM, ("a",)), SYSTEM, system("a"))
    assert stage.cache.lookup(SYSTEM, ("a",)) is MISSING


async def test_failures(stage: Stage) -> None:
    """Reach the lockout, and leave it."""
    stage.journal.failed(("id", "ip"), 1)
    assert await stage.follower.is_current()
    with pytest.raises(Elsewhere):
        stage.lockout.is_locked(("id", "ip"), 10**18)
    stage.journal.cleared(("id", "ip"))
    assert await stage.follower.is_current()
    assert not stage.lockout.is_locked(("id", "ip"), 10**18)
