"""vault.store.loader: many rows in one view, each with its own outcome."""

import pytest

from actors import Failure
from actors.testing import FakeWorld
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.samples import StampGuard, put, secret, system
from vault.errors import TamperedError
from vault.store.cache import MISSING, Cache
from vault.store.interface import BackendError, Writes
from vault.store.loader import Loader, Loading, Slot
from vault.store.memory import MemoryBackend
from vault.store.tables import SECRETS, SYSTEM
from vault.store.tx import transact


@pytest.fixture
def backend() -> FaultyBackend:
    """Three system rows, one good secret and one that nobody stamped."""
    made = FaultyBackend(MemoryBackend())
    for name in "abc":
        transact(made, put(SYSTEM, system(name)))
    transact(made, put(SECRETS, secret("good")), StampGuard())
    made.inner.write(lambda _: Writes(inserts={SECRETS: [secret("bad")]}))
    return made


async def load(backend: FaultyBackend, cache: Cache, *slots: Slot) -> list[object]:
    """What a batch of these is answered."""
    loader = Loader(Loading(backend, StampGuard(), cache), FakeWorld())
    await loader.on_start()
    results = await loader.receive_batch(slots)
    await loader.on_stop()
    return list(results)


async def test_each_is_answered(backend: FaultyBackend) -> None:
    """Rows come in the order of asking, twice asked for twice, None for one that is not there."""
    cache = Cache()
    slots: list[Slot] = [(SYSTEM, (name,)) for name in ("c", "none", "a", "c")]
    found = await load(backend, cache, *slots, (SECRETS, ("good",)))
    assert found[:4] == [system("c"), None, system("a"), system("c")]
    assert found[4] == StampGuard().stamp("secrets", secret("good"))
    assert cache.lookup(SYSTEM, ("c",)) == system("c")
    assert cache.lookup(SYSTEM, ("none",)) is None
    assert cache.statistics().misses == 4


async def test_a_damaged_row_fails_alone(backend: FaultyBackend) -> None:
    """Its neighbours are loaded and cached; it is neither."""
    cache = Cache()
    bad, good = await load(backend, cache, (SECRETS, ("bad",)), (SECRETS, ("good",)))
    assert isinstance(bad, Failure)
    assert isinstance(bad.error, TamperedError)
    assert bad.error.details == {"table": "secrets", "key": ("bad",)}
    assert good == StampGuard().stamp("secrets", secret("good"))
    assert cache.lookup(SECRETS, ("bad",)) is MISSING
    assert cache.lookup(SECRETS, ("good",)) is not MISSING


async def test_an_impossible_key_does_not_hide_its_neighbours(backend: FaultyBackend) -> None:
    """A key that no database could hold is not there; the others are."""
    keys: list[Slot] = [(SYSTEM, ("\ud800",)), (SYSTEM, ("a",)), (SYSTEM, ("b",))]
    assert await load(backend, Cache(), *keys) == [None, system("a"), system("b")]


async def test_a_fault_is_told_to_each(backend: FaultyBackend) -> None:
    """A database that fails is told to each with an error of his own, and nothing is kept."""
    cache = Cache()
    backend.faults = [("read", BackendError("store_unavailable", "gone"))]
    one, two = await load(backend, cache, (SYSTEM, ("a",)), (SYSTEM, ("b",)))
    assert isinstance(one, Failure)
    assert isinstance(two, Failure)
    assert isinstance(one.error, BackendError)
    assert one.error is not two.error
    assert cache.lookup(SYSTEM, ("a",)) is MISSING
    assert await load(backend, cache, (SYSTEM, ("a",))) == [system("a")]
