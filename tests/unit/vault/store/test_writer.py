"""vault.store.writer: one batch at a time. What askers see of it is in tests/contract/store."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from actors import Failure
from actors.testing import FakeWorld
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.samples import StampGuard, put, system, user
from vault.errors import ConflictError
from vault.model.records import AccessRow
from vault.store.cache import MISSING, Cache
from vault.store.interface import UNKNOWN, BackendError, ConstraintError, Session, Writes
from vault.store.memory import MemoryBackend
from vault.store.table import Query
from vault.store.tables import ACCESS, SYSTEM, USERS
from vault.store.writer import Counts, Writer


def writer() -> tuple[Writer, FaultyBackend, Cache, Counts]:
    """One over an empty backend that counts."""
    backend, cache, counts = FaultyBackend(MemoryBackend()), Cache(), Counts()
    return Writer(backend, StampGuard(), cache, FakeWorld(), counts), backend, cache, counts


async def test_one_transaction_a_batch() -> None:
    """A batch is one transaction; results come in order, errors of changes among them."""
    actor, backend, cache, counts = writer()
    await actor.on_start()
    assert backend.connects == 1
    changes = [lambda tx, i=i: tx.put(SYSTEM, system(f"{i}")) or i for i in range(10)]
    results = await actor.receive_batch([*changes, lambda _: 1 // 0])
    assert results[:10] == list(range(10))
    assert isinstance(results[10], Failure)
    assert isinstance(results[10].error, ZeroDivisionError)
    assert backend.transactions == 1
    assert (counts.transactions, counts.changes, counts.largest) == (1, 11, 11)
    assert cache.lookup(SYSTEM, ("9",)) == system("9")


async def test_a_list_is_answered_with_a_list() -> None:
    """Of its own results, whatever is beside it; what one of them raises is one of these."""
    actor, backend, _, counts = writer()
    await actor.on_start()
    one, two = put(SYSTEM, system("a")), put(SYSTEM, system("b"))
    results = await actor.receive_batch([[one, lambda _: 1 // 0, lambda _: 2], lambda _: 3, [two]])
    assert [results[1], results[2]] == [3, [None]]
    first: Any = results[0]
    assert (first[0], first[2]) == (None, 2)
    assert isinstance(first[1], Failure)
    assert (backend.transactions, counts.changes) == (1, 5)


async def test_a_transaction_has_a_bound() -> None:
    """However long the lists: what is over it goes with the next ones, in order."""
    actor, backend, _, counts = writer()
    await actor.on_start()
    most = Writer.max_batch
    changes = [lambda tx, i=i: tx.put(SYSTEM, system(f"{i}")) or i for i in range(2 * most + 1)]
    [results, last] = await actor.receive_batch([changes, lambda _: "last"])
    assert results == list(range(2 * most + 1))
    assert last == "last"
    assert (backend.transactions, counts.largest) == (3, most)


async def test_what_is_stored_is_told_so_when_the_next_transaction_fails() -> None:
    """The others are told what became of them; those behind them are not tried any more."""
    actor, backend, _, counts = writer()
    await actor.on_start()
    most = Writer.max_batch

    def fail(_: Any) -> None:
        raise BackendError("store_full", "the disk is full")

    changes = [lambda _, i=i: i for i in range(most)]
    [results] = await actor.receive_batch([[*changes, fail, *changes]])
    assert results[:most] == list(range(most))
    rest: Any = results[most:]
    assert [type(one) for one in rest] == [Failure] * (most + 1)
    assert {one.error.code for one in rest} == {"store_full"}
    assert (backend.transactions, counts.transactions) == (2, 1)


async def test_what_was_read_is_cached() -> None:
    """Rows that a change loaded, and those that it found absent, are known afterwards."""
    actor, backend, cache, _ = writer()
    await actor.on_start()
    await actor.receive_batch([put(SYSTEM, system("a"))])
    cache.forget([(SYSTEM, ("a",), None)])
    await actor.receive_batch([lambda tx: tx.get(SYSTEM, "a") or tx.get(SYSTEM, "b")])
    await actor.receive_batch([lambda tx: tx.get(SYSTEM, "b")])
    assert cache.lookup(SYSTEM, ("a",)) == system("a")
    assert cache.lookup(SYSTEM, ("b",)) is None
    assert backend.transactions == 3


async def test_culprit_is_found_by_halving() -> None:
    """One contradiction among 64 costs a few transactions, and fails alone."""
    actor, backend, cache, _ = writer()
    await actor.on_start()
    await actor.receive_batch([put(USERS, user("ann"))])
    changes = [put(SYSTEM, system(f"{i:02}")) for i in range(63)]
    changes.insert(37, put(USERS, user("bob", name_key="ann")))
    before = backend.transactions
    results = await actor.receive_batch(changes)
    failed = [i for i, result in enumerate(results) if isinstance(result, Failure)]
    assert failed == [37]
    failure = results[37]
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, ConstraintError)
    assert isinstance(failure.error, ConflictError)
    assert backend.transactions - before == 2 * 6 + 1
    with backend.read() as session:
        assert len(session.select(SYSTEM, Query())) == 63
    assert cache.lookup(USERS, ("bob",)) is MISSING


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("stored", [True, False])
async def test_what_was_counted_is_not_answered_from_memory(stored: bool, cached: bool) -> None:
    """Only the database knows the sum; and when the transaction failed, whether it is one.

    Be the row cached before, or loaded by the very change that counts.
    """
    actor, backend, cache, _ = writer()
    await actor.on_start()
    one = AccessRow(secret_id="s", value_reads=1)
    await actor.receive_batch([put(ACCESS, one)])
    assert cache.lookup(ACCESS, ("s",)) == one
    if not cached:
        cache.forget([(ACCESS, ("s",), None)])
    if not stored:
        backend.write = _lost  # type: ignore[method-assign]
    with nullcontext() if stored else pytest.raises(BackendError):
        await actor.receive_batch([lambda tx: tx.get(ACCESS, "s") and tx.count(ACCESS, [one])])
    assert cache.lookup(ACCESS, ("s",)) is MISSING


async def test_what_a_transaction_touched_has_ended_when_it_is_over() -> None:
    """Stored or not, and not before the cache knows what is stored."""
    actor, backend, cache, counts = writer()
    await actor.on_start()
    await actor.receive_batch([put(USERS, user("ann"))])
    assert counts.endings.of(USERS) == 1
    backend.write = _lost  # type: ignore[method-assign]  # stored, or not: nobody knows
    with pytest.raises(BackendError):
        await actor.receive_batch([put(USERS, user("bob"))])
    assert counts.endings.of(USERS) == 2
    backend.write = _full  # type: ignore[method-assign]  # surely not stored: nothing has ended
    with pytest.raises(BackendError):
        await actor.receive_batch([put(USERS, user("bob"))])
    assert counts.endings.of(USERS) == 2
    assert cache.lookup(USERS, ("bob",)) is MISSING


def _full(apply: Callable[[Session], Writes]) -> None:
    with MemoryBackend().read() as session:
        apply(session)
    raise BackendError("store_full", "no room")


def _lost(apply: Callable[[Session], Writes]) -> None:
    with MemoryBackend().read() as session:
        apply(session)
    raise BackendError("store_unavailable", "lost", UNKNOWN)
