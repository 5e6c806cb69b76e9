"""Conversion between rows and the structs of the model.

Statements are made once and executed with values: making one takes SQLAlchemy several times as long
as the database takes to run it.
"""

from functools import cache
from typing import Any, TypeAlias, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects import postgresql, sqlite

Tx: TypeAlias = sa.Connection
"""A transaction: what every function of this package that reads or writes takes first."""

R = TypeVar("R", bound=Struct)


def fetch_one(tx: Tx, shape: type[R], statement: sa.Select[Any], **values: Any) -> R | None:
    """The first row as `shape`, or None; `values` are those of its parameters."""
    row = tx.execute(statement, values).mappings().first()
    return None if row is None else to_struct(shape, row)


def fetch_all(tx: Tx, shape: type[R], statement: sa.Select[Any], **values: Any) -> list[R]:
    """All rows as `shape`; `values` are those of its parameters."""
    return [to_struct(shape, row) for row in tx.execute(statement, values).mappings()]


def to_struct(shape: type[R], row: sa.RowMapping, **made: Any) -> R:
    """The struct of these columns; `made` are fields that come from somewhere else."""
    fields = {field: row[field] for field in shape.__struct_fields__ if field not in made}
    return msgspec.convert({**fields, **made}, shape)


def to_columns(row: Struct) -> dict[str, Any]:
    """A struct's fields by name, as columns take them."""
    return {field: getattr(row, field) for field in row.__struct_fields__}


def insert_row(tx: Tx, table: sa.Table, *rows: Struct) -> None:
    """Insert; a key that is there already is an integrity error: `Store` tells it as conflict."""
    if rows:
        tx.execute(_insert(table), [to_columns(row) for row in rows])


def upsert_statement(tx: Tx, table: sa.Table) -> "postgresql.Insert | sqlite.Insert":
    """An insert that knows `on_conflict_do_update`, in the transaction's dialect."""
    return _upsert(table, tx.dialect.name)


def insert_or_replace(tx: Tx, table: sa.Table, *rows: Struct) -> None:
    """Insert, or replace what has the same key."""
    if rows:
        tx.execute(_put(table, tx.dialect.name), [to_columns(row) for row in rows])


def update_statement(table: sa.Table, *columns: str) -> sa.Update:
    """Set these columns of the rows that many values name: `of_` each key, `to_` each column."""
    here = (column == _parameters("of_", column) for column in table.primary_key)
    return (
        table.update()
        .where(*here)
        .values({name: _parameters("to_", table.columns[name]) for name in columns})
    )


def delete_statement(table: sa.Table) -> sa.Delete:
    """Remove the rows that many values name: `of_` each column of the key."""
    return table.delete().where(
        *(column == _parameters("of_", column) for column in table.primary_key)
    )


def select_by_key(table: sa.Table) -> sa.Select[Any]:
    """The row of one key; its values have the key's names."""
    return sa.select(table).where(*(c == sa.bindparam(c.name) for c in table.primary_key))


def is_one_of(column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
    """Whether it is one of the values of the parameter `name`: a list, of a few hundred."""
    return column.in_(sa.bindparam(name, expanding=True))


def _parameters(prefix: str, column: sa.ColumnElement[Any]) -> sa.BindParameter[Any]:
    return sa.bindparam(f"{prefix}{column.key}", type_=column.type)


@cache
def _insert(table: sa.Table) -> sa.Insert:
    return table.insert()


@cache
def _upsert(table: sa.Table, dialect: str) -> "postgresql.Insert | sqlite.Insert":
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


@cache
def _put(table: sa.Table, dialect: str) -> sa.Insert:
    insert = _upsert(table, dialect)
    keys = [column.name for column in table.primary_key]
    others = {c.name: insert.excluded[c.name] for c in table.columns if c.name not in keys}
    return insert.on_conflict_do_update(index_elements=keys, set_=others)
