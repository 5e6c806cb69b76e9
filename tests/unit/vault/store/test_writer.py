"""vault.store.committer: one batch at a time. What askers see of it is in tests/contract/store."""

from typing import Any

import pytest

from actors import Failure
from actors.testing import FakeWorld
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.samples import StampGuard, put, system
from vault.store.committer import CommitCounts, Committer, WriterActor
from vault.store.interface import BackendError
from vault.store.memory import MemoryBackend
from vault.store.row_cache import RowCache
from vault.store.tables import SYSTEM


def writer() -> tuple[WriterActor, FaultyBackend, CommitCounts]:
    """One over an empty backend that counts."""
    backend, counts = FaultyBackend(MemoryBackend()), CommitCounts()
    world = FakeWorld()
    committer = Committer(backend, StampGuard(), RowCache(), counts, world.uptime)
    return WriterActor(committer, world), backend, counts


async def test_it_begins_with_a_connection_of_its_own() -> None:
    """Each incarnation: the one before may have left with a broken one."""
    actor, backend, _ = writer()
    await actor.on_start()
    assert backend.connects == 1


async def test_one_transaction_a_batch() -> None:
    """Results come in order, errors of changes among them."""
    actor, backend, _ = writer()
    await actor.on_start()
    changes = [lambda _, i=i: i for i in range(10)]
    results = await actor.receive_batch([*changes, lambda _: 1 // 0])
    assert results[:10] == list(range(10))
    assert isinstance(results[10], Failure)
    assert isinstance(results[10].error, ZeroDivisionError)
    assert backend.transactions == 1


async def test_a_list_is_answered_with_a_list() -> None:
    """Of its own results, whatever is beside it; what one of them raises is one of these."""
    actor, backend, counts = writer()
    await actor.on_start()
    one, two = put(SYSTEM, system("a")), put(SYSTEM, system("b"))
    results = await actor.receive_batch([[one, lambda _: 1 // 0, lambda _: 2], lambda _: 3, [two]])
    assert [results[1], results[2]] == [3, [None]]
    first: Any = results[0]
    assert (first[0], first[2]) == (None, 2)
    assert isinstance(first[1], Failure)
    assert (backend.transactions, counts.changes) == (1, 5)


async def test_it_crashes_with_the_database() -> None:
    """So that its supervisor begins anew, at its pace."""
    actor, _, _ = writer()
    await actor.on_start()

    def fail(_: Any) -> None:
        raise BackendError("store_full", "the disk is full")

    with pytest.raises(BackendError):
        await actor.receive_batch([fail])
