"""`Store`: what everybody else sees of the database.

Reads come from the cache, or from the database through the loader (rows by key) and the query
runner. Changes go to the writer. Each of these is an actor with a thread; a server's queries get a
thread each.

Whoever reads after an acknowledged commit sees it, from the cache or from the database. A `select`
reads the database and may show a commit a moment before it is acknowledged.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import Any, Final, TypeVar, cast, overload

import trio
from msgspec import Struct

from actors import (
    ActorError,
    Child,
    Failure,
    MailboxFull,
    Node,
    Overflow,
    RestartPolicy,
    Supervisor,
    World,
    supervise,
)
from actors.report import Reporter, log_failure
from actors.world import uptime_ns
from protocols.instant import MAX_NS, SECOND
from vault.errors import TamperedError, UnavailableError, VaultError
from vault.store.change_feed import feed_behind_error
from vault.store.committer import (
    Checkpointer,
    CommitCounts,
    CommitStamper,
    Committer,
    WriterActor,
    run_checkpointer,
)
from vault.store.fencing import fenced
from vault.store.interface import UNKNOWN, FeedPosition, StoreBackend, StoreSession
from vault.store.loader import CacheLoader, LoaderActor, RowAddress
from vault.store.memory_only import is_memory_only, require_database
from vault.store.query import check_query
from vault.store.query_runner import QueryActor, QueryRunner
from vault.store.read_index import PendingLook, ReadIndexActor
from vault.store.row_cache import (
    DEFAULT,
    MISSING,
    CacheConfig,
    CacheStats,
    Missing,
    RowCache,
)
from vault.store.row_guard import RowGuard
from vault.store.row_index import InDoubtError, RowIndex
from vault.store.shared_head import SharedHead
from vault.store.table import Key, RankedQuery, StoreQuery, Table
from vault.store.tables import VERSIONS
from vault.store.transaction import StoreTx

R = TypeVar("R", bound=Struct)
T = TypeVar("T")

log: Final = logging.getLogger("freehold.store")

COMMIT_TIMEOUT: Final = 30.0  # the time-out of the slowest client we know of is 60 s (bao, hvac)
LOAD_TIMEOUT: Final = 30.0  # the same
STOP_SECONDS: Final = 20.0
"""For what is under way: a database that another process locks keeps a transaction for 5 s, and the
connection after it as long."""
MAX_WAITING: Final = 4096  # messages; at 20 µs each that is a queue of 0.1 s, and 16 batches
RETRY_INTERVAL: Final = 3.0  # seconds between commits of nothing while none succeeds
_VIEWS: Final = 3  # the loader's, and two of whoever asks a file's queries
_RESTARTS: Final = RestartPolicy(
    # A full disk is waited out, at most a second at a time: reads go on meanwhile, so it never
    # escalates. 60 s hold fewer than 150 restarts at the cap.
    intensity=1000,
    window=60.0,
    backoff_base=0.01,
    backoff_cap=1.0,
)


NO_CACHE: Final = CacheConfig(max_bytes=0)


class StoreStats(Struct, frozen=True):
    """Counts since the store was opened."""

    cache: CacheStats
    transactions: int
    changes: int
    largest: int


class Store:
    """Rows by key and by query, and changes. Made by `open_store`."""

    def __init__(
        self,
        backend: StoreBackend,
        guard: RowGuard,
        world: World,
        *,
        cache: RowCache,
        counts: CommitCounts,
        committer: Committer,
        tree: Supervisor,
        loading: CacheLoader,
        pending_look: PendingLook,
        index: RowIndex | None = None,
    ) -> None:
        self._backend = backend
        self._world = world
        self._cache = cache
        self._counts = counts
        self._committer = committer
        self._tree = tree
        self._writer = tree.ref("writer")
        self._loader = tree.ref("loader")
        self._cache_loader = loading
        self._runner = QueryRunner(
            guard, cache, loading, index, can_prefetch=backend.readers > _VIEWS
        )
        self._look_outage = self._write_outage = ""  # why the last of each failed
        self.silence: Callable[[], str] = str
        """Why nothing may be answered although the database does; empty while it may be."""
        self.committed_at: Callable[[], float] = lambda: inf
        """When this node last had a commit stored, where that is a condition of its answers."""
        self._looked_at = -inf, 0  # `World.uptime` and `World.now`
        self._queries = tree.ref("queries") if backend.queries_in_turn else None
        views = _VIEWS if backend.queries_in_turn else 1
        self._look = None if backend.exclusive else tree.ref("look")
        self._pending_look = pending_look
        self._memory_limiter = trio.CapacityLimiter(1)
        self._reader_limiter = trio.CapacityLimiter(max(backend.readers - views, 1))

    @property
    def outage(self) -> str:
        """Why nothing is answered, as far as the database is concerned, for people; or empty."""
        if self.is_behind:
            return feed_behind_error().message
        return self._look_outage or self._write_outage

    @property
    def is_behind(self) -> bool:
        """Whether much is being taken over that other processes have committed."""
        return self._committer.is_behind

    async def catch_up(self) -> None:
        """See everything that any process or machine had acknowledged before this call.

        Called at the start of a request. Raises `TamperedError` (`feed_damaged`), and
        `UnavailableError` when the database does not answer, or for `silence`.
        """
        if reason := self.silence():
            raise UnavailableError("store_unavailable", reason)
        await self.look()

    async def look(self) -> None:
        """As `catch_up`, whatever `silence` says."""
        if self._look is None or self._committer.is_current:
            self._look_outage = ""
            return
        began, seconds = (self._world.uptime(), self._world.now()), self._backend.look_seconds
        try:
            if self._pending_look.is_overdue(0.0 if self.is_behind else seconds):
                raise self._not_in_time()
            await _await_reader(self._look.call(None, seconds), self._not_in_time)
        except UnavailableError as error:
            self._look_outage = error.message
            raise
        self._look_outage, self._looked_at = "", max(began, self._looked_at)

    @property
    def commits(self) -> int:
        """The number of the last commit that is seen here; 0: commits are not counted."""
        return self._committer.commits

    @property
    def feed_position(self) -> FeedPosition:
        """The feed entry of the last commit that is durable: it may be later than `commits`."""
        return self._committer.position

    def staleness(self) -> int:
        """For how many ns it is not known that everything acknowledged is seen here.

        By both clocks: one of them stands still while the machine is suspended, the other can be
        set back.
        """
        uptime, now = self._looked_at
        known = min(uptime, self.committed_at())
        if known == -inf:
            return MAX_NS
        return max(int((self._world.uptime() - known) * SECOND), self._world.now() - now)

    def _not_in_time(self) -> UnavailableError:
        return feed_behind_error() if self.is_behind else _not_in_time()

    def get_cached(self, table: Table[R], *key: str | int) -> R | Missing | None:
        """The row, or None when it does not exist, or `MISSING` when only the database can say."""
        return self._cache.lookup(table, key)

    def get_cached_snapshot(self, slots: Sequence[RowAddress], max_bytes: int) -> list[Any] | None:
        """Rows of one moment that are cached, all of them: see `RowCache.get_snapshot`."""
        return self._cache.get_snapshot(slots, max_bytes)

    @property
    def change_token(self) -> object:
        """Another object once any row was or may have been changed: see `RowCache`."""
        return self._cache.change_token

    @property
    def evicted_rows(self) -> int:
        """How many rows the cache has let go by itself: see `RowCache.evicted_rows`."""
        return self._cache.evicted_rows

    def has_row(self, table: Table[Any], *key: str | int) -> bool | None:
        """Whether a row exists, without a query; None: only a query can say."""
        index = self._committer.index
        return None if index is None or index.is_torn else index.has_row(table, key)

    def is_cached(self, table: Table[Any], *key: str | int) -> bool:
        """Whether a row is cached; it counts as no look."""
        return self._cache.contains(table, key)

    async def get(self, table: Table[R], *key: str | int) -> R | None:
        """The row; without a checkpoint when it is cached: a read has several, and waits anyway.

        Counts of a database that others write are read from it: the change feed has none of them.
        Raises `TamperedError`, and `UnavailableError` when the database does not answer.
        """
        if table.counted_subject and not self._backend.exclusive:
            require_database()
            query = StoreQuery(equals=dict(zip(table.key, key, strict=True)), limit=1)
            return next(iter(await self.select(table, query)), None)
        row = self._cache.lookup(table, key)
        if row is not MISSING:
            return row
        require_database()
        return cast("R | None", await _await_reader(self._loader.call((table, key), LOAD_TIMEOUT)))

    async def select(self, table: Table[R], query: StoreQuery) -> list[R]:
        """The rows of the query, as one view of the database has them.

        Raises as `get`, naming the damaged row, and `ValidationError` for a value that no row can
        have.
        """
        check_query(table, query)
        if is_memory_only():
            return await self._select_cached(table, query)
        expected = self._runner.expected_set(table, query)
        try:
            return await self._run_query(
                table, partial(self._runner.select, table, query, expected)
            )
        except InDoubtError:
            return await self._reselect(partial(self._runner.reselect, table, query))

    @overload
    async def select_all(self, table: Table[R]) -> list[R]: ...

    @overload
    async def select_all(self, table: Table[R], take: Callable[[R], T]) -> list[T]: ...

    async def select_all(
        self, table: Table[R], take: Callable[[R], object] = lambda row: row
    ) -> list[Any]:
        """What `take` makes of each row of a table, in the order of their keys. Raises as `select`.

        The rows are of one view, and none is missing: for whoever holds all of them in memory.
        `take` is called in a thread.
        """
        expected = self._runner.expected_set(table, None)
        try:
            return await self._in_thread(
                self._query_in_view, table, partial(self._runner.select_all, table, take, expected)
            )
        except InDoubtError:
            return await self._reselect(partial(self._runner.reselect_all, table, take))

    async def select_keys(self, table: Table[Any], query: StoreQuery) -> list[Key]:
        """The keys of the query's rows, in its order. Raises as `select`, but for a damaged row."""
        check_query(table, query)
        return await self._run_query(table, lambda session: session.select_keys(table, query))

    async def select_checked_keys(self, table: Table[Any], query: StoreQuery) -> list[Key]:
        """The keys of the rows that `select` would return. Raises as it does."""
        check_query(table, query)
        if is_memory_only():
            return [table.key_of(row) for row in await self._select_cached(table, query)]
        expected = self._runner.expected_set(table, query)
        try:
            return await self._run_query(
                table, partial(self._runner.select_keys, table, query, expected)
            )
        except InDoubtError:
            rows = await self._reselect(partial(self._runner.reselect, table, query))
            return [table.key_of(row) for row in rows]

    async def select_ranked(self, ranking: RankedQuery) -> list[Key]:
        """The keys of the ranking's rows, in its order. Raises as `get`.

        It looks at every row, so it is in no other query's way.
        """
        return await self._in_thread(
            self._query_in_view, ranking.table, lambda session: session.select_ranked(ranking)
        )

    async def load_into_cache(self, table: Table[R], keys: Sequence[Key]) -> list[R]:
        """Load rows into the cache before they are read, in one view of the database.

        Rows that are not there, or fail, are left to the reads that ask for them.
        """
        return cast("list[R]", await self._in_thread(self._warm, table, keys))

    async def commit(
        self, change: Callable[[StoreTx], T], *, deadline: float = COMMIT_TIMEOUT
    ) -> T:
        """Run `change` in a transaction and return its result once it is durable.

        `change` runs in a thread that commits, together with others, and may run more than once: it
        is a function of its `Tx` and what it captured. Raises what it raises (then nothing of it
        is stored), `ConstraintError`, or `UnavailableError`, whose `details["outcome"]` is `none`
        when nothing was stored, else `unknown`. A cancelled commit may still be stored.
        The task's fences (`vault.store.fencing`) are part of the change.
        """
        require_database()
        try:
            return cast("T", await self._writer.call(fenced(change), deadline))
        except MailboxFull:
            raise UnavailableError(
                "store_busy", "too many changes wait for the database", outcome="none"
            ) from None
        except ActorError:
            raise UnavailableError(
                "store_timeout",
                "the database did not answer in time; the change may be stored or not",
                outcome=UNKNOWN,
            ) from None

    def count_transactions(self, table: Table[Any], *key: str | int) -> int:
        """How many transactions that touched it are over: see `TableVersions`.

        Those of other processes are in it from the next `catch_up`, or commit, on.
        """
        return self._counts.table_versions.version_of(table, *key)

    def count_all_transactions(self) -> int:
        """How many transactions are over, whoever's: as `count_transactions`."""
        return self._counts.table_versions.total

    async def check(self) -> None:
        """Read the whole database once. Raises `BackendError` (`store_corrupt`)."""
        await self._in_thread(self._backend.check)

    async def foreign_writes(self) -> int:
        """See `StoreBackend`. Raises `BackendError`."""
        try:
            found = await self._in_thread(self._committer.foreign_writes)
        except UnavailableError as error:
            self._write_outage = error.message
            raise
        self._write_outage = ""
        return found

    @property
    def finding(self) -> TamperedError | None:
        """What was met of rows that are not ours."""
        index = self._committer.index
        return None if index is None else index.finding

    def record_finding(self, found: TamperedError) -> None:
        """Take note of what another process of the agent has met."""
        if self._committer.index is not None:
            self._committer.index.record_finding(found)

    async def invalidate_all(self) -> None:
        """Read each row anew, and let what was made of rows be made anew: see `Committer`."""
        await self._in_thread(self._committer.invalidate_all)

    async def inspect(self, begin: Callable[[], Callable[[StoreSession], T]]) -> T:
        """See `Committer`: a view of the database as our last commit has left it."""
        return await self._in_thread(self._committer.inspect, begin)

    def statistics(self) -> StoreStats:
        """A frozen count."""
        counts = self._counts
        return StoreStats(
            self._cache.statistics(), counts.transactions, counts.changes, counts.largest
        )

    @property
    def is_failing(self) -> bool:
        """Whether the last transaction could not be stored."""
        return self._counts.is_failing

    def tree(self) -> Node:
        """Writer and loader as actors: mailbox depth, restarts, time per message."""
        return self._tree.snapshot()

    async def _in_thread(self, fn: Callable[..., T], *args: object) -> T:
        require_database()
        return await self._world.run_sync(fn, *args, limiter=self._reader_limiter)

    async def _select_cached(self, table: Table[R], query: StoreQuery) -> list[R]:
        return await self._world.run_sync(
            self._runner.select_cached, table, query, limiter=self._memory_limiter
        )

    async def _run_query(self, table: Table[Any], question: Callable[[StoreSession], T]) -> T:
        require_database()
        if self._queries is None or table is VERSIONS:  # a page of values takes its time
            return await self._in_thread(self._query_in_view, table, question)
        return cast("T", await _await_reader(self._queries.call(question, LOAD_TIMEOUT)))

    def _query_in_view(self, table: Table[Any], question: Callable[[StoreSession], T]) -> T:
        return self._committer.read_known(question, {table})

    def _warm(self, table: Table[Any], keys: Sequence[Key]) -> list[object]:
        rows = self._cache_loader.load_rows([(table, key) for key in keys], counts_as_miss=False)
        return [row for row in rows if row is not None and type(row) is not Failure]

    async def _reselect(self, reselect: Callable[[StoreSession, RowIndex], list[T]]) -> list[T]:
        """Ask once more, in a view beside which nothing is committed. Raises as `select`."""
        return await self._in_thread(self._committer.read_between_commits, reselect)


@asynccontextmanager
async def open_store(
    backend: StoreBackend,
    guard: RowGuard,
    world: World,
    *,
    cache: RowCache | CacheConfig = DEFAULT,
    report: Reporter = log_failure,
    stamper: CommitStamper | None = None,
    index: RowIndex | None = None,
    head: SharedHead | None = None,
) -> AsyncIterator[Store]:
    """A store for the length of the block. A backend that is not open is opened, and closed again.

    Raises what `StoreBackend.open` raises. `report` gets every crash of an actor; `stamper` stamps
    each transaction. `index` says what rows have to be; None: whatever they are. A `cache` that is
    given ready is kept true by its owner; one that is described is empty where other processes may
    write the database, and there is no `stamper` to follow them. `head`: of a file that other
    processes of the agent write, too.
    """
    if not isinstance(cache, RowCache):
        follows = backend.exclusive or stamper is not None
        cache = RowCache(cache if follows else NO_CACHE, partial(uptime_ns, world))
    counts = CommitCounts()
    checkpoints = Checkpointer(backend, world)
    committer = Committer(
        backend,
        guard,
        cache,
        counts,
        stamper=stamper,
        index=index,
        head=head,
        on_rows_changed=checkpoints.on_rows_changed,
    )
    between_commits = committer.read_between_commits if committer.index is not None else None
    loading = CacheLoader(
        backend,
        guard,
        cache,
        index,
        read_between_commits=between_commits,
        read_known=committer.read_known,
    )

    recovery = _Recovery(world)

    def writer() -> WriterActor:
        return WriterActor(committer, world, recovery.begin)

    def loader() -> LoaderActor:
        return LoaderActor(loading, world)

    pending_look = PendingLook(world)

    def look() -> ReadIndexActor:
        return ReadIndexActor(committer, world, pending_look)

    def queries() -> QueryActor:
        return QueryActor(backend, world)

    children = [
        Child(
            name,
            factory,
            mailbox=MAX_WAITING,
            overflow=Overflow.REFUSE,
            stop_grace=STOP_SECONDS,
        )
        for name, factory, wanted in (
            ("writer", writer, True),
            ("loader", loader, True),
            ("look", look, not backend.exclusive),
            ("queries", queries, backend.queries_in_turn),
        )
        if wanted
    ]
    async with (
        _open_backend(backend, world),
        _close_committer_after(committer, world),
        supervise("store", children, world=world, policy=_RESTARTS, report=report) as tree,
        run_checkpointer(checkpoints),
    ):
        store = Store(
            backend, guard, world,
            cache=cache, counts=counts, committer=committer, tree=tree, loading=loading,
            pending_look=pending_look, index=index,
        )  # fmt: skip
        async with trio.open_nursery() as nursery:
            nursery.start_soon(recovery.run, store)
            try:
                yield store
            finally:
                committer.stop()
            nursery.cancel_scope.cancel()


class _Recovery:
    """Commits nothing while no commit succeeds, so that an idle agent notices its recovery."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._failed = trio.Event()

    def begin(self) -> None:
        """A commit has failed."""
        self._failed.set()

    async def run(self, store: Store) -> None:
        """Until cancelled."""
        while True:
            await self._failed.wait()
            self._failed = trio.Event()
            while store.is_failing:
                await self._world.sleep(RETRY_INTERVAL)
                try:
                    await store.commit(lambda _: None)
                except VaultError as error:  # damage is on record: see `Store.finding`
                    log.debug("still no commit: %s", error.message)


def _not_in_time() -> UnavailableError:
    return UnavailableError("store_timeout", "the database did not answer in time")


async def _await_reader(
    reply: Awaitable[T], not_in_time: Callable[[], UnavailableError] = _not_in_time
) -> T:
    """What an actor that reads replies, in the words of whoever waits for it."""
    try:
        return await reply
    except MailboxFull:
        raise UnavailableError("store_busy", "too many reads wait for the database") from None
    except ActorError:
        raise not_in_time() from None


@asynccontextmanager
async def _close_committer_after(committer: Committer, world: World) -> AsyncIterator[None]:
    """No transaction is under way behind the block, in whosever thread."""
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await world.run_sync(committer.close)


@asynccontextmanager
async def _open_backend(backend: StoreBackend, world: World) -> AsyncIterator[None]:
    if backend.is_open:
        yield
        return
    await world.run_sync(backend.open)
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):  # closing a file; a kill does the same less politely
            await world.run_sync(backend.close)
