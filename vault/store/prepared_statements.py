"""The statements of one table as one database's driver takes them: compiled once, run directly.

SQLAlchemy says what the SQL is and how each value is bound. To have it execute them too was most of
the writer's time that was not the commit itself (decision 4).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from operator import attrgetter
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from msgspec import UNSET, Struct

from vault.store.statements import (
    TableStatements,
    count_columns,
    count_statement,
    query_shape,
    select_ranked,
    to_base_type,
)
from vault.store.table import Key, RankedQuery, StoreQuery

BoundParameters: TypeAlias = tuple[Any, ...]  # the parameters of a statement, in its order
_Processor: TypeAlias = Callable[[Any], Any]
_Binders: TypeAlias = list[tuple[int, _Processor]]
_Positional: TypeAlias = tuple[str, list[str], _Binders, dict[str, Any]]
"""A statement, the names of its parameters in their order, what is done to some of them, and their
values where the statement itself has one."""

# Keys a statement: the next larger of these, filled up with the last key, so that a database sees
# few different texts. Two parameters each at most; SQLite's oldest limit is 999.
_SIZES: Final = (1, 8, 64, 400)
# Rows a statement that counts, of five parameters at most. Not filled up: a row may come but once.
_COUNTED: Final = (64, 8, 1)


class PreparedStatements:
    """One table's statements for one dialect, which must be made with a positional `paramstyle`."""

    def __init__(self, statements: TableStatements, dialect: sa.Dialect) -> None:
        if not dialect.positional:
            raise ValueError(
                "the dialect is not positional: make its engine with paramstyle='format'"
            )
        self._statements = statements
        self._dialect = dialect
        self._among: dict[tuple[str, int], str] = {}
        self._counts: dict[int, str] = {}
        self._queries: dict[object, _Positional] = {}  # as many as there are forms in the program
        table = statements.table
        self._columns = statements.columns
        self._keys = [_binder(statements.sql.c[name].type, dialect) for name in table.key]
        self._readers = _readers(statements.sql.c, dialect)
        self._key_readers = _readers([statements.sql.c[name] for name in table.key], dialect)

    @cached_property
    def insert(self) -> "RowStatement":
        """Add a row."""
        return RowStatement(self._statements.insert, self._columns, self._dialect)

    @cached_property
    def update(self) -> "RowStatement":
        """Replace the row of the same key."""
        return RowStatement(self._statements.update, self._columns, self._dialect)

    @cached_property
    def update_rest(self) -> "RowStatement":
        """Replace the row of the same key whose searched columns are what they are to be."""
        return RowStatement(self._statements.update_rest, self._columns, self._dialect)

    @cached_property
    def move(self) -> "RowStatement":
        """Replace the row of the same identity, its key with the rest."""
        return RowStatement(self._statements.move(), self._columns, self._dialect)

    @cached_property
    def get(self) -> str:
        """Select the row of a key; its parameters are those of `key`."""
        return self._statements.get.compile(dialect=self._dialect).string

    @cached_property
    def delete(self) -> str:
        """Remove the row of a key; its parameters are those of `key`."""
        return self._statements.delete.compile(dialect=self._dialect).string

    @cached_property
    def count(self) -> str:
        """Count the rows."""
        statement = sa.select(sa.func.count()).select_from(self._statements.sql)
        return statement.compile(dialect=self._dialect).string

    @cached_property
    def select_all_macs(self) -> str:
        """Select the keys and MACs of all rows of a guarded table."""
        return self._statements.all_macs.compile(dialect=self._dialect).string

    def key_parameters(self, key: Key) -> BoundParameters:
        """The parameters of a key."""
        return tuple(
            to_base_type(part) if bind is None else bind(to_base_type(part))
            for part, bind in zip(key, self._keys, strict=True)
        )

    def select_by_keys(
        self, keys: Iterable[Key], what: str
    ) -> Iterator[tuple[str, BoundParameters]]:
        """Statements with parameters that together select `what` of the keys."""
        rest = iter(keys)
        while some := list(islice(rest, _SIZES[-1])):
            size = next(size for size in _SIZES if size >= len(some))
            bound = [part for key in some for part in self.key_parameters(key)]
            last = bound[-len(self._keys) :]
            yield self._text(what, size), (*bound, *last * (size - len(some)))

    def query(self, what: str, query: StoreQuery) -> tuple[str, BoundParameters]:
        """The statement `what` of `TableStatements` for a query, and its parameters."""
        known = (what, query_shape(query))
        if known not in self._queries:
            self._queries[known] = _positional(
                getattr(self._statements, what)(query), self._dialect
            )
        text, names, binders, fixed = self._queries[known]
        return text, _in_order(fixed | self._statements.values(query), names, binders)

    def ranked(self, ranking: RankedQuery) -> tuple[str, BoundParameters]:
        """The statement of a ranking whose rows are of this table, and its parameters."""
        text, names, binders, values = _positional(select_ranked(ranking), self._dialect)
        return text, _in_order(values, names, binders)

    def upsert_counts(self, rows: Sequence[Struct]) -> Iterator[tuple[str, BoundParameters]]:
        """Statements with parameters that add the numbers of the rows to those that are there.

        One statement is one turn with the interpreter's lock let go, however many rows it has
        (decision 4).
        """
        bound, start = self._counted.bind_rows(rows), 0
        while start < len(rows):
            size = next(size for size in _COUNTED if size <= len(rows) - start)
            if size not in self._counts:
                self._counts[size] = _positional(self._counting(size), self._dialect)[0]
            yield self._counts[size], tuple(chain.from_iterable(bound[start : start + size]))
            start += size

    @cached_property
    def _counted(self) -> "RowStatement":
        return RowStatement(
            self._counting(1), count_columns(self._statements.table, 1), self._dialect
        )

    def _counting(self, rows: int) -> sa.Insert:
        return count_statement(self._statements.table, rows, self._dialect.name)

    def read_row(self, record: Sequence[Any]) -> Any:
        """The row struct of a record of all columns. Raises as `TableStatements.read_row`."""
        return self._statements.read_row(_converted(record, self._readers))

    def read_key(self, record: Sequence[Any]) -> Key:
        """The key in a record of the key's columns."""
        return tuple(_converted(record, self._key_readers))

    def _text(self, what: str, size: int) -> str:
        text = self._among.get((what, size))
        if text is None:
            width = len(self._keys)
            some: list[Any] = [("",) * width if width > 1 else ""] * size  # stand for keys
            statement = getattr(self._statements, what).params(keys=some)
            compiled = statement.compile(
                dialect=self._dialect, compile_kwargs={"render_postcompile": True}
            )
            text = self._among[what, size] = compiled.string
        return text


class RowStatement:
    """A statement whose parameters are fields of a row."""

    def __init__(
        self, statement: sa.Executable, columns: dict[str, str], dialect: sa.Dialect
    ) -> None:
        """`columns`: which field each bound name is."""
        self.text, names, self._binders, _ = _positional(statement, dialect)
        self._fields = attrgetter(*(columns[name] for name in names))

    def bind_rows(self, rows: Iterable[Struct]) -> list[BoundParameters]:
        """The parameters of each row."""
        if not self._binders:
            return [self._fields(row) for row in rows]
        return [self._bind(row) for row in rows]

    def _bind(self, row: Struct) -> BoundParameters:
        values = list(self._fields(row))
        for position, bind in self._binders:
            value = values[position]
            values[position] = bind(None if value is UNSET else value)
        return tuple(values)


def _positional(statement: sa.Executable, dialect: sa.Dialect) -> _Positional:
    compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]  # an executable clause
    names: list[str] = compiled.positiontup
    kinds = [compiled.binds[name].type for name in names]
    binders = [(i, bind) for i, kind in enumerate(kinds) if (bind := _binder(kind, dialect))]
    return compiled.string, names, binders, compiled.params


def _in_order(given: dict[str, Any], names: list[str], binders: _Binders) -> BoundParameters:
    values = [given[name] for name in names]
    for position, bind in binders:
        values[position] = bind(values[position])
    return tuple(values)


def _readers(
    columns: Iterable[sa.Column[Any]], dialect: sa.Dialect
) -> list[tuple[int, _Processor]]:
    """By position, what the dialect does to a cell before anybody sees it, where it does."""
    return [
        (i, convert)
        for i, column in enumerate(columns)
        if (convert := column.type.dialect_impl(dialect).result_processor(dialect, None))
    ]


def _converted(record: Sequence[Any], readers: list[tuple[int, _Processor]]) -> Sequence[Any]:
    if not readers:
        return record
    values = list(record)
    for position, convert in readers:
        values[position] = convert(values[position])
    return values


def _binder(kind: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> _Processor | None:
    return kind.dialect_impl(dialect).bind_processor(dialect)
