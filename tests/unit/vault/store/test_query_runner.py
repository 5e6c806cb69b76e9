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


async def test_each_is_answered_of_one_view(backend: FaultyBackend) -> None:
    """In the order of asking; the view is opened once for all of them."""
    reads = backend.reads
    found = await ask(backend, keys, lambda session: session.get(SYSTEM, ("b",)), keys)
    assert found == [[("a",), ("b",), ("c",)], system("b"), [("a",), ("b",), ("c",)]]
    assert backend.reads == reads + 1


async def test_one_that_raises_fails_alone(backend: FaultyBackend) -> None:
    """Those before it and behind it have their answers."""

    def wrong(_: StoreSession) -> None:
        raise ZeroDivisionError

    first, failed, last = await ask(backend, keys, wrong, keys)
    assert first == last == [("a",), ("b",), ("c",)]
    assert isinstance(failed, Failure)
    assert isinstance(failed.error, ZeroDivisionError)


async def test_a_fault_is_told_to_each(backend: FaultyBackend) -> None:
    """A database that fails is told to each with an error of his own, and is asked again."""
    backend.faults = [("read", BackendError("store_unavailable", "gone"))]
    one, two = await ask(backend, keys, keys)
    assert isinstance(one, Failure)
    assert isinstance(two, Failure)
    assert isinstance(one.error, BackendError)
    assert one.error is not two.error
    assert await ask(backend, keys) == [[("a",), ("b",), ("c",)]]
