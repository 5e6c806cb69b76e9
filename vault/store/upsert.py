"""Upsert: a row comes, or adds to the one of its key; each database has words of its own for it."""

from typing import Any

import sqlalchemy as sa

from vault.store.schema import SQL_TABLES
from vault.store.table import INTEGER_MAX, Table


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
