"""The writer: everybody's changes, one transaction at a time, one fsync for all that wait.

A batch is answered when it is durable and the cache knows of it. When the database fails, every
change of the batch is told so and the actor crashes: its supervisor lets it open a fresh, checked
connection. A connection whose fsync failed is never used again, because a second fsync may report
success for pages that the kernel has already dropped.
"""

from collections.abc import Callable, Sequence
from copy import copy
from itertools import islice
from typing import Any, ClassVar, Final, Protocol

from actors import BatchActor, Failure, Worker, World
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

HOLD: Final = 0.002  # seconds; a transaction costs a thread's turns and a sync, whatever is in it

Change = Callable[[Tx], Any]


class Mark(Protocol):
    """What every transaction leaves in the database, so that an older copy of it is noticed."""

    def stamp(self, batch: Batch, /) -> None:
        """Add to a transaction whose changes are done; it may come to nothing, and be done again.

        On the writer's thread.
        """
        ...

    def stored(self) -> None:
        """The transaction that was stamped last is durable."""
        ...


class Counts:
    """What the writers of one store have done, over all incarnations; written by one thread."""

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


class Writer(BatchActor[Change | list[Change]]):
    """The only one who writes. Its messages are changes, its replies what they return.

    Of a list the reply is a list: results, and a `Failure` where one raised.
    """

    # The longest that a change waits for its neighbours: ~5 ms of them at 20 µs each. A list
    # counts as one message; transactions have no more changes than this.
    max_batch: ClassVar[int] = 256
    hold: ClassVar[float] = HOLD

    def __init__(
        self,
        backend: Backend,
        guard: Guard,
        cache: Cache,
        world: World,
        counts: Counts,
        *,
        mark: Mark | None = None,
        changed: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`changed` is told after each batch how many rows it has changed."""
        self._mark = mark
        self._changed = changed
        self._rows = 0
        self._backend = backend
        self._guard = guard
        self._cache = cache
        self._world = world
        self._counts = counts
        self._thread: Worker

    async def on_start(self) -> None:
        """Ready with a fresh connection whose durability was read back. Raises `BackendError`."""
        self._thread = self._world.worker("store writer")
        try:
            await self._thread.run(self._backend.connect)
        except BaseException:
            self._thread.close()
            raise

    async def receive_batch(self, batch: Sequence[Change | list[Change]]) -> Sequence[object]:
        """Commit the changes together; raises `BackendError` when none of them was stored."""
        changes: list[Change] = []
        for message in batch:
            changes += message if isinstance(message, list) else (message,)
        results = await self._thread.run(self._commit_all, changes)
        rows, self._rows = self._rows, 0
        self._changed(rows)
        rest = iter(results)
        return [
            list(islice(rest, len(message))) if isinstance(message, list) else next(rest)
            for message in batch
        ]

    async def on_stop(self) -> None:
        """Let the thread go."""
        self._thread.close()

    def _commit_all(self, changes: Sequence[Change]) -> list[object]:
        """Results in order, of as many transactions as it takes: each has a bound."""
        results = self._commit(changes[: self.max_batch])
        for start in range(self.max_batch, len(changes), self.max_batch):
            try:
                results += self._commit(changes[start : start + self.max_batch])
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
        self._rows += batches[-1].size
        self._counts.add(len(changes))
        return results


def _outcome(batch: Batch, change: Change) -> object:
    try:
        return batch.run(change)
    except BackendError:
        raise  # the transaction itself is broken
    except Exception as error:  # noqa: BLE001  # raised where the change was asked for
        return Failure(error)
