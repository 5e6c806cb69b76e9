"""No cache ever tells what is gone: interleavings of loads, commits, failures, room and time.

First the cache's own steps in every order, against a model of the database; then a real store with
readers and writers at once, where what was acknowledged is what counts.
"""

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import trio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from actors import SystemWorld
from actors.testing import FakeWorld
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.samples import StampGuard, system
from vault.store.bounded_cache import EvictionPolicy
from vault.store.memory import MemoryBackend
from vault.store.row_cache import MISSING, CacheConfig, PendingLoad, RowCache
from vault.store.sqlite import SqliteBackend
from vault.store.store import Store, open_store
from vault.store.tables import SYSTEM
from vault.store.transaction import StoreTx

KEYS = ["a", "b"]
ROOM = 16_000  # bytes: both rows while they are of 5 KB, one once they are of 10 KB
LITTLE = 3_000  # bytes: two or three of the four small rows
TTL = 10  # seconds
SETTINGS = [(policy, ttl) for policy in EvictionPolicy for ttl in (0, TTL)]

keys = st.sampled_from(KEYS)


class Interleavings(RuleBasedStateMachine):
    """One cache over a model: what is committed, what of it was acknowledged, who is loading."""

    policy = EvictionPolicy.LRU
    ttl = 0

    def __init__(self) -> None:
        super().__init__()
        self.world = FakeWorld()
        config = CacheConfig(max_bytes=ROOM, policy=self.policy, ttl=self.ttl * 10**9)
        self.cache = RowCache(config, self.world.now)
        self.count = 0
        self.committed: dict[str, Any] = {key: system(key, b"0") for key in KEYS}
        self.acknowledged = dict(self.committed)
        self.pending: dict[str, Any] | None = None
        self.loads: list[tuple[PendingLoad, str, list[Any]]] = []  # with the view, once it is open

    @rule(key=keys, at_once=st.booleans())
    def begin(self, key: str, at_once: bool) -> None:
        """Somebody announces a load; his view of the database may open a while later."""
        if len(self.loads) < 4:
            self.loads.append((self.cache.begin_load(SYSTEM, (key,)), key, []))
            if at_once:
                self.loads[-1][2].append(self.committed[key])

    @precondition(lambda self: any(not seen for _, _, seen in self.loads))
    @rule()
    def view(self) -> None:
        """The views that were not open yet open: they show the rows as they are now."""
        for _, key, seen in self.loads:
            if not seen:
                seen.append(self.committed[key])

    @precondition(lambda self: any(seen for _, _, seen in self.loads))
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """One has the row in his hand, or his load failed after all."""
        load = data.draw(st.sampled_from([load for load in self.loads if load[2]]))
        self.loads.remove(load)
        failed = data.draw(st.sampled_from([False, False, False, True]))
        self.cache.end_load(load[0], SYSTEM, MISSING if failed else load[2][0])

    @precondition(lambda self: self.pending is None)
    @rule(
        some=st.sets(keys, min_size=1),
        gone=st.booleans(),
        lost=st.sampled_from([False, False, True]),
    )
    def commit(self, some: set[str], gone: bool, lost: bool) -> None:
        """The database commits rows, or did not; the writer does not know of it yet."""
        self.count += 1
        value = None if gone else b"%d" % self.count * 5_000
        rows = {key: None if value is None else system(key, value) for key in some}
        self.pending = rows
        if not lost:
            self.committed |= rows

    @precondition(lambda self: self.pending is not None)
    @rule(doubt=st.booleans())
    def resolve_in_doubt(self, doubt: bool) -> None:
        """The writer hears of it: he replaces the rows, or forgets them, and then acknowledges.

        When the connection broke he only knows that he does not know.
        """
        assert self.pending is not None
        stored = all(self.committed[key] is row for key, row in self.pending.items())
        touched = [(SYSTEM, (key,), row) for key, row in self.pending.items()]
        (self.cache.apply_commit if stored and not doubt else self.cache.invalidate)(touched)
        self.acknowledged |= {key: self.committed[key] for key in self.pending}
        self.pending = None

    @precondition(lambda self: self.ttl)
    @rule(seconds=st.sampled_from([1, TTL - 1, TTL]))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.world.advance(float(seconds))

    @invariant()
    def nothing_older_than_acknowledged(self) -> None:
        """It knows nothing, or what was acknowledged last, or what is committed already."""
        for key in KEYS:
            found = self.cache.lookup(SYSTEM, (key,))
            assert (
                found is MISSING or found is self.acknowledged[key] or found is self.committed[key]
            )

    @invariant()
    def within_its_bound(self) -> None:
        """And holds no more than it may."""
        assert self.cache.statistics().bytes <= ROOM


def explore(policy: EvictionPolicy, ttl: int, **more: Any) -> None:
    """Try many orders of the steps, the same ones each time; raises where one tells what is old."""
    machine = type("Machine", (Interleavings,), {"policy": policy, "ttl": ttl})
    options = {"max_examples": 100, "stateful_step_count": 30, "derandomize": True, **more}
    run_state_machine_as_test(machine, settings=settings(deadline=None, **options))


@pytest.mark.parametrize(("policy", "ttl"), SETTINGS)
def test_every_order_of_steps(policy: EvictionPolicy, ttl: int) -> None:
    """Whatever order the steps of readers and of the writer come in."""
    explore(policy, ttl)


@dataclass
class History:
    """What happened to one key: its states in the order of their commits, None where it is gone."""

    states: list[int | None] = field(default_factory=lambda: [None])
    acknowledged: int = 0  # index of the newest state that a writer was told of

    def check(self, since: int, found: int | None) -> None:
        """A read that began when `since` was acknowledged may tell this."""
        allowed = self.states[since:]
        assert found in allowed, f"read {found}; since {since} there were {allowed}"


Step = tuple[str, str]
steps = st.tuples(
    st.sampled_from(["get", "get", "get", "cached", "inside", "write", "remove", "fail", "wait"]),
    keys,
)
programs = st.lists(st.lists(steps, min_size=3, max_size=12), min_size=2, max_size=6)


class Run:
    """Tasks that read and write one store at once; each read is held against the history."""

    def __init__(self, store: Store, backend: FaultyBackend, world: FakeWorld) -> None:
        self.store = store
        self.backend = backend
        self.world = world
        self.histories = {key: History() for key in KEYS}

    async def task(self, program: list[Step]) -> None:
        """One after the other."""
        for what, key in program:
            await getattr(self, what)(key)

    async def get(self, key: str) -> None:
        """From cache or database."""
        history = self.histories[key]
        since = history.acknowledged
        row = await self.store.get(SYSTEM, key)
        history.check(since, None if row is None else int(row.value))

    async def cached(self, key: str) -> None:
        """From the cache alone."""
        history = self.histories[key]
        row = self.store.get_cached(SYSTEM, key)
        if row is not MISSING:
            history.check(history.acknowledged, None if row is None else int(row.value))
        await trio.lowlevel.checkpoint()

    async def inside(self, key: str) -> None:
        """Within a transaction."""
        history = self.histories[key]
        since = history.acknowledged
        row = await self.store.commit(lambda tx: tx.get(SYSTEM, key))
        history.check(since, None if row is None else int(row.value))

    async def write(self, key: str) -> None:
        """A new state."""
        await self._commit(key, gone=False)

    async def remove(self, key: str) -> None:
        """The row goes."""
        await self._commit(key, gone=True)

    async def fail(self, key: str) -> None:
        """A change that raises: nobody may ever see it."""

        def change(tx: StoreTx) -> None:
            tx.put(SYSTEM, system(key, b"-1"))
            raise LookupError(key)

        with pytest.raises(LookupError):
            await self.store.commit(change)

    async def wait(self, _: str) -> None:
        """Time passes for the cache, and a moment for everybody."""
        self.world.advance(TTL / 2)
        await trio.sleep(0.0005)

    async def _commit(self, key: str, *, gone: bool) -> None:
        history = self.histories[key]

        def change(tx: StoreTx) -> int:
            # The count outlives the row, so that the order of commits is known; run again it is
            # the same state, for nothing of the first run was stored.
            counter = tx.get(SYSTEM, f"count/{key}")
            number = 1 + (int(counter.value) if counter else 0)
            tx.put(SYSTEM, system(f"count/{key}", b"%d" % number))
            if gone:
                tx.delete(SYSTEM, key)
            else:
                tx.put(SYSTEM, system(key, b"%d" % number))
            del history.states[number:]
            history.states.append(None if gone else number)
            return number

        number = await self.store.commit(change)
        history.acknowledged = max(history.acknowledged, number)


class CacheClock(SystemWorld):
    """The machine's threads and sleep, and for the cache a clock that the test moves."""

    def __init__(self, fake: FakeWorld) -> None:
        super().__init__()
        self.now = fake.now  # type: ignore[method-assign]


async def _run(program: list[list[Step]], kind: str, folder: Path, config: CacheConfig) -> None:
    inner: Any = (
        MemoryBackend()
        if kind == "memory"
        else SqliteBackend(f"sqlite:///{folder}/{time.monotonic_ns()}.db")
    )
    backend, fake, chance = FaultyBackend(inner), FakeWorld(), random.Random(1)  # noqa: S311
    backend.on_read = lambda: time.sleep(chance.choice((0, 0, 0.0002, 0.001)))
    with trio.fail_after(60):
        async with open_store(backend, StampGuard(), CacheClock(fake), cache=config) as store:
            run = Run(store, backend, fake)
            async with trio.open_nursery() as nursery:
                for task in program:
                    nursery.start_soon(run.task, task)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize(("policy", "ttl"), SETTINGS)
def test_readers_and_writers(policy: EvictionPolicy, ttl: int, kind: str, tmp_path: Path) -> None:
    """After an acknowledgement nobody reads what was before it, be it overwritten or deleted."""
    config = CacheConfig(max_bytes=LITTLE, policy=policy, ttl=ttl * 10**9)

    @settings(
        max_examples=12,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        derandomize=True,
    )
    @given(programs)
    def check(program: list[list[Step]]) -> None:
        trio.run(_run, program, kind, tmp_path, config)

    check()


def test_it_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that keeps what a commit overtook is caught by it: the test can fail."""

    def keep_all(_cache: RowCache, _slots: object) -> None:
        """Overtake nobody."""

    monkeypatch.setattr(RowCache, "_mark_loads_stale", keep_all)
    with pytest.raises(AssertionError):
        explore(EvictionPolicy.LRU, 0, phases=[Phase.generate])
