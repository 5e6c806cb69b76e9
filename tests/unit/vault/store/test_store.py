"""vault.store.store: small promises; the large ones are in tests/contract/store/test_store.py."""

from actors import SystemWorld
from actors.testing import FakeWorld
from tests.contract.store.samples import StampGuard, put, system
from vault.store.cache import CacheConfig
from vault.store.memory import MemoryBackend
from vault.store.store import open_store
from vault.store.table import Query
from vault.store.tables import SYSTEM
from vault.store.tx import transact


async def test_simulated_world() -> None:
    """In a world without threads everything runs inline, so that a simulation is deterministic."""
    async with open_store(MemoryBackend(), StampGuard(), FakeWorld()) as store:
        assert await store.commit(lambda tx: tx.put(SYSTEM, system("a"))) is None
        assert await store.get(SYSTEM, "a") == system("a")
        assert await store.select(SYSTEM, Query()) == [system("a")]
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


async def test_what_is_over_is_counted_whatever_it_changed() -> None:
    """When a change is acknowledged it is in both counts, so nobody goes by what was before."""
    async with open_store(MemoryBackend(), StampGuard(), FakeWorld()) as store:
        assert store.ended_at_all() == 0
        await store.commit(put(SYSTEM, system("a")))
        await store.commit(put(SYSTEM, system("b")))
        assert (store.ended_at_all(), store.ended(SYSTEM, "a")) == (2, 1)
