"""Values that all processes of one database agree on, by name."""

import sqlalchemy as sa

from control.store.rows import Tx, upsert_statement
from control.store.tables import marks


def get_shared_value(tx: Tx, name: str) -> str:
    """What was put there last; empty for nothing."""
    found = tx.execute(sa.select(marks.c.value).where(marks.c.name == name)).scalar_one_or_none()
    return "" if found is None else str(found)


def put_shared_value(tx: Tx, name: str, value: str) -> None:
    """Put it there, whatever was there."""
    insert = upsert_statement(tx, marks).values(name=name, value=value)
    tx.execute(insert.on_conflict_do_update(index_elements=["name"], set_={"value": value}))


def get_or_set_shared_value(tx: Tx, name: str, value: str) -> str:
    """What is there; `value` from now on if that is nothing."""
    there = get_shared_value(tx, name)
    if not there:
        put_shared_value(tx, name, value)
    return there or value


def next_number(tx: Tx, name: str) -> int:
    """The next number under this name, from 1 on."""
    number = int(get_shared_value(tx, name) or 0) + 1
    put_shared_value(tx, name, str(number))
    return number
