"""The statements of one table, built once: SQLAlchemy then compiles each once per database.

Where databases differ, it is here (`count_statement`) and in `columns`.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import sqlalchemy as sa

from protocols import json_text
from vault.errors import TamperedError
from vault.store.query import end_of_prefix
from vault.store.schema import SQL_TABLES
from vault.store.table import INTEGER_MAX, ColumnKind, RankedQuery, StoreQuery, Table


class TableStatements:
    """SQL for one table, and the way of its records to rows; `PreparedStatements` runs it."""

    def __init__(self, table: Table[Any]) -> None:
        self.table = table
        self.sql = sql = SQL_TABLES[table]
        keys = [sql.c[name] for name in table.key]
        is_key = sa.and_(*(c == sa.bindparam(f"key_{c.name}") for c in keys))
        rest: dict[str, Any] = {
            c.name: sa.bindparam(c.name) for c in sql.c if c.name not in table.key
        }
        among = (sa.tuple_(*keys) if len(keys) > 1 else keys[0]).in_(
            sa.bindparam("keys", expanding=True)
        )
        self.get = sa.select(sql).where(is_key)
        self.get_many = sa.select(sql).where(among)
        self.existing_keys = sa.select(*keys).where(among)
        stamp = [sql.c.mac] if table.is_guarded else []
        self.macs = sa.select(*keys, *stamp).where(among)
        # From the rows: an index of a SQLite file might have others.
        self.all_macs = sa.select(*keys, *stamp).with_statement_hint("NOT INDEXED", "sqlite")
        self.insert = sa.insert(sql)
        self.update = sa.update(sql).where(is_key).values(rest)
        # An index whose column is set is written anew, be the value the same or not: half of all
        # that writing a secret again had to make durable. So the columns with an index are left
        # alone where they stay the same, and the row must still have them as they were.
        stays = [sql.c[name] == sa.bindparam(f"key_{name}") for name in table.searched]
        others = {name: value for name, value in rest.items() if name not in table.searched}
        self.update_rest = sa.update(sql).where(is_key, *stays).values(others or rest)
        self.delete = sa.delete(sql).where(is_key)
        self._decoders = [(i, _decoder(c.type)) for i, c in _json(table)]
        self._names = [column.name for column in table.columns]
        self._later = [column.name for column in table.columns if column.later]
        self.columns = {name: name for name in self._names} | {
            f"key_{name}": name for name in (*table.key, *table.searched)
        }
        """Which column is bound under each name, in `insert`, `update` and `update_rest`."""

    def move(self) -> sa.Update:
        """Set all columns, the key among them, of the row of an identity (`Table.identity`)."""
        name, sql = self.table.identity, self.sql
        values: dict[str, Any] = {c.name: sa.bindparam(c.name) for c in sql.c if c.name != name}
        return sa.update(sql).where(sql.c[name] == sa.bindparam(f"key_{name}")).values(values)

    def read_row(self, record: Iterable[Any]) -> Any:
        """The row struct of a record; raises `TamperedError` if it is not one."""
        values = list(record)
        try:
            for position, decode in self._decoders:
                if isinstance(values[position], str | bytes):  # SQLite keeps a number as one
                    values[position] = decode(values[position])
            named = dict(zip(self._names, values, strict=True))
            for name in self._later:
                if named[name] is None:
                    del named[name]
            # Bytes are bytes here: left to itself msgspec would take text for Base64.
            return msgspec.convert(named, self.table.row, builtin_types=(bytes,))
        except (msgspec.MsgspecError, TypeError):
            named = dict(zip(self._names, values, strict=True))
            raise TamperedError(
                "row_corrupt",
                f"{self.table.name}: a stored row is damaged",
                table=self.table.name,
                key=tuple(named[name] for name in self.table.key),
            ) from None

    def select(self, query: StoreQuery) -> sa.Select[Any]:
        """The statement of all queries of this form, which `values` fills in."""
        columns, names = self.sql.c, query.order(self.table)
        statement = sa.select(self.sql).limit(sa.bindparam("limit", type_=sa.Integer))
        for name in names:
            statement = statement.order_by(
                columns[name].desc() if query.descending else columns[name]
            )
        for name in query.equals:
            statement = statement.where(columns[name] == sa.bindparam(f"is_{name}"))
        if query.prefix is not None:
            column = columns[query.prefix[0]]
            statement = statement.where(column >= sa.bindparam("begin"))
            if end_of_prefix(query.prefix[1]) is not None:
                statement = statement.where(column < sa.bindparam("end"))
        if query.at_most is not None:
            column = columns[query.at_most[0]]
            statement = statement.where(column <= sa.bindparam("at_most"), column > 0)
        if query.after is not None:
            statement = statement.where(_behind(self.sql, names, descending=query.descending))
        return statement

    def select_keys(self, query: StoreQuery) -> sa.Select[Any]:
        """The same, of the keys alone."""
        return self.select(query).with_only_columns(*(self.sql.c[name] for name in self.table.key))

    def select_macs(self, query: StoreQuery) -> sa.Select[Any]:
        """The same, of the keys and the stamp."""
        names = (*self.table.key, "mac")
        return self.select(query).with_only_columns(*(self.sql.c[name] for name in names))

    def values(self, query: StoreQuery) -> dict[str, Any]:
        """What is bound in the statement of its form, by name."""
        values: dict[str, Any] = {"limit": query.limit}
        values |= {f"is_{name}": to_base_type(value) for name, value in query.equals.items()}
        if query.prefix is not None:
            text = str(query.prefix[1])
            values |= {"begin": text, "end": end_of_prefix(text)}
        if query.at_most is not None:
            values["at_most"] = query.at_most[1]
        if query.after is not None:
            after = zip(query.order(self.table), query.after, strict=True)
            values |= {f"after_{name}": to_base_type(value) for name, value in after}
        return values


def query_shape(query: StoreQuery) -> tuple[object, ...]:
    """What two queries have in common that differ in their values alone."""
    prefix = query.prefix and (query.prefix[0], end_of_prefix(query.prefix[1]) is None)
    at_most = query.at_most and (query.at_most[0], query.smallest_first)
    return (*query.equals, None, prefix, at_most, query.after is None, query.descending)


def select_ranked(ranking: RankedQuery) -> sa.Select[Any]:
    """The keys of the ranking's rows. The greatest are picked before anything is joined."""
    by, sql = SQL_TABLES[ranking.by], SQL_TABLES[ranking.table]
    number, about = by.c[ranking.column], by.c[ranking.by.key[0]]
    first = (
        sa.select(about.label("about"), number.label("number"))
        .where(number > 0)
        .order_by(number.desc(), about)
        .limit(ranking.limit)
        .subquery()
    )
    return (
        sa.select(*(sql.c[name] for name in ranking.table.key))
        .join_from(first, sql, sql.c[ranking.link] == first.c.about)
        .order_by(first.c.number.desc(), first.c.about)
    )


def to_base_type(value: Any) -> Any:
    """The value as its base type: a driver may choose by the exact one."""
    return str(value) if isinstance(value, str) and type(value) is not str else value


def encode_json(value: object) -> str:
    """How JSON columns are written; given to the engine."""
    return msgspec.json.encode(value).decode()


def pass_json_through(text: str | bytes) -> str | bytes:
    """The engine does not read JSON columns: `TableStatements.read_row` knows their type."""
    return text


def _json(table: Table[Any]) -> list[tuple[int, Any]]:
    return [(i, c) for i, c in enumerate(table.columns) if c.kind is ColumnKind.JSON]


def _decoder(annotation: Any) -> Callable[[str | bytes], Any]:
    return json_text.decoder(annotation).decode


def _behind(sql: sa.Table, names: tuple[str, ...], *, descending: bool) -> Any:
    """`(a, b) > (x, y)` spelled so that an index on (a, b) serves it everywhere."""
    condition = None
    for name in reversed(names):
        column: Any = sql.c[name]
        value: Any = sa.bindparam(f"after_{name}")
        beyond = column < value if descending else column > value
        if condition is None:
            condition = beyond
        else:
            within = column <= value if descending else column >= value
            condition = sa.and_(within, sa.or_(beyond, condition))
    return condition


def count_columns(table: Table[Any], rows: int) -> dict[str, str]:
    """Which column is bound under each name, in the order of `count_statement`'s parameters."""
    names = [column.name for column in table.columns]
    return {f"{name}_{number}": name for number in range(rows) for name in names}


def count_statement(table: Table[Any], rows: int, dialect: str) -> sa.Insert:
    """Add so many rows' numbers to those that are there, as `Table` says.

    Raises `ValueError` for a database that is not known here.
    """
    insert: Any
    match dialect:  # a dialect is slow to load: no more than are in use
        case "sqlite":
            from sqlalchemy.dialects.sqlite import insert
        case "postgresql":
            from sqlalchemy.dialects.postgresql import insert
        case "mysql" | "mariadb":
            from sqlalchemy.dialects.mysql import insert
        case _:
            raise ValueError(f"{dialect}: how it counts is not known")
    names = [column.name for column in table.columns]
    statement = insert(SQL_TABLES[table]).from_select(names, _wanted(table, rows))
    upsert: sa.Insert
    if dialect in {"mysql", "mariadb"}:
        upsert = statement.on_duplicate_key_update(_totals(table, statement.inserted))
    else:
        upsert = statement.on_conflict_do_update(
            index_elements=table.key, set_=_totals(table, statement.excluded)
        )
    return upsert


def _wanted(table: Table[Any], rows: int) -> sa.Select[Any]:
    """Those of the rows that are about something which is there."""
    columns = SQL_TABLES[table].c
    each = [
        sa.select(
            *(sa.bindparam(f"{c.name}_{number}", type_=c.type).label(c.name) for c in columns)
        )
        for number in range(rows)
    ]
    new = (sa.union_all(*each) if rows > 1 else each[0]).subquery("new")
    subjects = [
        (SQL_TABLES[other].c[name], new.c[table.key[0]]) for other, name in table.counted_subject
    ]
    return sa.select(new).where(
        sa.or_(*(sa.exists().where(subject == key) for subject, key in subjects))
    )


def _totals(table: Table[Any], new: Any) -> dict[str, Any]:
    old = SQL_TABLES[table].c
    # Beyond it SQLite would go on in floating point.
    most: sa.ColumnElement[int] = sa.literal_column(str(INTEGER_MAX), sa.BigInteger)
    sums = {
        name: sa.case((old[name] > most - new[name], most), else_=old[name] + new[name])
        for name in table.sums
    }
    latest = {
        name: sa.case((old[name] > new[name], old[name]), else_=new[name]) for name in table.latest
    }
    return sums | latest
