"""The committer: changes of all who wait in one transaction, with one sync, whoever's thread it is.

One transaction at a time. Who comes while one is under way is in the next one, together with all
others who came: the first of them to have the turn commits for all.

A batch is answered when it is durable and the cache knows of it. When the database fails, every
change of the batch is told so. A connection whose fsync failed is never used again, because a
second fsync may report success for pages that the kernel has already dropped.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from copy import copy
from itertools import islice
from math import inf
from threading import Lock
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from actors import Failure
from protocols.errors import where
from vault.errors import UnavailableError
from vault.store.cache import Cache
from vault.store.endings import Endings
from vault.store.guard import Guard
from vault.store.interface import (
    NOTHING_STORED,
    UNKNOWN,
    Backend,
    BackendError,
    ConstraintError,
    Session,
    Writes,
)
from vault.store.row_index import Exchanged, RowIndex
from vault.store.tx import Batch, Tx

MOST: Final = 256
"""Changes of a transaction: ~5 ms of them at 20 µs each, the longest that one waits for others."""

NEVER: Final = inf

log: Final = logging.getLogger("freehold.store")

Change: TypeAlias = Callable[[Tx], Any]
T = TypeVar("T")


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
        self.failing = False
        """Whether the last transaction could not be stored."""

    def add(self, changes: int) -> None:
        """One more transaction is durable."""
        self.failing = False
        self.transactions += 1
        self.changes += changes
        self.largest = max(self.largest, changes)


class _Waiting:
    """Somebody's changes, and what became of them."""

    __slots__ = ("changes", "error", "results", "until")

    def __init__(self, changes: Sequence[Change], until: float) -> None:
        self.changes = changes
        self.until = until
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
        clock: Callable[[], float],
        *,
        mark: Mark | None = None,
        index: RowIndex | None = None,
        changed: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`clock` is `World.uptime`, of which the deadlines are.

        `changed` is told after each transaction, in its thread, how many rows it has changed.
        """
        self._backend = backend
        self._guard = guard
        self._cache = cache
        self._counts = counts
        self._clock = clock
        self._mark = mark
        self.index = index
        """What the rows have to be; None: whatever they are."""
        self._changed = changed
        self._turn = Lock()
        self._queue: deque[_Waiting] = deque()
        self._closed = False

    def connect(self) -> None:
        """A fresh connection whose durability was read back. Raises `BackendError`."""
        with self._turn:
            self._backend.connect()

    def inspect(self, begin: Callable[[], Callable[[Session], T]]) -> T:
        """Ask one view of the database, which is of the moment at which `begin` was called.

        No commit of ours is between the two; they go on while the view is asked. Raises as both.
        """
        with ExitStack() as stack:
            with self._turn:
                if self._closed:
                    raise BackendError("store_unavailable", "the database is not open")
                session = stack.enter_context(self._backend.read())
                ask = begin()
            return ask(session)

    def settled(self, ask: Callable[[Session, RowIndex], T]) -> T:
        """Ask a view of the database beside which nothing is committed. Raises what it raises."""
        index = self.index
        if index is None:
            raise RuntimeError("there is no index of rows")
        with self._turn, self._backend.read() as session:
            return ask(session, index)

    def forget(self) -> None:
        """Whatever is held of the database may be wrong, in this process and those that follow it.

        No commit of ours is under way, so what they are told of one is not mixed up with this.
        """
        with self._turn:
            self._cache.clear()
            self._counts.endings.note_all()

    def close(self) -> None:
        """Wait for the transaction that is under way; no other one begins."""
        with self._turn:
            self._closed = True

    def commit(self, changes: Sequence[Change], *, until: float = NEVER) -> list[object]:
        """Their results, in order, once they are durable; a `Failure` where a change raised.

        As many transactions as it takes: each has a bound. Raises `BackendError` when none of the
        changes is known to be stored, and `UnavailableError` (`store_timeout`) when they were not
        begun `until` then: whoever asked may have been told already, and have asked again.
        """
        mine = _Waiting(changes, until)
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
        """What is queued, as far as it is one transaction: `mine` sooner or later.

        Who comes with more than that is not taken beside others.
        """
        taken, changes = list[_Waiting](), list[Change]()
        while self._queue:
            if taken and len(changes) + len(self._queue[0].changes) > MOST:
                break
            one = self._queue.popleft()
            if one.until < self._clock():
                one.error = late()
                continue
            taken.append(one)
            changes += one.changes
        try:
            results = iter(self._commit_all(changes) if taken else ())
        except BaseException as error:  # noqa: BLE001  # raised in each one's thread
            for one in taken:
                one.error = error if one is mine else _copied(error)
            del one, taken, mine  # as in `commit`
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
            except Exception as error:  # noqa: BLE001  # what came before is stored, and has to be told so
                results += [Failure(_copied(error)) for _ in changes[start:]]
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
        except Exception as error:  # noqa: BLE001  # the first half is stored, and has to be told so
            results += [Failure(_copied(error)) for _ in changes[middle:]]
        return results

    def _transact(self, changes: Sequence[Change]) -> list[object]:
        results: list[object] = []
        batches: list[Batch] = []
        exchanged: Exchanged = {}

        def apply(session: Session) -> Writes:
            nonlocal exchanged
            batch = Batch(session, self._guard, self._cache, self.index)
            batches.append(batch)
            results[:] = [_outcome(batch, change) for change in changes]
            if self._mark is not None:
                self._mark.stamp(batch)
            if self.index is not None:
                exchanged = batch.exchanged()
            return batch.writes()

        try:
            self._backend.write(apply)
        except BaseException as error:
            known = isinstance(error, BackendError) and error.details["outcome"] == NOTHING_STORED
            self._counts.failing |= isinstance(error, BackendError)
            if self.index is not None and not known:
                self.index.doubt(exchanged)
            for batch in batches:  # stored or not: nobody may answer from memory what they are now
                touched = batch.written()
                self._cache.forget([*touched, *batch.counted()])
                if not known:
                    self._counts.endings.note(touched)
            raise
        self._remember(batches[-1], exchanged)
        self._counts.endings.note(batches[-1].written())
        self._counts.add(len(changes))
        self._changed(batches[-1].size)
        return results

    def _remember(self, batch: Batch, exchanged: Exchanged) -> None:
        """Take over what is durable now. A fault here is not the answer's: the change is stored.

        Nothing is answered from memory then of the rows that the transaction touched.
        """
        try:
            if self.index is not None:
                self.index.exchange(exchanged)
            if self._mark is not None:
                self._mark.stored()
            self._cache.replace(batch.seen())
        except Exception as error:  # noqa: BLE001  # whoever asked for the change is told that it is done
            log.error("what a transaction left is not kept in memory: %s", where(error))  # noqa: TRY400  # its text could hold a name
            self._cache.forget(batch.seen())


def _outcome(batch: Batch, change: Change) -> object:
    try:
        return batch.run(change)
    except BackendError:
        raise  # the transaction itself is broken
    except Exception as error:  # noqa: BLE001  # raised where the change was asked for
        return Failure(error)


def _copied(error: BaseException) -> Exception:
    """For somebody else than whom it was raised in; better shared than lost."""
    if not isinstance(error, Exception):  # what ends one thread is nothing to the others
        return BackendError("store_unavailable", "the transaction was cut off", UNKNOWN)
    try:
        return copy(error)
    except Exception:  # noqa: BLE001  # whatever a class makes of being copied
        return error


def late() -> UnavailableError:
    """The error for what was not begun in time."""
    text = "the database did not answer in time; nothing of this was begun"
    return UnavailableError("store_timeout", text, outcome=NOTHING_STORED)
