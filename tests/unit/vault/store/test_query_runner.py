"""vault.store.query_runner: many questions of one view, each with its own answer."""

import pytest

from actors import Failure
from actors.testing import FakeWorld
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.samples import put, system
from vault.store.interface import BackendError, StoreSession
from vault.store.memory import MemoryBackend
from vault.store.query_runner import QueryActor, QueryFunction
from vault.store.table import StoreQuery
from vault.store.tables import SYSTEM
from vault.store.transaction import transact


@pytest.fixture
def backend() -> FaultyBackend:
    """Three system rows."""
    made = FaultyBackend(MemoryBackend())
    for name in "abc":
        transact(made, put(SYSTEM, system(name)))
    return made


async def ask(backend: FaultyBackend, *questions: QueryFunction) -> list[object]:
    """What a batch of these is answered."""
    queries = QueryActor(backend, FakeWorld())
    await queries.on_start()
    results = await queries.receive_batch(questions)
    await queries.on_stop()
    return list(results)


def keys(session: StoreSession) -> object:
    """All of them."""
    return session.select_keys(SYSTEM, StoreQuery())


async def test_a_fault_is_told_to_each(backend: FaultyBackend) -> None:
    """A database that fails is told to each with an error of his own, and is asked again."""
    backend.faults = [("read", BackendError("store_unavailable", "gone"))]
    one, two = await ask(backend, keys, keys)
    assert isinstance(one, Failure)
    assert isinstance(two, Failure)
    assert isinstance(one.error, BackendError)
    assert one.error is not two.error
    assert await ask(backend, keys) == [[("a",), ("b",), ("c",)]]
