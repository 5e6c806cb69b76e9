"""The committer: changes of all who wait in one transaction, with one sync, whoever's thread it is.

One transaction at a time. Who comes while one is under way is in the next one, together with all
others who came: the first of them to have the turn commits for all.

A batch is answered when it is durable and the cache knows of it. When the database fails, every
change of the batch is told so. A connection whose fsync failed is never used again, because a
second fsync may report success for pages that the kernel has already dropped.
"""

from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from itertools import islice
from threading import Lock
from typing import Any, Final, Protocol, TypeAlias

from actors import Failure
from vault.store.cache import Cache
from vault.store.endings import Endings
from vault.store.guard import Guard
from vault.store.interface import (
    NOTHING_STORED,
    Backend,
    BackendError,
    ConstraintError,
    Session,
    Writes,
)
from vault.store.tx import Batch, Tx

MOST: Final = 256
"""Changes of a transaction: ~5 ms of them at 20 µs each, the longest that one waits for others."""

Change: TypeAlias = Callable[[Tx], Any]


class Mark(Protocol):
    """What every transaction leaves in the database, so that an older copy of it is noticed."""

    def stamp(self, batch: Batch, /) -> None:
        """Add to a transaction whose changes are done; it may come to nothing, and be done again.

        In the thread that commits, which nobody else does meanwhile.
        """
        ...

    def stored(self) -> None:
        """The transaction that was stamped last is durable."""
        ...


class Counts:
    """What was committed to one store; written by whoever commits."""

    def __init__(self) -> None:
        self.transactions = 0
        self.changes = 0
        self.largest = 0
        self.endings = Endings()

    def add(self, changes: int) -> None:
        """One more transaction is durable."""
        self.transactions += 1
        self.changes += changes
        self.largest = max(self.largest, changes)


class _Waiting:
    """Somebody's changes, and what became of them."""

    __slots__ = ("changes", "error", "results")

    def __init__(self, changes: Sequence[Change]) -> None:
        self.changes = changes
        self.results: list[object] | None = None
        self.error: BaseException | None = None


class Committer:
    """Commits to one backend, from any thread, until it is closed."""

    def __init__(
        self,
        backend: Backend,
        guard: Guard,
        cache: Cache,
        counts: Counts,
        *,
        mark: Mark | None = None,
        changed: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`changed` is told after each transaction, in its thread, how many rows it has changed."""
        self._backend = backend
        self._guard = guard
        self._cache = cache
        self._counts = counts
        self._mark = mark
        self._changed = changed
        self._turn = Lock()
        self._queue: deque[_Waiting] = deque()
        self._closed = False

    def connect(self) -> None:
        """A fresh connection whose durability was read back. Raises `BackendError`."""
        with self._turn:
            self._backend.connect()

    def close(self) -> None:
        """Wait for the transaction that is under way; no other one begins."""
        with self._turn:
            self._closed = True

    def commit(self, changes: Sequence[Change]) -> list[object]:
        """Their results, in order, once they are durable; a `Failure` where a change raised.

        As many transactions as it takes: each has a bound. Raises `BackendError` when none of the
        changes is known to be stored.
        """
        mine = _Waiting(changes)
        self._queue.append(mine)
        with self._turn:
            while mine.results is None and mine.error is None:
                self._commit_queued(mine)
        if mine.results is not None:
            return mine.results
        try:
            raise mine.error or AssertionError
        finally:
            del mine  # else error → traceback → this frame → it → error is a cycle for the GC

    def _commit_queued(self, mine: _Waiting) -> None:
        """What is queued, until that is a transaction: `mine` sooner or later."""
        taken, changes = list[_Waiting](), list[Change]()
        while self._queue and len(changes) < MOST:
            taken.append(self._queue.popleft())
            changes += taken[-1].changes
        try:
            results = iter(self._commit_all(changes))
        except BaseException as error:  # noqa: BLE001  # raised in each one's thread
            for one in taken:
                one.error = error if one is mine else copy(error)
            del one, taken  # as in `commit`
        else:
            for one in taken:
                one.results = list(islice(results, len(one.changes)))

    def _commit_all(self, changes: Sequence[Change]) -> list[object]:
        if self._closed:
            raise BackendError("store_unavailable", "the database is not open")
        results = self._commit(changes[:MOST])
        for start in range(MOST, len(changes), MOST):
            try:
                results += self._commit(changes[start : start + MOST])
            except BackendError as error:  # what came before is stored, and has to be told so
                results += [Failure(copy(error)) for _ in changes[start:]]
                break
        return results

    def _commit(self, changes: Sequence[Change]) -> list[object]:
        """Results in order. One change that contradicts the schema does not fail its neighbours.

        The database says that the batch contradicts it, not which change does: halving finds it
        in a few transactions.
        """
        try:
            return self._transact(changes)
        except ConstraintError as error:
            if len(changes) == 1:
                return [Failure(error)]
        middle = len(changes) // 2
        results = self._commit(changes[:middle])
        try:
            results += self._commit(changes[middle:])
        except BackendError as error:  # the first half is stored, and has to be told so
            results += [Failure(copy(error)) for _ in changes[middle:]]
        return results

    def _transact(self, changes: Sequence[Change]) -> list[object]:
        results: list[object] = []
        batches: list[Batch] = []

        def apply(session: Session) -> Writes:
            batch = Batch(session, self._guard, self._cache)
            batches.append(batch)
            results[:] = [_outcome(batch, change) for change in changes]
            if self._mark is not None:
                self._mark.stamp(batch)
            return batch.writes()

        try:
            self._backend.write(apply)
        except BaseException as error:
            known = isinstance(error, BackendError) and error.details["outcome"] == NOTHING_STORED
            for batch in batches:  # stored or not: nobody may answer from memory what they are now
                touched = batch.written()
                self._cache.forget([*touched, *batch.counted()])
                if not known:
                    self._counts.endings.note(touched)
            raise
        if self._mark is not None:
            self._mark.stored()
        self._cache.replace(batches[-1].seen())
        self._counts.endings.note(batches[-1].written())
        self._counts.add(len(changes))
        self._changed(batches[-1].size)
        return results


def _outcome(batch: Batch, change: Change) -> object:
    try:
        return batch.run(change)
    except BackendError:
        raise  # the transaction itself is broken
    except Exception as error:  # noqa: BLE001  # raised where the change was asked for
        return Failure(error)
