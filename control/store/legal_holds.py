"""Legal holds, and the condition that every deletion has to include."""

from typing import Any, Final

import sqlalchemy as sa

from control.model.retention import LegalHold
from control.store.rows import (
    Tx,
    fetch_all,
    fetch_one,
    insert_or_replace,
    insert_row,
    select_by_key,
)
from control.store.tables import holds, samples, series
from protocols.instant import SECOND

_HOLD: Final = select_by_key(holds)
_LEGAL: Final = holds.alias("legal")
"""So that a lifted hold, too, can be a row that another one covers."""


def add_hold(tx: Tx, row: LegalHold) -> None:
    """Add it."""
    insert_row(tx, holds, row)


def put_hold(tx: Tx, row: LegalHold) -> None:
    """Replace the one of its id."""
    insert_or_replace(tx, holds, row)


def get_hold(tx: Tx, org: str, hold_id: str) -> LegalHold | None:
    """The one of this id."""
    return fetch_one(tx, LegalHold, _HOLD, org=org, id=hold_id)


def list_holds(tx: Tx, org: str) -> list[LegalHold]:
    """All of them, the newest first; those that were lifted, too."""
    t = holds.c
    return fetch_all(
        tx, LegalHold, holds.select().where(t.org == org).order_by(t.created_at.desc(), t.id)
    )


def held_since(tx: Tx, org: str) -> int | None:
    """The earliest instant that some hold covers; None without any."""
    t = holds.c
    chosen = sa.select(sa.func.min(t.since)).where(t.org == org, t.lifted_at == 0)
    found = tx.execute(chosen).scalar_one()
    return None if found is None else int(found)


def is_held(
    org: sa.ColumnElement[str],
    at: sa.ColumnElement[int],
    vault: sa.ColumnElement[str] | None = None,
    *,
    unit: int = 1,
    end: sa.ColumnElement[int] | None = None,
) -> sa.ColumnElement[bool]:
    """Whether some hold covers a row of `org` and of the time `at` (in `unit`s of nanoseconds).

    `end`: of a row that is about the time from `at` until then; null: until now.
    A hold on one agent also covers what is of no single agent: it may be about it.
    """
    t = _LEGAL.c
    begun = t.since <= at * unit
    if end is not None:
        begun = sa.or_(begun, end.is_(None), t.since < end * unit)
    covers: list[sa.ColumnElement[Any]] = [
        t.org == org,
        t.lifted_at == 0,
        begun,
        sa.or_(t.until == 0, at * unit < t.until),
    ]
    if vault is not None:
        covers.append(sa.or_(t.vault == "", vault == "", t.vault == vault))
    return sa.exists().where(*covers)


def is_sample_held() -> sa.ColumnElement[bool]:
    """Whether some hold covers a row of `samples`, which names its series alone."""
    of = series.alias("of")
    held = is_held(of.c.org, samples.c.at, of.c.vault, unit=SECOND)
    return sa.exists().where(of.c.id == samples.c.series, held)
