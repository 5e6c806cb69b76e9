"""vault.store.committer: one transaction at a time, of all who wait for it."""

import contextlib
import gc
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from threading import Event, Thread
from typing import Any

import pytest

from actors import Failure
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.samples import StampGuard, put, system, user
from vault.errors import ConflictError
from vault.model.records import AccessRow
from vault.store.committer import (
    CommitCounts,
    Committer,
)
from vault.store.interface import UNKNOWN, BackendError, ConstraintError, StoreSession, WriteSet
from vault.store.memory import MemoryBackend
from vault.store.row_cache import MISSING, RowCache
from vault.store.table import StoreQuery
from vault.store.tables import ACCESS, SYSTEM, USERS


def made() -> tuple[Committer, FaultyBackend, RowCache, CommitCounts]:
    """One over an empty backend that counts."""
    backend, cache, counts = FaultyBackend(MemoryBackend()), RowCache(), CommitCounts()
    committer = Committer(backend, StampGuard(), cache, counts)
    return committer, backend, cache, counts


def test_a_database_that_cannot_be_written_is_seen_until_it_can() -> None:
    """A change that contradicts the schema is none of its faults."""
    committer, _, _, counts = made()
    committer.commit([lambda tx: tx.put(SYSTEM, system("1"))])
    assert not counts.is_failing

    def full(_: Any) -> None:
        raise BackendError("store_full", "the disk is full")

    with pytest.raises(BackendError):
        committer.commit([full])
    assert counts.is_failing
    committer.commit([lambda tx: tx.put(SYSTEM, system("2"))])
    assert not counts.is_failing


def test_what_was_read_is_cached() -> None:
    """Rows that a change loaded, and those that it found absent, are known afterwards."""
    committer, backend, cache, _ = made()
    committer.commit([put(SYSTEM, system("a"))])
    cache.invalidate([(SYSTEM, ("a",), None)])
    committer.commit([lambda tx: tx.get(SYSTEM, "a") or tx.get(SYSTEM, "b")])
    committer.commit([lambda tx: tx.get(SYSTEM, "b")])
    assert cache.lookup(SYSTEM, ("a",)) == system("a")
    assert cache.lookup(SYSTEM, ("b",)) is None
    assert backend.transactions == 3


def test_culprit_is_found_by_halving() -> None:
    """One contradiction among 64 costs a few transactions, and fails alone."""
    committer, backend, cache, _ = made()
    committer.commit([put(USERS, user("ann"))])
    changes = [put(SYSTEM, system(f"{i:02}")) for i in range(63)]
    changes.insert(37, put(USERS, user("bob", name_key="ann")))
    before = backend.transactions
    results = committer.commit(changes)
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
    committer.commit([put(ACCESS, one)])
    assert cache.lookup(ACCESS, ("s",)) == one
    if not cached:
        cache.invalidate([(ACCESS, ("s",), None)])
    if not stored:
        backend.write = _lost  # type: ignore[method-assign]
    with nullcontext() if stored else pytest.raises(BackendError):
        committer.commit([lambda tx: tx.get(ACCESS, "s") and tx.add_counts(ACCESS, [one])])
    assert cache.lookup(ACCESS, ("s",)) is MISSING


def test_what_a_transaction_touched_has_ended_when_it_is_over() -> None:
    """Stored or not, and not before the cache knows what is stored."""
    committer, backend, cache, counts = made()
    committer.commit([put(USERS, user("ann"))])
    assert counts.table_versions.version_of(USERS) == 1
    backend.write = _lost  # type: ignore[method-assign]  # stored, or not: nobody knows
    with pytest.raises(BackendError):
        committer.commit([put(USERS, user("bob"))])
    assert counts.table_versions.version_of(USERS) == 2
    backend.write = _full  # type: ignore[method-assign]  # surely not stored: nothing has ended
    with pytest.raises(BackendError):
        committer.commit([put(USERS, user("bob"))])
    assert counts.table_versions.version_of(USERS) == 2
    assert cache.lookup(USERS, ("bob",)) is MISSING


def test_a_transaction_has_ended_once_the_cache_knows_of_it() -> None:
    """Who goes by the count would else read what was stored before."""
    ended: list[int] = []

    class Watched(RowCache):
        def apply_commit(self, touched: Any) -> None:
            ended.append(counts.table_versions.total)
            super().apply_commit(touched)

    counts = CommitCounts()
    committer = Committer(MemoryBackend(), StampGuard(), Watched(), counts)
    committer.commit([put(SYSTEM, system("a"))])
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
            committer.commit([partial(change, held)])
        del held
        assert is_gone() is None
    finally:
        gc.enable()


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
    committer = Committer(backend, StampGuard(), cache, counts)
    results = committer.commit([lambda tx: tx.put(SYSTEM, system("a")) or "done"])
    assert (results, counts.transactions, counts.table_versions.total) == (["done"], 1, 1)
    assert cache.lookup(SYSTEM, ("a",)) is MISSING
    with backend.read() as session:
        assert session.get(SYSTEM, ("a",)) == system("a")


def test_closing_waits_for_the_transaction_and_lets_no_other_begin() -> None:
    """So the backend can be closed behind it."""
    committer, backend, _, _ = made()
    begun, may, closed = Event(), Event(), Event()

    def hold(_: Any) -> bool:
        begun.set()
        return may.wait(60)

    results: list[object] = []
    holder = Thread(target=lambda: results.extend(committer.commit([hold])))
    closing = Thread(target=lambda: (committer.close(), closed.set()))
    holder.start()
    assert begun.wait(60)
    closing.start()
    assert not closed.wait(0.05)
    may.set()
    for thread in (holder, closing):
        thread.join(60)
    assert results == [True]
    before = backend.transactions
    with pytest.raises(BackendError, match="not open") as refused:
        committer.commit([lambda _: None])
    assert refused.value.details == {"outcome": "none"}
    assert backend.transactions == before
