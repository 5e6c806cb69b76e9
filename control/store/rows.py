"""Between rows and the structs of the model."""

from typing import Any, TypeAlias, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects import postgresql, sqlite

Tx: TypeAlias = sa.Connection
"""A transaction: what every function of this package that reads or writes takes first."""

R = TypeVar("R", bound=Struct)


def first(tx: Tx, shape: type[R], statement: sa.Select[Any]) -> R | None:
    """The first row as `shape`, or None."""
    row = tx.execute(statement).mappings().first()
    return None if row is None else shaped(shape, row)


def every(tx: Tx, shape: type[R], statement: sa.Select[Any]) -> list[R]:
    """All rows as `shape`."""
    return [shaped(shape, row) for row in tx.execute(statement).mappings()]


def shaped(shape: type[R], row: sa.RowMapping, **made: Any) -> R:
    """The struct of these columns; `made` are fields that come from somewhere else."""
    fields = {field: row[field] for field in shape.__struct_fields__ if field not in made}
    return msgspec.convert({**fields, **made}, shape)


def plain(row: Struct) -> dict[str, Any]:
    """A struct's fields by name, as columns take them."""
    return {field: getattr(row, field) for field in row.__struct_fields__}


def add(tx: Tx, table: sa.Table, *rows: Struct) -> None:
    """Insert; a key that is there already is an integrity error: `Store` tells it as conflict."""
    if rows:
        tx.execute(table.insert(), [plain(row) for row in rows])


def upsert(tx: Tx, table: sa.Table) -> "postgresql.Insert | sqlite.Insert":
    """An insert that knows `on_conflict_do_update`, in the transaction's dialect."""
    if tx.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def put(tx: Tx, table: sa.Table, *rows: Struct) -> None:
    """Insert, or replace what has the same key."""
    if not rows:
        return
    insert = upsert(tx, table)
    keys = [column.name for column in table.primary_key]
    others = {c.name: insert.excluded[c.name] for c in table.columns if c.name not in keys}
    tx.execute(
        insert.on_conflict_do_update(index_elements=keys, set_=others), [plain(row) for row in rows]
    )
