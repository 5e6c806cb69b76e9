"""vault.store.committer: one transaction at a time, of all who wait for it."""

import contextlib
import gc
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest

from actors import Failure
from actors.testing import FakeWorld
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.samples import StampGuard, put, system, user
from vault.errors import ConflictError, TamperedError, UnavailableError
from vault.model.records import AccessRow
from vault.store.committer import (
    MAX_BATCH_CHANGES,
    NO_DEADLINE,
    CommitCounts,
    Committer,
    _CommitRequest,
)
from vault.store.interface import UNKNOWN, BackendError, ConstraintError, StoreSession, WriteSet
from vault.store.memory import MemoryBackend
from vault.store.row_cache import MISSING, RowCache
from vault.store.table import StoreQuery
from vault.store.tables import ACCESS, SYSTEM, USERS


def made() -> tuple[Committer, FaultyBackend, RowCache, CommitCounts]:
    """One over an empty backend that counts."""
    backend, cache, counts = FaultyBackend(MemoryBackend()), RowCache(), CommitCounts()
    committer = Committer(backend, StampGuard(), cache, counts, FakeWorld().uptime)
    return committer, backend, cache, counts


def test_one_transaction_a_batch() -> None:
    """A batch is one transaction; results come in order, errors of changes among them."""
    committer, backend, cache, counts = made()
    changes = [lambda tx, i=i: tx.put(SYSTEM, system(f"{i}")) or i for i in range(10)]
    results = committer.group_commit([*changes, lambda _: 1 // 0])
    assert results[:10] == list(range(10))
    assert isinstance(results[10], Failure)
    assert isinstance(results[10].error, ZeroDivisionError)
    assert backend.transactions == 1
    assert (counts.transactions, counts.changes, counts.largest) == (1, 11, 11)
    assert cache.lookup(SYSTEM, ("9",)) == system("9")


def test_a_transaction_has_a_bound() -> None:
    """However many changes: what is over it goes with the next one, in order."""
    committer, backend, _, counts = made()
    changes = [
        lambda tx, i=i: tx.put(SYSTEM, system(f"{i}")) or i
        for i in range(2 * MAX_BATCH_CHANGES + 1)
    ]
    assert committer.group_commit(changes) == list(range(2 * MAX_BATCH_CHANGES + 1))
    assert (backend.transactions, counts.largest) == (3, MAX_BATCH_CHANGES)


def test_what_is_stored_is_told_so_when_the_next_transaction_fails() -> None:
    """The others are told what became of them; those behind them are not tried any more."""
    committer, backend, _, counts = made()

    def fail(_: Any) -> None:
        raise BackendError("store_full", "the disk is full")

    changes = [lambda _, i=i: i for i in range(MAX_BATCH_CHANGES)]
    results = committer.group_commit([*changes, fail, *changes])
    assert results[:MAX_BATCH_CHANGES] == list(range(MAX_BATCH_CHANGES))
    rest: Any = results[MAX_BATCH_CHANGES:]
    assert [type(one) for one in rest] == [Failure] * (MAX_BATCH_CHANGES + 1)
    assert {one.error.code for one in rest} == {"store_full"}
    assert (backend.transactions, counts.transactions) == (2, 1)


def test_a_database_that_cannot_be_written_is_seen_until_it_can() -> None:
    """A change that contradicts the schema is none of its faults."""
    committer, _, _, counts = made()
    committer.group_commit([lambda tx: tx.put(SYSTEM, system("1"))])
    assert not counts.is_failing

    def full(_: Any) -> None:
        raise BackendError("store_full", "the disk is full")

    with pytest.raises(BackendError):
        committer.group_commit([full])
    assert counts.is_failing
    committer.group_commit([lambda tx: tx.put(SYSTEM, system("2"))])
    assert not counts.is_failing


def test_what_was_read_is_cached() -> None:
    """Rows that a change loaded, and those that it found absent, are known afterwards."""
    committer, backend, cache, _ = made()
    committer.group_commit([put(SYSTEM, system("a"))])
    cache.invalidate([(SYSTEM, ("a",), None)])
    committer.group_commit([lambda tx: tx.get(SYSTEM, "a") or tx.get(SYSTEM, "b")])
    committer.group_commit([lambda tx: tx.get(SYSTEM, "b")])
    assert cache.lookup(SYSTEM, ("a",)) == system("a")
    assert cache.lookup(SYSTEM, ("b",)) is None
    assert backend.transactions == 3


def test_culprit_is_found_by_halving() -> None:
    """One contradiction among 64 costs a few transactions, and fails alone."""
    committer, backend, cache, _ = made()
    committer.group_commit([put(USERS, user("ann"))])
    changes = [put(SYSTEM, system(f"{i:02}")) for i in range(63)]
    changes.insert(37, put(USERS, user("bob", name_key="ann")))
    before = backend.transactions
    results = committer.group_commit(changes)
    failed = [i for i, result in enumerate(results) if isinstance(result, Failure)]
    assert failed == [37]
    failure = results[37]
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, ConstraintError)
    assert isinstance(failure.error, ConflictError)
    assert backend.transactions - before == 2 * 6 + 1
    with backend.read() as session:
        assert len(session.select(SYSTEM, StoreQuery())) == 63
    assert cache.lookup(USERS, ("bob",)) is MISSING


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("stored", [True, False])
def test_what_was_counted_is_not_answered_from_memory(stored: bool, cached: bool) -> None:
    """Only the database knows the sum; and when the transaction failed, whether it is one.

    Be the row cached before, or loaded by the very change that counts.
    """
    committer, backend, cache, _ = made()
    one = AccessRow(secret_id="s", value_reads=1)
    committer.group_commit([put(ACCESS, one)])
    assert cache.lookup(ACCESS, ("s",)) == one
    if not cached:
        cache.invalidate([(ACCESS, ("s",), None)])
    if not stored:
        backend.write = _lost  # type: ignore[method-assign]
    with nullcontext() if stored else pytest.raises(BackendError):
        committer.group_commit([lambda tx: tx.get(ACCESS, "s") and tx.add_counts(ACCESS, [one])])
    assert cache.lookup(ACCESS, ("s",)) is MISSING


def test_what_a_transaction_touched_has_ended_when_it_is_over() -> None:
    """Stored or not, and not before the cache knows what is stored."""
    committer, backend, cache, counts = made()
    committer.group_commit([put(USERS, user("ann"))])
    assert counts.table_versions.version_of(USERS) == 1
    backend.write = _lost  # type: ignore[method-assign]  # stored, or not: nobody knows
    with pytest.raises(BackendError):
        committer.group_commit([put(USERS, user("bob"))])
    assert counts.table_versions.version_of(USERS) == 2
    backend.write = _full  # type: ignore[method-assign]  # surely not stored: nothing has ended
    with pytest.raises(BackendError):
        committer.group_commit([put(USERS, user("bob"))])
    assert counts.table_versions.version_of(USERS) == 2
    assert cache.lookup(USERS, ("bob",)) is MISSING


def test_who_has_the_turn_keeps_it_until_he_is_answered() -> None:
    """Be there more than a transaction before him."""
    committer, backend, _, _ = made()
    for _ in range(2):
        committer._queue.append(_CommitRequest([lambda _: 0] * MAX_BATCH_CHANGES, NO_DEADLINE))
    assert committer.group_commit([lambda _: "mine"]) == ["mine"]
    assert backend.transactions == 3


def test_a_transaction_has_ended_once_the_cache_knows_of_it() -> None:
    """Who goes by the count would else read what was stored before."""
    ended: list[int] = []

    class Watched(RowCache):
        def apply_commit(self, touched: Any) -> None:
            ended.append(counts.table_versions.total)
            super().apply_commit(touched)

    counts = CommitCounts()
    committer = Committer(MemoryBackend(), StampGuard(), Watched(), counts, FakeWorld().uptime)
    committer.group_commit([put(SYSTEM, system("a"))])
    assert (ended, counts.table_versions.total) == ([0], 1)


def test_what_failed_is_not_kept_by_its_own_error() -> None:
    """Its changes hold values and keys: nothing of them stays for the collector."""

    class Held:
        """What a change captures."""

    def change(held: Held, _: Any) -> None:
        raise BackendError("store_full", "the disk is full")

    committer, _, _, _ = made()
    held = Held()
    is_gone = weakref.ref(held)
    gc.disable()
    try:
        with contextlib.suppress(BackendError):
            committer.group_commit([partial(change, held)])
        del held
        assert is_gone() is None
    finally:
        gc.enable()


def test_what_comes_behind_a_chunk_that_is_stored_is_told_by_itself() -> None:
    """Whatever it was: what is stored is told so."""

    class Mark:
        def stamp(self, _: Any) -> None:
            if backend.transactions == 2:
                raise TamperedError("storage_mark_damaged", "odd")

        def on_durable(self) -> None:
            """It is durable."""

    backend = FaultyBackend(MemoryBackend())
    committer = Committer(
        backend, StampGuard(), RowCache(), CommitCounts(), FakeWorld().uptime, stamper=Mark()
    )
    results = committer.group_commit([lambda _, i=i: i for i in range(MAX_BATCH_CHANGES + 2)])
    assert results[:MAX_BATCH_CHANGES] == list(range(MAX_BATCH_CHANGES))
    assert [type(one) for one in results[MAX_BATCH_CHANGES:]] == [Failure] * 2


def test_what_is_late_is_not_begun() -> None:
    """It is told so, and is beside nobody: others are committed as ever."""
    world, backend = FakeWorld(), FaultyBackend(MemoryBackend())
    committer = Committer(backend, StampGuard(), RowCache(), CommitCounts(), world.uptime)
    world.advance(10)
    done: list[int] = []
    assert committer.group_commit([lambda _: done.append(1)], deadline=10) == [None]
    with pytest.raises(UnavailableError) as late:
        committer.group_commit([lambda _: done.append(2)], deadline=9.9)
    assert (late.value.code, late.value.details) == ("store_timeout", {"outcome": "none"})
    assert not isinstance(late.value, BackendError)
    assert (done, backend.transactions) == ([1], 1)


def test_rows_are_told_of_within_the_turn() -> None:
    """How many each transaction has changed."""
    rows: list[int] = []
    backend = FaultyBackend(MemoryBackend())
    committer = Committer(
        backend,
        StampGuard(),
        RowCache(),
        CommitCounts(),
        FakeWorld().uptime,
        on_rows_changed=rows.append,
    )
    committer.group_commit([put(SYSTEM, system("a")), put(SYSTEM, system("b"))])
    committer.group_commit([put(SYSTEM, system("c"))])
    assert rows == [2, 1]


def _full(apply: Callable[[StoreSession], WriteSet]) -> None:
    with MemoryBackend().read() as session:
        apply(session)
    raise BackendError("store_full", "no room")


def _lost(apply: Callable[[StoreSession], WriteSet]) -> None:
    with MemoryBackend().read() as session:
        apply(session)
    raise BackendError("store_unavailable", "lost", UNKNOWN)


def test_what_is_stored_is_told_so_though_the_cache_fails() -> None:
    """Nothing of what it touched is answered from memory then."""

    class Full(RowCache):
        def apply_commit(self, touched: Any) -> None:
            super().apply_commit(touched)
            raise MemoryError

    backend, cache, counts = MemoryBackend(), Full(), CommitCounts()
    committer = Committer(backend, StampGuard(), cache, counts, FakeWorld().uptime)
    results = committer.group_commit([lambda tx: tx.put(SYSTEM, system("a")) or "done"])
    assert (results, counts.transactions, counts.table_versions.total) == (["done"], 1, 1)
    assert cache.lookup(SYSTEM, ("a",)) is MISSING
    with backend.read() as session:
        assert session.get(SYSTEM, ("a",)) == system("a")
