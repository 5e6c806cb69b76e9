"""vault.store.cache_warmup: rows read lately come first, within its bounds."""

from collections.abc import AsyncIterator

import pytest
import trio
from msgspec.structs import replace
from trio.testing import wait_all_tasks_blocked

from actors.testing import FakeWorld
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.samples import StampGuard, put, secret, version
from vault.model.records import AccessRow
from vault.store import cache_warmup
from vault.store.cache_warmup import (
    BUSY_REST_FACTOR,
    IDLE_REST_FACTOR,
    MAX_DURATION,
    STEP,
    CacheWarmup,
)
from vault.store.interface import BackendError, WriteSet
from vault.store.memory import MemoryBackend
from vault.store.row_cache import MISSING, CacheConfig
from vault.store.store import Store, open_store
from vault.store.tables import ACCESS, SECRETS, VERSIONS
from vault.store.transaction import transact

COUNT = 15 * STEP


def name(i: int) -> str:
    """Of a secret; the higher its number, the later it was read; number 0 never was."""
    return f"secret/{i:04}"


@pytest.fixture
def backend() -> FaultyBackend:
    """Secrets with two versions each."""
    made = FaultyBackend(MemoryBackend())
    heads = [secret(name(i), current_version=2) for i in range(COUNT)]
    versions = [version(head.id, n, box=bytes(100)) for head in heads for n in (1, 2)]
    read = [AccessRow(secret_id=head.id, last_value_read=i) for i, head in enumerate(heads)]
    for table, rows in ((SECRETS, heads), (VERSIONS, versions), (ACCESS, read)):
        transact(made, put(table, *rows), StampGuard())
    return made


@pytest.fixture
def world() -> FakeWorld:
    """Time stands still."""
    return FakeWorld()


@pytest.fixture
async def store(backend: FaultyBackend, world: FakeWorld) -> AsyncIterator[Store]:
    """With room for all."""
    async with open_store(backend, StampGuard(), world) as made:
        yield made


def warm(store: Store) -> list[int]:
    """Which secrets can be read without the database."""
    heads = [i for i in range(COUNT) if store.get_cached(SECRETS, name(i)) is not MISSING]
    versions = [
        i for i in range(COUNT) if store.get_cached(VERSIONS, f"id-{name(i)}", 2) is not MISSING
    ]
    assert versions == heads
    return heads


@pytest.mark.parametrize("page", [STEP, 3 * STEP + 1, COUNT])
async def test_all_there_are(
    store: Store, world: FakeWorld, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """Head and current version of each secret, each once; no look is counted as a miss."""
    monkeypatch.setattr(cache_warmup, "NAMES_PER_PAGE", page)
    monkeypatch.setattr(
        cache_warmup, "RECENTLY_READ", replace(cache_warmup.RECENTLY_READ, limit=COUNT // 2)
    )
    run = CacheWarmup(store, world)
    await run.run()
    assert run.done.is_set()
    assert run.loaded == COUNT
    assert store.statistics().cache.hits == 0
    assert warm(store) == list(range(COUNT))
    assert store.get_cached(VERSIONS, f"id-{name(5)}", 1) is MISSING
    assert store.statistics().cache.misses == 0


async def test_lately_read_first_within_a_share(backend: FaultyBackend, world: FakeWorld) -> None:
    """A small cache gets those that were read last, and keeps room for what is asked for."""
    config = CacheConfig(max_bytes=1_100_000)
    async with open_store(backend, StampGuard(), world, cache=config) as store:
        await CacheWarmup(store, world).run()
        found = warm(store)
        stats = store.statistics().cache
    assert 0 < len(found) < COUNT
    assert found == list(range(COUNT - len(found), COUNT))
    assert stats.evictions == 0
    assert cache_warmup.MAX_CACHE_SHARE * stats.max_bytes <= stats.bytes < stats.max_bytes


async def test_large_rows_push_nothing_out(backend: FaultyBackend, world: FakeWorld) -> None:
    """Of rows so large that a sixth does not fit, and five are no share yet, it loads one step."""
    box = bytes(178_000)
    large = [version(f"id-{name(i)}", 2, box=box) for i in range(COUNT - 2 * STEP, COUNT)]
    transact(backend, put(VERSIONS, *large), StampGuard())
    config = CacheConfig(max_bytes=1_100_000)
    async with open_store(backend, StampGuard(), world, cache=config) as store:
        run = CacheWarmup(store, world)
        await run.run()
        assert run.loaded == STEP


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("workers", [1, 3])
async def test_time_is_bounded(
    workers: int, asked: bool, store: Store, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a step it rests for longer than that took, so that several take no more than one.

    For less long while nobody asks for anything. When its time is over it ends.
    """
    run, load = CacheWarmup(store, world, workers), store.load_into_cache

    async def slow(*args: object) -> list[object]:
        world.advance(1.0)
        if asked:
            await store.get(SECRETS, name(3))
        return await load(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "load_into_cache", slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.run)
        await wait_all_tasks_blocked()
        assert (run.loaded, world.sleepers) == (STEP, 1)
        world.advance((BUSY_REST_FACTOR if asked else IDLE_REST_FACTOR) * workers - 1.1)
        await wait_all_tasks_blocked()
        assert run.loaded == STEP
        world.advance(0.1)
        await wait_all_tasks_blocked()
        assert run.loaded == 2 * STEP
        world.advance(MAX_DURATION)
    assert run.loaded == 2 * STEP


async def test_what_is_damaged_is_left(backend: FaultyBackend, world: FakeWorld) -> None:
    """A damaged row is not cached and stops nothing; whoever asks for it is told."""
    head = StampGuard().stamp("secrets", secret(name(7), current_version=2))
    forged = secret(name(7), current_version=9, mac=head.mac)
    backend.inner.write(lambda _: WriteSet(updates={SECRETS: [forged]}))
    async with open_store(backend, StampGuard(), world) as store:
        await CacheWarmup(store, world).run()
        assert warm(store) == [i for i in range(COUNT) if i != 7]


async def test_failing_database(
    backend: FaultyBackend, world: FakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged and costs the warmth only."""
    async with open_store(backend, StampGuard(), world) as store:
        backend.faults.append(("read", BackendError("store_unavailable", "no answer")))
        run = CacheWarmup(store, world)
        await run.run()
        assert run.done.is_set()
        assert "no answer" in caplog.text
        assert await store.get(SECRETS, name(3)) is not None
