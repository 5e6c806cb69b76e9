"""The loader: rows that are not cached, for all callers of a moment, from one view of the database.

A load of its own costs a thread's turn, a connection and a transaction: many times what the row
itself takes. With more secrets than the cache holds, that is every read. A secret's head brings its
current version, which is what its caller reads next.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from copy import copy
from functools import partial
from typing import Any, ClassVar, Final, TypeAlias

from actors import BatchActor, Failure, Worker, World
from vault.errors import TamperedError
from vault.model.records import SecretRow
from vault.store.interface import BackendError, StoreBackend, StoreSession
from vault.store.row_cache import MISSING, RowCache
from vault.store.row_guard import RowGuard, check_row
from vault.store.row_index import InDoubtError, RowIndex
from vault.store.table import Key, Table
from vault.store.tables import SECRETS, VERSIONS

RowAddress: TypeAlias = tuple[Table[Any], Key]
PREFETCH_BATCH: Final = 16  # versions: each may hold a large value
_Found: TypeAlias = dict[RowAddress, Any]  # a row, None, or a `Failure`
ReadKnown: TypeAlias = Callable[[Callable[[StoreSession], _Found], AbstractSet[Table[Any]]], _Found]
"""See `Committer.read_known`."""
ReadBetweenCommits: TypeAlias = Callable[[Callable[[StoreSession, RowIndex], _Found]], _Found]
"""See `Committer.read_between_commits`."""


class CacheLoader:
    """Loads rows into a cache, in the thread of whoever asks."""

    def __init__(
        self,
        backend: StoreBackend,
        guard: RowGuard,
        cache: RowCache,
        index: RowIndex | None = None,
        *,
        read_between_commits: ReadBetweenCommits | None = None,
        read_known: ReadKnown | None = None,
    ) -> None:
        """`index`: what rows have to be. Without `read_between_commits` a row in doubt fails.

        Without `read_known` no replica is asked.
        """
        self._read_known = read_known
        self._index = index
        self._read_between_commits = read_between_commits
        self._backend = backend
        self._guard = guard
        self._cache = cache

    def load_rows(
        self, slots: Sequence[RowAddress], *, counts_as_miss: bool = True
    ) -> list[object]:
        """The rows; None for one that is not there, `Failure` for one that cannot be verified.

        `counts_as_miss`: somebody waits for them, so each is a miss of the cache.
        """
        rows = self._load(slots, counts_as_miss=counts_as_miss)
        if self._cache.config.max_bytes:
            # In a view of its own: a load is announced before its view is opened.
            brought = self._uncached_versions(slots, rows)
            for first in range(0, len(brought), PREFETCH_BATCH):
                self._load(brought[first : first + PREFETCH_BATCH], counts_as_miss=False)
        return rows

    def prefetch(self, table: Table[Any], keys: Sequence[Key]) -> dict[Key, Any]:
        """Load rows of one table that nobody waits for; the ones that are there and verified."""
        rows = self._load([(table, key) for key in keys], counts_as_miss=False)
        pairs = zip(keys, rows, strict=True)
        return {key: row for key, row in pairs if row is not None and type(row) is not Failure}

    def _uncached_versions(
        self, slots: Sequence[RowAddress], rows: Sequence[object]
    ) -> list[RowAddress]:
        """The current versions of these heads that are not cached."""
        versions = [
            (row.id, row.current_version)
            for (table, _), row in zip(slots, rows, strict=True)
            if table is SECRETS and isinstance(row, SecretRow) and row.current_version
        ]
        return [(VERSIONS, key) for key in versions if not self._cache.contains(VERSIONS, key)]

    def _load(self, slots: Sequence[RowAddress], *, counts_as_miss: bool) -> list[object]:
        if not slots:
            return []
        loads = {
            slot: self._cache.begin_load(*slot, counts_as_miss=counts_as_miss)
            for slot in dict.fromkeys(slots)
        }
        found: _Found = {}
        try:
            found = self._load_from_view(loads)
            if in_doubt := self._find_in_doubt(found):
                found |= self._load_again(in_doubt)
        except BackendError as error:
            return [Failure(copy(error)) for _ in slots]
        finally:
            for slot, load in loads.items():
                row = found.get(slot, MISSING)
                self._cache.end_load(load, slot[0], MISSING if type(row) is Failure else row)
        return [found[slot] for slot in slots]

    def _load_from_view(self, slots: _Found) -> _Found:
        if self._read_known is None:
            return self._load_from_database(slots)
        load = partial(self._load_from, slots=slots)
        found = self._read_known(load, {table for table, _ in slots})
        if damaged := [slot for slot, row in found.items() if type(row) is Failure]:
            # Perhaps of a replica alone.
            found |= self._load_from_database(dict.fromkeys(damaged))
        return found

    def _load_from_database(self, slots: _Found) -> _Found:
        with self._backend.read() as session:
            return self._load_from(session, slots)

    def _find_in_doubt(self, found: _Found) -> list[RowAddress]:
        """Those that are not what the index says; the database may be ahead of it, or behind."""
        index = self._index
        if index is None:
            return []
        return [
            (table, key)
            for (table, key), row in found.items()
            if table.is_guarded and not _matches(index, table, key, row)
        ]

    def _load_again(self, in_doubt: list[RowAddress]) -> _Found:
        if self._read_between_commits is None:
            return {slot: Failure(InDoubtError()) for slot in in_doubt}

        def ask(session: StoreSession, index: RowIndex) -> _Found:
            rows = self._load_from(session, dict.fromkeys(in_doubt))
            return {slot: _verified(index, slot, row) for slot, row in rows.items()}

        return self._read_between_commits(ask)

    def _load_from(self, session: StoreSession, slots: _Found) -> _Found:
        keys: dict[Table[Any], list[Key]] = {}
        for table, key in slots:
            keys.setdefault(table, []).append(key)
        found: _Found = {}
        for table, some in keys.items():
            rows = self._load_many(session, table, some) or self._load_singly(session, table, some)
            found |= {(table, key): row for key, row in rows.items()}
        return found

    def _load_many(
        self, session: StoreSession, table: Table[Any], keys: list[Key]
    ) -> dict[Key, Any]:
        """The rows, or None for one that is not there; nothing when it has to be done singly."""
        if len(keys) == 1:
            return {}
        try:
            rows = session.get_many(table, keys)
            for row in rows.values():
                check_row(self._guard, table, row)
        except TamperedError:
            return {}
        return {key: rows.get(key) for key in keys}

    def _load_singly(
        self, session: StoreSession, table: Table[Any], keys: list[Key]
    ) -> dict[Key, Any]:
        """The same, with a failure for each that is damaged."""
        rows: dict[Key, Any] = {}
        for key in keys:
            try:
                row = session.get(table, key)
                rows[key] = None if row is None else check_row(self._guard, table, row)
            except TamperedError as error:
                rows[key] = Failure(error)
        return rows


def _matches(index: RowIndex, table: Table[Any], key: Key, row: Any) -> bool:
    """Whether it is what the index says. A damaged `kept_packed` row is only refused."""
    if type(row) is Failure:
        return table.kept_packed
    return index.matches(table, key, None if row is None else row.mac)


def _verified(index: RowIndex, slot: RowAddress, row: Any) -> Any:
    """The row, or the failure for one that is not ours."""
    if type(row) is Failure:
        if isinstance(row.error, TamperedError) and not slot[0].kept_packed:
            index.record_finding(row.error)
        return row
    try:
        index.verify_row(*slot, None if row is None else row.mac)
    except TamperedError as error:
        return Failure(error)
    return row


class LoaderActor(BatchActor[RowAddress]):
    """Its messages are places of rows, its replies the rows, or None; one that is damaged fails."""

    # The longest that a read waits for its neighbours: ~5 ms of them at 20 µs each.
    max_batch: ClassVar[int] = 256

    def __init__(self, loading: CacheLoader, world: World) -> None:
        self._loading = loading
        self._world = world
        self._thread: Worker

    async def on_start(self) -> None:
        """Take a thread."""
        self._thread = self._world.worker("store loader")

    async def receive_batch(self, batch: Sequence[RowAddress]) -> Sequence[object]:
        """Load them together; when the database fails, each gets that error."""
        return await self._thread.run(self._loading.load_rows, batch)

    async def on_stop(self) -> None:
        """Let the thread go."""
        self._thread.close()
