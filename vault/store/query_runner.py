"""Queries: rows selected in one view of the database, verified, and taken from the cache if there.

`QueryRunner` runs one query in one `StoreSession`, in a thread. `QueryActor` runs those that wait
at the same time in one view.

A row has a MAC, so nobody else can write one; the `RowIndex` says which rows there are, so none can
be left out or put back. A row that was committed just now may differ from the index: `select`
raises `InDoubtError` then, and the caller asks again with `reselect`, beside no commit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

from msgspec import Struct

from actors import BatchActor, Failure, Worker, World
from vault.errors import TamperedError
from vault.store.interface import BackendError, StoreBackend, StoreSession
from vault.store.loader import CacheLoader
from vault.store.memory_only import not_in_memory
from vault.store.query import asks_key_alone, can_answer
from vault.store.row_cache import RowCache, StampedKey
from vault.store.row_guard import RowGuard, check_row
from vault.store.row_index import (
    WORD_MASK,
    ExpectedSet,
    InDoubtError,
    RowIndex,
    sum_places,
    tampered_error,
)
from vault.store.table import Key, StoreQuery, Table
from vault.store.tables import VERSIONS

R = TypeVar("R", bound=Struct)
T = TypeVar("T")

MAX_PREFETCH: Final = 64
"""Rows that a query brings into the cache, so that what is asked for again is there: not all, or
whoever looks through everything once would push out what others read. Values never: they are large,
and most of them are nobody's current ones."""
QueryFunction: TypeAlias = Callable[[StoreSession], Any]


class QueryRunner:
    """Runs queries over a guard, a cache and an index of rows; each method in one view.

    `expected` has to be made before the view is opened (`expected_set`).
    """

    def __init__(
        self,
        guard: RowGuard,
        cache: RowCache,
        loader: CacheLoader,
        index: RowIndex | None,
        *,
        can_prefetch: bool,
    ) -> None:
        """`can_prefetch`: whether a query has a view left for the rows that it caches."""
        self._guard = guard
        self._cache = cache
        self._loader = loader
        self._index = index
        self._can_prefetch = can_prefetch

    def expected_set(self, table: Table[Any], query: StoreQuery | None) -> ExpectedSet | None:
        """What the answer has to be, as the index says. None: it does not say."""
        return None if self._index is None else self._index.expected_set(table, query)

    def select(
        self,
        table: Table[R],
        query: StoreQuery,
        expected: ExpectedSet | None,
        session: StoreSession,
    ) -> list[R]:
        """The rows of the query: from the cache where the view has the same MACs."""
        if table.is_guarded and self._cache.config.max_bytes:
            stamped_keys = session.select_macs(table, query)
            known = self._cached_rows(table, stamped_keys)
            if len(known) == len(stamped_keys):
                rows = [known[key] for key, _ in stamped_keys]
                self._verify_answer(table, query, [key for key, _ in stamped_keys], rows, expected)
                return rows
        return self._select_checked(table, query, expected, session)

    def select_cached(self, table: Table[R], query: StoreQuery) -> list[R]:
        """The rows of a query whose whole answer is cached, as the index says. No view is needed.

        Only of a table with one key column. Raises `UnavailableError` if it is not known.
        """
        whole = StoreQuery(equals=query.equals, prefix=query.prefix)
        expected = self.expected_set(table, whole)
        if expected is None or len(table.key) > 1 or query.at_most or query.descending:
            raise not_in_memory()
        _, beginning = query.prefix or ("", "")
        keys: list[Key] = [(text,) for text in self._cache.texts_below(table, beginning)]
        if query.equals:
            rows = self._cache.peek_rows(table, keys)
            keys = [key for key, row in rows.items() if _has_values(row, query.equals)]
        if not expected.is_met_by_sum(sum_places(table, keys)):
            raise not_in_memory()
        keys = [key for key in keys if query.after is None or key > query.after][: query.limit]
        rows = self._cache.peek_rows(table, keys)
        if len(rows) < len(keys):
            raise not_in_memory()
        return [rows[key] for key in keys]

    def select_all(
        self,
        table: Table[R],
        take: Callable[[R], T],
        expected: ExpectedSet | None,
        session: StoreSession,
    ) -> list[T]:
        """What `take` makes of each row of the table, a page at a time."""
        taken: list[T] = []
        total, after = 0, None
        while rows := self.select(table, StoreQuery(after=after), None, session):
            if expected is not None and after is None:
                expected.observe()
            taken += map(take, rows)
            total += sum_places(table, map(table.key_of, rows))
            after = table.key_of(rows[-1])
        if expected is not None and not expected.is_met_by_sum(total & WORD_MASK):
            raise InDoubtError
        return taken

    def select_keys(
        self,
        table: Table[Any],
        query: StoreQuery,
        expected: ExpectedSet | None,
        session: StoreSession,
    ) -> list[Key]:
        """The keys of the rows that `select` returns; cached rows stay packed where it can be."""
        if not asks_key_alone(table, query):
            return [table.key_of(row) for row in self.select(table, query, expected, session)]
        if table.is_guarded and self._cache.config.max_bytes:
            stamped_keys = session.select_macs(table, query)
            lacking = self._cache.find_uncached(table, stamped_keys)
            if len(self._prefetch(table, lacking)) == len(lacking):
                keys = [key for key, _ in stamped_keys]
                self._verify_answer(table, query, keys, (), expected)
                return keys
        return [table.key_of(row) for row in self._select_checked(table, query, expected, session)]

    def reselect(
        self, table: Table[R], query: StoreQuery, session: StoreSession, index: RowIndex
    ) -> list[R]:
        """The rows of the query, in a view beside which nothing is committed.

        Raises `TamperedError` where `select` raises `InDoubtError`, and records it in the index.
        """
        with index.record_tampering(table):
            rows = [check_row(self._guard, table, row) for row in session.select(table, query)]
        keys = list(map(table.key_of, rows))
        for key, row in zip(keys, rows, strict=True):
            index.verify_row(table, key, _mac(row))
        index.verify_answer(table, query, keys, rows)
        return rows

    def reselect_all(
        self, table: Table[R], take: Callable[[R], T], session: StoreSession, index: RowIndex
    ) -> list[T]:
        """As `select_all`, in a view beside which nothing is committed. Raises as `reselect`."""
        taken: list[T] = []
        total, after = 0, None
        while rows := self.reselect(table, StoreQuery(after=after), session, index):
            taken += map(take, rows)
            total += sum_places(table, map(table.key_of, rows))
            after = table.key_of(rows[-1])
        index.verify_sum(table, total & WORD_MASK)
        return taken

    def _select_checked(
        self,
        table: Table[R],
        query: StoreQuery,
        expected: ExpectedSet | None,
        session: StoreSession,
    ) -> list[R]:
        """The rows as the database has them, each verified."""
        try:
            rows = [check_row(self._guard, table, row) for row in session.select(table, query)]
        except TamperedError:
            if self._index is None or table.kept_packed:
                raise
            raise InDoubtError from None  # it is looked at again beside no commit, and recorded
        if table.is_guarded:
            self._verify_answer(table, query, list(map(table.key_of, rows)), rows, expected)
        index = self._index
        if index is not None and table.is_guarded:
            for row in rows:
                if not index.matches(table, table.key_of(row), _mac(row)):
                    raise InDoubtError
        return rows

    def _verify_answer(
        self,
        table: Table[Any],
        query: StoreQuery,
        keys: Sequence[Key],
        rows: Sequence[Any],
        expected: ExpectedSet | None,
    ) -> None:
        """Raise `InDoubtError` unless these can be all rows of the answer.

        An index of the database may lead to other rows, which are authentic as well, or to fewer.
        """
        is_whole = expected is None or expected.is_met_by(keys)
        if not is_whole or not can_answer(table, query, keys, rows):
            raise tampered_error(table) if self._index is None else InDoubtError()

    def _cached_rows(self, table: Table[R], stamped_keys: list[StampedKey]) -> dict[Key, R]:
        """The rows with these MACs that are cached, after some of the others were loaded.

        A cached row was verified when it was loaded, which is most of what reading it costs. The
        same MAC is the same row, so the answer is of the view's moment, whatever the cache has.
        """
        known = _rows_with_same_mac(
            stamped_keys, self._cache.peek_rows(table, [key for key, _ in stamped_keys])
        )
        return known | self._prefetch(
            table, [pair for pair in stamped_keys if pair[0] not in known]
        )

    def _prefetch(self, table: Table[R], lacking: list[StampedKey]) -> dict[Key, R]:
        """Load some of these rows, which are not cached, into the cache."""
        if not lacking or table is VERSIONS or not self._can_prefetch:
            return {}
        keys = [key for key, _ in lacking[:MAX_PREFETCH]]
        return _rows_with_same_mac(lacking, self._loader.prefetch(table, keys))


class QueryActor(BatchActor[QueryFunction]):
    """Runs queries that wait at the same time one after the other, in one view and one thread.

    For a database that is a file: such a query takes the interpreter, so threads beside each other
    take it from one another, and a thread's turn costs several times what a small query does. A
    server's queries wait for the server; `Store` gives each of them a thread.

    A message is a function of a session, the reply what it returns. One that raises fails alone; a
    database that fails is raised to each.
    """

    # The longest that a small query waits for its neighbours: ~50 ms where all are lists of 1,000
    # cached names, which take 3 ms each.
    max_batch: ClassVar[int] = 16

    def __init__(self, backend: StoreBackend, world: World) -> None:
        self._backend = backend
        self._world = world
        self._thread: Worker

    async def on_start(self) -> None:
        """Take a thread."""
        self._thread = self._world.worker("store queries")

    async def receive_batch(self, batch: Sequence[QueryFunction]) -> Sequence[object]:
        """Run them one after the other."""
        return await self._thread.run(self._run_batch, batch)

    async def on_stop(self) -> None:
        """Let the thread go."""
        self._thread.close()

    def _run_batch(self, batch: Sequence[QueryFunction]) -> list[object]:
        try:
            with self._backend.read() as session:
                return [_run_query(query, session) for query in batch]
        except BackendError as error:
            return [Failure(copy(error)) for _ in batch]


def _run_query(query: QueryFunction, session: StoreSession) -> object:
    try:
        return query(session)
    except Exception as error:  # noqa: BLE001  # raised where it was asked
        return Failure(error)


def _has_values(row: Any, values: Mapping[str, Any]) -> bool:
    return all(getattr(row, column) == value for column, value in values.items())


def _mac(row: Any) -> bytes:
    """The MAC of a row of a guarded table."""
    mac: bytes = row.mac
    return mac


def _rows_with_same_mac(
    stamped_keys: Iterable[tuple[Key, bytes]], rows: Mapping[Key, Any]
) -> dict[Key, Any]:
    """The rows whose MACs are these."""
    pairs = [(key, mac, rows[key]) for key, mac in stamped_keys if key in rows]
    return {key: row for key, mac, row in pairs if row.mac == mac}  # not secret: both stored
