"""Upsert: a row comes, or adds to the one of its key; each database has words of its own for it."""

from typing import Any

import sqlalchemy as sa

from vault.store.schema import SQL_TABLES
from vault.store.table import Table


def counted(table: Table[Any], rows: int) -> dict[str, str]:
    """Which column is bound under each name, in the order of `counting`'s parameters."""
    names = [column.name for column in table.columns]
    return {f"{name}_{number}": name for number in range(rows) for name in names}


def counting(table: Table[Any], rows: int, dialect: str) -> sa.Insert:
    """Add so many rows' numbers to those that are there, as `Table` says.

    Raises `ValueError` for a database that is not known here.
    """
    sql = SQL_TABLES[table]
    names = [column.name for column in table.columns]
    values = [
        {name: sa.bindparam(f"{name}_{number}", type_=sql.c[name].type) for name in names}
        for number in range(rows)
    ]
    insert: Any
    match dialect:  # a dialect is slow to load: no more than are in use
        case "sqlite":
            from sqlalchemy.dialects.sqlite import insert
        case "postgresql":
            from sqlalchemy.dialects.postgresql import insert
        case "mysql":
            from sqlalchemy.dialects.mysql import insert
        case _:
            raise ValueError(f"{dialect}: how it counts is not known")
    statement = insert(sql).values(values)
    upsert: sa.Insert
    if dialect == "mysql":
        upsert = statement.on_duplicate_key_update(_totals(table, statement.inserted))
    else:
        upsert = statement.on_conflict_do_update(
            index_elements=table.key, set_=_totals(table, statement.excluded)
        )
    return upsert


def _totals(table: Table[Any], new: Any) -> dict[str, Any]:
    old = SQL_TABLES[table].c
    sums = {name: old[name] + new[name] for name in table.sums}
    latest = {
        name: sa.case((old[name] > new[name], old[name]), else_=new[name]) for name in table.latest
    }
    return sums | latest
