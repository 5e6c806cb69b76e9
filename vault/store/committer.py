"""The write path: group commit. Everybody who waits is in one transaction, with one sync.

`WriterActor` is the thread that commits: changes that arrive while one transaction is under way are
together in the next one. `Committer` runs the transactions, one at a time. `Checkpointer` copies
SQLite's write-ahead log back beside the commits.

A group is answered when it is durable and the cache has its rows. When the database fails, every
change of the group raises that. A connection whose fsync failed is never used again, because a
second fsync may report success for pages that the kernel has already dropped.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import (
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from copy import copy
from threading import Lock
from typing import Any, ClassVar, Final, Protocol, TypeAlias, TypeVar

import trio

from actors import BatchActor, Failure, Worker, World
from protocols.errors import locate
from vault.errors import TamperedError
from vault.store.change_feed import ENTRIES_PER_READ, FedChanges, FeedBehindError, feed_behind_error
from vault.store.interface import (
    NOTHING_STORED,
    UNKNOWN,
    UNSAFE,
    BackendError,
    ConstraintError,
    FeedPosition,
    StoreBackend,
    StoreSession,
    WriteSet,
)
from vault.store.row_cache import ChangedRow, RowCache
from vault.store.row_guard import RowGuard
from vault.store.row_index import IndexChanges, RowIndex, RowIndexBuilder
from vault.store.shared_head import SharedHead
from vault.store.table import Table
from vault.store.tables import AUTH_ENTRIES, SYSTEM
from vault.store.transaction import StoreTx, TransactionBatch

MAX_BATCH_CHANGES: Final = 256
"""Changes of a transaction: ~5 ms of them at 20 µs each, the longest that one waits for others."""

BATCH_DELAY: Final = 0.002
"""Seconds that the writer waits for more: a transaction costs a thread's turns and a sync."""
CHECKPOINT_ROWS: Final = 500  # changed since the last one; about as many pages of a SQLite log
MIN_PAUSE: Final = 0.25  # seconds between two checkpoints: each syncs the whole database

log: Final = logging.getLogger("freehold.store")

Change: TypeAlias = Callable[[StoreTx], Any]
T = TypeVar("T")


class CommitStamper(Protocol):
    """What every transaction leaves in the database, so that an older copy of it is noticed."""

    @property
    def commits(self) -> int:
        """The number of the last transaction that is known here to be durable."""
        ...

    @property
    def position(self) -> FeedPosition:
        """The feed entry of that transaction: never older than what cache and index have."""
        ...

    def stamp(self, batch: TransactionBatch, /) -> None:
        """Add to a transaction whose changes are done; it may come to nothing, and be done again.

        In the thread that commits; no other one does meanwhile.
        """
        ...

    def on_durable(self) -> None:
        """The transaction that was stamped last is durable."""
        ...

    @property
    def written(self) -> bytes:
        """The head after that transaction."""
        ...

    def catch_up(
        self, session: StoreSession, /, *, most: int | None = None
    ) -> Iterable[list[FedChanges]]:
        """What others have committed since the last transaction, or the last call of this.

        In pieces; whoever does not take all of them has to `resume`. In the thread that commits; no
        other one does meanwhile. Raises `TamperedError`, `UnavailableError`, and `FeedBehindError`
        if they are more than `most`, or more than the feed holds.
        """
        ...

    def count_rows(self, session: StoreSession, guard: RowGuard, rows: RowIndexBuilder, /) -> Any:
        """Count all rows of a view, and add them to `rows`; what `resume` goes on from.

        In any thread. Raises `TamperedError`.
        """
        ...

    def resume(self, counted: Any, /) -> None:
        """Go on from what `count_rows` has found. In the thread that commits."""
        ...


_VersionKey: TypeAlias = str | tuple[str | int, ...]
_OWNERS: Final = 1024  # counters of the mounts that own rows: two mounts may share one


class TableVersions:
    """How many transactions that changed a table, a row of `system`, or a mount's entries are over.

    For whoever holds rows in another form: a change that timed out may still be stored, long after
    its caller has read back what was stored until then. Transactions of other processes count once
    the change feed tells of them. Written by the committing thread, read by any.
    """

    def __init__(self) -> None:
        self._counts: dict[_VersionKey, int] = {}
        self._all = 0
        self.total = 0
        """Transactions that are over, whatever they changed."""

    def record_transaction(self, touched: Iterable[ChangedRow]) -> None:
        """A transaction that changed these, or may have, is over, and the cache knows of it."""
        names: set[_VersionKey] = set()
        for table, key, _ in touched:
            names.add(_version_key(table, key))
            if table is not SYSTEM:
                names.add(table.name)
        for name in names:
            self._counts[name] = self._counts.get(name, 0) + 1
        self.total += 1  # last: a reader that sees this count sees those above

    def record_unknown_changes(self) -> None:
        """Anything at all may have been changed, and the cache knows of it."""
        self._all += 1
        self.total += 1

    def version_of(self, table: Table[Any], *key: str | int) -> int:
        """How many there were, or more.

        `key`: of a row of `system`; of `auth_entries` the mount's id; of no other table.
        """
        return self._all + self._counts.get(_version_key(table, key), 0)


def _version_key(table: Table[Any], key: tuple[str | int, ...]) -> _VersionKey:
    if table is AUTH_ENTRIES and key:
        return table.name, hash(key[0]) % _OWNERS
    return key if table is SYSTEM else table.name


class CommitCounts:
    """What was committed to one store; written by whoever commits."""

    def __init__(self) -> None:
        self.transactions = 0
        self.changes = 0
        self.largest = 0
        self.table_versions = TableVersions()
        self.is_failing = False
        """Whether the last transaction could not be stored."""

    def record_commit(self, changes: int) -> None:
        """One more transaction is durable."""
        self.is_failing = False
        self.transactions += 1
        self.changes += changes
        self.largest = max(self.largest, changes)


class Committer:
    """Commits to one backend, one transaction at a time, until it is closed."""

    def __init__(
        self,
        backend: StoreBackend,
        guard: RowGuard,
        cache: RowCache,
        counts: CommitCounts,
        *,
        stamper: CommitStamper | None = None,
        index: RowIndex | None = None,
        head: SharedHead | None = None,
        on_rows_changed: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`head`: of a file that other processes of the agent write, too.

        `on_rows_changed` is called after each transaction, in its thread, with the number of rows.
        """
        self._backend = backend
        self._guard = guard
        self._cache = cache
        self._counts = counts
        self._stamper = stamper
        self.index = index
        """What the rows have to be; None: whatever they are."""
        self._head = head
        self._applied = -1 if stamper is None else stamper.commits  # cache and index are so new
        self._applied_head = b"" if stamper is None else stamper.written  # the same
        self._on_rows_changed = on_rows_changed
        self._commit_lock = Lock()
        self._closed = False
        self._is_partial = False  # of what others committed, cache and index have a part
        self._damage: TamperedError | None = None  # of the feed or the rows: nothing goes on
        self.is_behind = False
        """Whether much is being taken over that others have committed. In any thread."""
        self._counting: RowIndexBuilder | None = None
        self._is_counting_logged = False
        self._is_stopping = False

    def connect(self) -> None:
        """A fresh connection whose durability was read back. Raises `BackendError`."""
        with self._commit_lock:
            self._backend.connect()

    @property
    def is_current(self) -> bool:
        """Whether everything committed is known here, as far as that is known without a query."""
        return self._backend.exclusive or (
            self._head is not None and self._head.is_at(self._applied)
        )

    @property
    def commits(self) -> int:
        """The number of the last commit that cache and index have; 0: commits are not counted."""
        return max(self._applied, 0)

    @property
    def position(self) -> FeedPosition:
        """The feed entry of the last transaction that is known to be durable."""
        return FeedPosition(0, b"") if self._stamper is None else self._stamper.position

    def catch_up(self) -> None:
        """Take over what others have committed until now, if anything; blocks.

        It may take long: `is_behind` says so, and `stop` ends it. Raises as `read`,
        `TamperedError`, and `FeedBehindError` if meanwhile again more was committed than the feed
        holds.
        """
        if self._stamper is None or self.is_current:
            return
        if self._head is None and self._backend.read_head() == self._applied_head:
            return
        try:
            self._follow()
        except FeedBehindError:
            self._reload(self._stamper)
            self._follow()

    def stop(self) -> None:
        """Have `catch_up` end soon if it takes long."""
        self._is_stopping = True
        if self._counting is not None:
            self._counting.stop()

    def _follow(self) -> None:
        with self._commit_lock, self._backend.read() as session:
            self._apply_feed(session)

    def _reload(self, stamper: CommitStamper) -> None:
        """Count all rows anew, as at the opening, and forget what was made of them before.

        Commits of this process fail meanwhile (`FeedBehindError`). The old index stays until the
        new one is there: a reader that began before compares with it, and asks again.
        """
        self.is_behind = True
        if not self._is_counting_logged:
            log.warning(
                "commits of others are missing that the change feed no longer holds: all rows are "
                "counted anew"
            )
        self._is_counting_logged = True  # what fails is tried again and again
        rows = self._counting = RowIndexBuilder()
        if self._is_stopping:
            rows.stop()
        try:
            with self._record_tampering(), self._backend.read() as session:
                counted = stamper.count_rows(session, self._guard, rows)
            index = RowIndex(rows)
        except MemoryError:
            raise _too_little_memory() from None
        finally:
            self._counting = None
            rows.clear()
        with self._commit_lock:
            if self.index is not None:
                self.index.replace(index)
            stamper.resume(counted)
            self._cache.clear()
            self._counts.table_versions.record_unknown_changes()
            self._is_partial = self.is_behind = self._is_counting_logged = False
            self._set_applied(stamper)
        log.warning("all rows are counted, as of commit %d", self._applied)

    def _apply_feed(self, session: StoreSession, *, most: int | None = None) -> None:
        """Take over what the change feed says, in the turn to commit. Raises as `catch_up`."""
        if self._stamper is None:
            return
        if self._damage is not None:
            raise copy(self._damage)
        if self._is_partial or (self.index is not None and self.index.is_torn):
            raise feed_behind_error()
        with self._record_tampering():
            for number, piece in enumerate(self._stamper.catch_up(session, most=most)):
                self._is_partial, self.is_behind = True, self.is_behind or number > 0
                for fed in piece:
                    if self.index is not None:
                        self.index.apply(fed.index_changes)
                    self._cache.invalidate(fed.rows)
                    self._counts.table_versions.record_transaction(fed.rows)
                if self._is_stopping:
                    raise BackendError("store_unavailable", "the database is being closed")
        self._is_partial = self.is_behind = False
        self._set_applied(self._stamper)

    def _set_applied(self, stamper: CommitStamper) -> None:
        self._applied, self._applied_head = stamper.commits, stamper.written
        if self._head is not None:
            self._head.publish(self._applied)

    @contextmanager
    def _record_tampering(self) -> Iterator[None]:
        try:
            yield
        except TamperedError as error:
            self._damage = error
            if self.index is not None:
                self.index.record_finding(error)
            raise

    def foreign_writes(self) -> int:
        """See `StoreBackend`; none of ours is under way meanwhile. Blocks."""
        with self._commit_lock, self._hold_head():
            return self._backend.foreign_writes()

    def inspect(self, begin_inspection: Callable[[], Callable[[StoreSession], T]]) -> T:
        """Ask one view of the database, of the moment at which `begin_inspection` was called.

        No commit of ours is between the two; commits go on while the view is read. Raises as both.
        """
        with ExitStack() as stack:
            with self._commit_lock:
                if self._closed:
                    raise BackendError("store_unavailable", "the database is not open")
                session = stack.enter_context(self._backend.read())
                self._settle_index(session)
                ask = begin_inspection()
            return ask(session)

    def read_known(self, ask: Callable[[StoreSession], T], tables: AbstractSet[Table[Any]]) -> T:
        """Ask a view of these tables that has all that is known here when it is opened.

        It may be a replica's, and takes no turn to commit. `ask` may be called twice. Raises what
        it raises, and `BackendError`.
        """
        position = None if self._stamper is None else self._stamper.position
        if position is None or not position.chain or SYSTEM in tables:
            with self._backend.read() as session:
                return ask(session)
        return self._backend.read_since(position, ask)

    def read_between_commits(self, ask: Callable[[StoreSession, RowIndex], T]) -> T:
        """Ask a view of the database while no commit is under way. Raises what `ask` raises."""
        index = self.index
        if index is None:
            raise RuntimeError("there is no index of rows")
        with self._commit_lock, self._backend.read() as session:
            self._settle_index(session)
            return ask(session, index)

    def _settle_index(self, session: StoreSession, *, most: int | None = None) -> None:
        """Learn what was committed: by others, or by ourselves without an answer.

        Raises `FeedBehindError` if others have made more than `most` commits.
        """
        if not self._backend.exclusive:
            self._apply_feed(session, most=most)
        elif self.index is not None:
            if self.index.is_torn:
                self._recount(session, self.index)
            self.index.resolve_in_doubt(session.get_macs)

    def _recount(self, session: StoreSession, index: RowIndex) -> None:
        """Count the rows of this view anew, in the turn to commit; for a database of our own.

        The index lacks a part of what we have committed. To compare rows with it would look like
        tampering, or hide it. Raises `TamperedError`, `UnavailableError`, and `BackendError`
        (`store_full`), until there is memory.
        """
        if self._stamper is None:
            raise BackendError("store_full", "the index of rows lacks a commit; restart the agent")
        if not self._is_counting_logged:
            log.warning("the index of rows lacks a commit: all rows are counted anew")
        self._is_counting_logged = self.is_behind = True
        rows = self._counting = RowIndexBuilder()
        if self._is_stopping:
            rows.stop()
        try:
            with self._record_tampering():
                counted = self._stamper.count_rows(session, self._guard, rows)
            index.replace(RowIndex(rows))
        except MemoryError:
            raise _too_little_memory() from None
        finally:
            self._counting, self.is_behind = None, False  # the next one who asks tries again
            rows.clear()
        self._stamper.resume(counted)
        self._is_counting_logged = False
        self._set_applied(self._stamper)
        log.warning("all rows are counted, as of commit %d", self._applied)

    def invalidate_all(self) -> None:
        """Forget every cached row and count every table as changed; no commit is under way."""
        with self._commit_lock:
            self._cache.clear()
            self._counts.table_versions.record_unknown_changes()

    def close(self) -> None:
        """Wait for the transaction that is under way; no other one begins."""
        with self._commit_lock:
            self._closed = True

    def commit(self, changes: Sequence[Change]) -> list[object]:
        """Commit them together; blocks. Results in order, a `Failure` where one raised.

        Raises `BackendError` when none of the changes is known to be stored.
        """
        with self._commit_lock:
            if self._closed:
                raise BackendError("store_unavailable", "the database is not open")
            try:
                return self._commit_or_bisect(changes)
            except FeedBehindError:
                pass
            try:
                with self._backend.read() as session:
                    self._apply_feed(session)  # not under the head, for which others wait
                return self._commit_or_bisect(changes)
            except FeedBehindError as error:  # nothing is stored
                return [Failure(copy(error)) for _ in changes]

    def _commit_or_bisect(self, changes: Sequence[Change]) -> list[object]:
        """Results in order. One change that contradicts the schema does not fail its neighbours.

        The database says that the batch contradicts it, not which change does: halving finds it
        in a few transactions.
        """
        try:
            return self._run_transaction(changes)
        except ConstraintError as error:
            if len(changes) == 1:
                return [Failure(error)]
        middle = len(changes) // 2
        results = self._commit_or_bisect(changes[:middle])
        try:
            results += self._commit_or_bisect(changes[middle:])
        except Exception as error:  # noqa: BLE001  # the first half is stored, and is answered so
            results += [Failure(_copy_error(error)) for _ in changes[middle:]]
        return results

    def _run_transaction(self, changes: Sequence[Change]) -> list[object]:
        """One database transaction: run the changes, stamp it, store it, publish it."""
        with self._hold_head():
            return self._run_under_head(changes)

    def _hold_head(self) -> AbstractContextManager[None]:
        return nullcontext() if self._head is None else self._head.hold()

    def _run_under_head(self, changes: Sequence[Change]) -> list[object]:
        results: list[object] = []
        batches: list[TransactionBatch] = []
        index_changes: IndexChanges = {}
        has_begun = False

        def apply(session: StoreSession) -> WriteSet:
            nonlocal index_changes, has_begun
            self._settle_index(session, most=ENTRIES_PER_READ)
            batch = TransactionBatch(session, self._guard, self._cache, self.index)
            batches.append(batch)
            results[:] = [_run_change(batch, change) for change in changes]
            if self._stamper is not None:
                self._stamper.stamp(batch)
                if self._head is not None:
                    self._head.begin_commit(self._stamper.commits + 1)
                    has_begun = True
            if self.index is not None:
                index_changes = batch.index_changes()
            return batch.write_set()

        try:
            self._backend.write(apply)
        except BaseException as error:
            known = isinstance(error, BackendError) and error.details["outcome"] == NOTHING_STORED
            self._counts.is_failing |= isinstance(error, BackendError)
            if has_begun and (known or not isinstance(error, BackendError)):
                self._abandon_commit()
            if self.index is not None and not known and self._backend.exclusive:
                self.index.mark_in_doubt(index_changes)
            for batch in batches:  # stored or not: memory does not know what these rows are now
                touched = batch.changed_rows()
                self._cache.invalidate([*touched, *batch.counted_rows()])
                if not known:
                    self._counts.table_versions.record_transaction(touched)
            raise
        self._publish_commit(batches[-1], index_changes)
        self._counts.table_versions.record_transaction(batches[-1].changed_rows())
        self._counts.record_commit(len(changes))
        self._on_rows_changed(batches[-1].size)
        return results

    def _publish_commit(self, batch: TransactionBatch, index_changes: IndexChanges) -> None:
        """Give what is durable now to the index and the cache; a fault here fails no change.

        The cache then forgets the rows that the transaction touched. An index that could not take
        it over is torn: all rows are counted anew before it is asked again.
        """
        try:
            if self.index is not None:
                self.index.apply(index_changes)
            if self._stamper is not None:
                self._stamper.on_durable()
            self._cache.apply_commit(batch.cacheable_rows())
            self._end_commit()
        except Exception as error:  # noqa: BLE001  # the change is stored, and is answered so
            log.error("what a transaction left is not kept in memory: %s", locate(error))  # noqa: TRY400  # its text could hold a name
            self._cache.invalidate(batch.cacheable_rows())
            if self._head is not None:
                self._head.end_last_commit()  # it is answered, so others have to look

    def _abandon_commit(self) -> None:
        if self._stamper is not None and self._head is not None:
            self._head.abandon_commit(self._stamper.commits)

    def _end_commit(self) -> None:
        if self._stamper is None:
            return
        self._applied, self._applied_head = self._stamper.commits, self._stamper.written
        if self._head is not None:
            self._head.end_commit(self._applied)


def _run_change(batch: TransactionBatch, change: Change) -> object:
    try:
        return batch.run_change(change)
    except BackendError:
        raise  # the transaction itself is broken
    except Exception as error:  # noqa: BLE001  # raised where the change was asked for
        return Failure(error)


def _copy_error(error: BaseException) -> Exception:
    """A copy for another caller; the same error where it cannot be copied."""
    if not isinstance(error, Exception):  # what ends one thread does not end the others
        return BackendError("store_unavailable", "the transaction was cut off", UNKNOWN)
    try:
        return copy(error)
    except Exception:  # noqa: BLE001  # whatever a class makes of being copied
        return error


class WriterActor(BatchActor[Change]):
    """The thread that commits. Its messages are changes, its replies what they return."""

    max_batch: ClassVar[int] = MAX_BATCH_CHANGES
    hold: ClassVar[float] = BATCH_DELAY

    def __init__(self, committer: Committer, world: World, on_failure: Callable[[], None]) -> None:
        """`on_failure` is called when the database has taken none of a batch."""
        self._committer = committer
        self._world = world
        self._on_failure = on_failure
        self._thread: Worker

    async def on_start(self) -> None:
        """Ready with a fresh connection whose durability was read back. Raises `BackendError`.

        A database that became unsafe is not waited for: each change is refused and told why.
        """
        self._thread = self._world.worker("store writer")
        try:
            await self._thread.run(self._committer.connect)
        except BackendError as error:
            if error.code != UNSAFE:
                self._thread.close()
                raise
            log.error("%s", error.message)  # noqa: TRY400  # one line tells all
        except BaseException:
            self._thread.close()
            raise

    async def receive_batch(self, batch: Sequence[Change]) -> Sequence[object]:
        """Commit the changes together; raises `BackendError` when none of them was stored."""
        try:
            return await self._thread.run(self._committer.commit, batch)
        except BackendError:
            self._on_failure()
            raise

    async def on_stop(self) -> None:
        """Let the thread go."""
        self._thread.close()


def _too_little_memory() -> BackendError:
    return BackendError(
        "store_full",
        "the rows cannot be counted: the agent has too little memory. Give it more and restart it",
    )


class Checkpointer:
    """Copies the write-ahead log back into the database once enough rows have changed.

    In a commit, as SQLite does it by itself, the whole group would wait for the copying and its
    sync. `run` must run meanwhile.
    """

    def __init__(self, backend: StoreBackend, world: World) -> None:
        """To be made within a Trio run; it serves that run only."""
        self._backend = backend
        self._world = world
        self._token = trio.lowlevel.current_trio_token()
        self._rows = 0  # ever; set in the thread that commits
        self._copied = 0  # of these, at the last one
        self._due = trio.Event()

    def on_rows_changed(self, rows: int) -> None:
        """So many more rows are committed; called in the thread that commits."""
        before = self._rows
        self._rows = before + rows
        if before < self._copied + CHECKPOINT_ROWS <= self._rows:
            self._token.run_sync_soon(self._wake_if_due)

    async def run(self) -> None:
        """Until cancelled; one that has begun is ended first."""
        while True:
            await self._due.wait()
            self._copied, self._due = self._rows, trio.Event()
            try:
                await self._world.run_sync(self._backend.checkpoint)
            except BackendError as error:
                log.warning("no checkpoint of the database, it is tried again: %s", error)
            await self._world.sleep(MIN_PAUSE)
            self._wake_if_due()

    def _wake_if_due(self) -> None:
        if self._rows >= self._copied + CHECKPOINT_ROWS:
            self._due.set()


@asynccontextmanager
async def run_checkpointer(checkpoints: Checkpointer) -> AsyncIterator[None]:
    """They are made for the length of the block."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(checkpoints.run)
        yield
        nursery.cancel_scope.cancel()
