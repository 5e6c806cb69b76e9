"""vault.store.loader: many rows in one view, each with its own outcome."""

import pytest

from actors import Failure
from actors.testing import FakeWorld
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.samples import StampGuard, put, secret, system, version
from vault.errors import TamperedError
from vault.store.interface import WriteSet
from vault.store.loader import CacheLoader, LoaderActor, RowAddress
from vault.store.memory import MemoryBackend
from vault.store.row_cache import MISSING, CacheConfig, RowCache
from vault.store.tables import SECRETS, SYSTEM, VERSIONS
from vault.store.transaction import transact


@pytest.fixture
def backend() -> FaultyBackend:
    """Three system rows, one good secret and one that nobody stamped."""
    made = FaultyBackend(MemoryBackend())
    for name in "abc":
        transact(made, put(SYSTEM, system(name)))
    transact(made, put(SECRETS, secret("good")), StampGuard())
    made.inner.write(lambda _: WriteSet(inserts={SECRETS: [secret("bad")]}))
    return made


async def load(backend: FaultyBackend, cache: RowCache, *slots: RowAddress) -> list[object]:
    """What a batch of these is answered."""
    loader = LoaderActor(CacheLoader(backend, StampGuard(), cache), FakeWorld())
    await loader.on_start()
    results = await loader.receive_batch(slots)
    await loader.on_stop()
    return list(results)


async def test_a_head_brings_its_current_version(backend: FaultyBackend) -> None:
    """Into the cache, in a view opened later, no miss of its own; only where anything is kept."""
    head = secret("two", current_version=2)
    transact(backend, put(SECRETS, head), StampGuard())
    transact(backend, put(VERSIONS, version(head.id, 1), version(head.id, 2)), StampGuard())
    cache, reads = RowCache(), backend.reads
    await load(backend, cache, (SECRETS, ("two",)), (SECRETS, ("none",)))
    assert cache.contains(VERSIONS, (head.id, 2))
    assert not cache.contains(VERSIONS, (head.id, 1))
    assert (cache.statistics().misses, cache.statistics().hits) == (2, 0)
    assert backend.reads == reads + 2
    await load(backend, cache, (SECRETS, ("two",)))
    assert backend.reads == reads + 3  # it is there already
    await load(backend, RowCache(CacheConfig(max_bytes=0)), (SECRETS, ("two",)))
    assert backend.reads == reads + 4


async def test_a_damaged_version_does_not_hide_its_head(backend: FaultyBackend) -> None:
    """Whoever asks for the version is told; the head is there."""
    head = secret("two", current_version=2)
    transact(backend, put(SECRETS, head), StampGuard())
    backend.inner.write(lambda _: WriteSet(inserts={VERSIONS: [version(head.id, 2)]}))
    cache = RowCache()
    assert await load(backend, cache, (SECRETS, ("two",))) == [StampGuard().stamp("secrets", head)]
    assert cache.lookup(VERSIONS, (head.id, 2)) is MISSING
    [found] = await load(backend, cache, (VERSIONS, (head.id, 2)))
    assert isinstance(found, Failure)


async def test_a_damaged_row_fails_alone(backend: FaultyBackend) -> None:
    """Its neighbours are loaded and cached; it is neither."""
    cache = RowCache()
    bad, good = await load(backend, cache, (SECRETS, ("bad",)), (SECRETS, ("good",)))
    assert isinstance(bad, Failure)
    assert isinstance(bad.error, TamperedError)
    assert bad.error.details == {"table": "secrets", "key": ("bad",)}
    assert good == StampGuard().stamp("secrets", secret("good"))
    assert cache.lookup(SECRETS, ("bad",)) is MISSING
    assert cache.lookup(SECRETS, ("good",)) is not MISSING
