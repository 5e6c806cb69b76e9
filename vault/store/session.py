"""One transaction of one connection: rows by key and by query, and the flush of a batch."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from msgspec import Struct

from vault.errors import TamperedError
from vault.store.interface import ConstraintError, WriteSet
from vault.store.prepared_statements import BoundParameters, PreparedStatements
from vault.store.query import is_storable
from vault.store.statements import TableStatements
from vault.store.table import Key, RankedQuery, StoreQuery, Table
from vault.store.tables import ALL

R = TypeVar("R", bound=Struct)

STATEMENTS: Final = {table: TableStatements(table) for table in ALL}
_MARKS_AT_ONCE: Final = 500  # more of them leave the processor's cache before they are summed


class SqlSession:
    """A transaction that was begun. `fault` names a driver's exception as the interface does."""

    def __init__(
        self,
        connection: sa.PoolProxiedConnection,
        dialect: sa.Dialect,
        prepared: Mapping[Table[Any], PreparedStatements],
        fault: Callable[[Exception], Exception],
        inspect: Callable[[sa.PoolProxiedConnection], None],
        stream: Callable[[Any, str], AbstractContextManager[Any]],
    ) -> None:
        self._connection = connection
        self._dialect = dialect
        self._prepared = prepared
        self._fault = fault
        self._inspect = inspect
        self._stream = stream

    def inspect(self) -> None:
        """Hold the schema, and the indexes of authority rows, against what they should be."""
        self._inspect(self._connection)

    def get(self, table: Table[R], key: Key) -> R | None:
        """The row, or None."""
        if not all(map(is_storable, key)):
            return None
        prepared = self._prepared[table]
        records = self._driver_records(table, prepared.get, prepared.key_parameters(key))
        return prepared.read_row(records[0]) if records else None

    def get_many(self, table: Table[R], keys: Iterable[Key]) -> dict[Key, R]:
        """The rows that exist, a few hundred a statement."""
        read = self._prepared[table].read_row
        rows = [read(record) for record in self._among(table, keys, "get_many")]
        return {table.key_of(row): row for row in rows}

    def existing(self, table: Table[R], keys: Iterable[Key]) -> set[Key]:
        """The keys that exist, a few hundred a statement."""
        key = self._prepared[table].read_key
        return {key(record) for record in self._among(table, keys, "existing")}

    def stamps(self, table: Table[Any], keys: Iterable[Key]) -> dict[Key, bytes]:
        """The stamps of the rows that exist, a few hundred a statement."""
        key = self._prepared[table].read_key
        records = self._among(table, keys, "stamps")
        return {key(record[:-1]): _stamp(record[-1]) for record in records}

    def iter_macs(self, table: Table[Any]) -> Iterator[tuple[Key, bytes]]:
        """The keys and stamps of all rows, some in memory at a time."""
        prepared = self._prepared[table]
        try:
            with self._stream(self._connection.dbapi_connection, prepared.select_all_macs) as cursor:
                while some := cursor.fetchmany(_MARKS_AT_ONCE):
                    yield from [(prepared.read_key(cells), _stamp(mac)) for *cells, mac in some]
        except Exception as error:
            raise self._fault(error) from error

    def select(self, table: Table[R], query: StoreQuery) -> list[R]:
        """The rows of the query, in its order."""
        prepared = self._prepared[table]
        records = self._driver_records(table, *prepared.query("select", query))
        return [prepared.read_row(record) for record in records]

    def keys(self, table: Table[Any], query: StoreQuery) -> list[Key]:
        """The keys of the query's rows, in its order."""
        prepared = self._prepared[table]
        records = self._driver_records(table, *prepared.query("keys", query))
        return [prepared.read_key(record) for record in records]

    def marks(self, table: Table[Any], query: StoreQuery) -> list[tuple[Key, bytes]]:
        """The keys and stamps of the query's rows, in its order."""
        prepared = self._prepared[table]
        records = self._driver_records(table, *prepared.query("marks", query))
        return [(prepared.read_key(record[:-1]), _stamp(record[-1])) for record in records]

    def ranked(self, ranking: RankedQuery) -> list[Key]:
        """The keys of its rows, in its order."""
        prepared = self._prepared[ranking.table]
        records = self._driver_records(ranking.table, *prepared.ranked(ranking))
        return [prepared.read_key(record) for record in records]

    def flush(self, writes: WriteSet) -> None:
        """One executemany for each table and kind of change; counts many rows a statement.

        Raises `ConstraintError`.
        """
        for table in reversed(ALL):
            if keys := writes.deletes.get(table):
                prepared = self._prepared[table]
                met = self._many(
                    table, prepared.delete, [prepared.key_parameters(key) for key in keys]
                )
                _expect(table, met, len(keys))
        for table in ALL:
            if rows := writes.updates.get(table):
                self._update(table, rows, writes.previous.get(table, {}))
            if rows := writes.inserts.get(table):
                insert = self._prepared[table].insert
                _expect(table, self._many(table, insert.text, insert.bind_rows(rows)), len(rows))
        for table, rows in writes.counts.items():
            for text, bound in self._prepared[table].upsert_counts(rows):
                self._many(table, text, [bound])

    def _update(self, table: Table[Any], rows: list[Any], known: dict[Key, Any]) -> None:
        """Set all columns of a row, or, where its searched ones stay as they were, the others."""
        searched_of, key_of, prepared = table.searched_of, table.key_of, self._prepared[table]
        whole: list[Any] = []
        rest: list[Any] = []
        for row in rows:
            old = known.get(key_of(row))
            stays = old is not None and searched_of(old) == searched_of(row)
            (rest if stays else whole).append(row)
        for update, some in ((prepared.update, whole), (prepared.update_rest, rest)):
            if some and self._many(table, update.text, update.bind_rows(some)) != len(some):
                raise ConstraintError(table.name)

    def _among(self, table: Table[Any], keys: Iterable[Key], what: str) -> Iterator[Sequence[Any]]:
        some = [key for key in keys if all(map(is_storable, key))]  # another is not there
        for text, bound in self._prepared[table].select_by_keys(some, what):
            yield from self._driver_records(table, text, bound)

    def _driver_records(
        self, table: Table[Any], text: str, bound: BoundParameters
    ) -> Sequence[Any]:
        def fetch() -> Sequence[Any]:
            with closing(self._connection.cursor()) as cursor:
                cursor.execute(text, bound)
                return cursor.fetchall()

        return self._guarded(table, fetch)

    def _guarded(self, table: Table[Any], fetch: Callable[[], Sequence[Any]]) -> Sequence[Any]:
        try:
            return fetch()
        except (UnicodeEncodeError, OverflowError):
            return []  # a key that cannot be stored is not there
        except Exception as error:
            fault = self._fault(error)
            if isinstance(fault, TamperedError):  # the driver met it before `read` could
                fault = TamperedError(
                    fault.code, f"{table.name}: {fault.message}", table=table.name
                )
            raise fault from error

    def _many(self, table: Table[Any], text: str, rows: list[BoundParameters]) -> int:
        """How many rows it met. Raises `ConstraintError`."""
        driver = self._dialect.loaded_dbapi
        try:
            with closing(self._connection.cursor()) as cursor:
                cursor.executemany(text, rows)
                return cursor.rowcount
        except driver.IntegrityError as error:
            raise ConstraintError(table.name) from error
        except Exception as error:
            raise self._fault(error) from error


def _expect(table: Table[Any], met: int, wanted: int) -> None:
    """Nothing of ours makes a database accept a write and leave it undone."""
    if met != wanted:
        raise TamperedError(
            "storage_write_ignored",
            f"{table.name}: the database accepted {wanted} changes and made {met}; nothing was "
            "stored. Look for triggers in it, and for who can write the file",
            table=table.name,
        )


def _stamp(cell: object) -> bytes:
    """The cell; what is no stamp at all counts as an empty one, which no row has."""
    return cell if isinstance(cell, bytes) else b""
