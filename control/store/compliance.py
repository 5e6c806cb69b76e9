"""Reports, their schedules, and notes on controls."""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from control.model.compliance import ControlNote, NoteView, ReportRow, ReportSchedule, State
from control.store.rows import (
    Tx,
    fetch_all,
    fetch_one,
    insert_or_replace,
    insert_row,
    select_by_key,
    to_columns,
)
from control.store.tables import control_notes, report_schedules, reports

_ASKED: Final = sa.select(*(reports.c[name] for name in ReportRow.__struct_fields__))
_SCHEDULE: Final = select_by_key(report_schedules)
_NOTE: Final = select_by_key(control_notes)
_MOST: Final[sa.BindParameter[int]] = sa.bindparam("most", type_=sa.Integer())
_WAITING: Final = (
    _ASKED.where(reports.c.state == State.WAITING)
    .order_by(reports.c.created_at, reports.c.id)
    .limit(_MOST)
)
_DUE: Final = (
    report_schedules.select()
    .where(
        report_schedules.c.enabled,
        report_schedules.c.suspended == "",
        report_schedules.c.next_at <= sa.bindparam("now", type_=sa.BigInteger()),
    )
    .order_by(report_schedules.c.next_at, report_schedules.c.org, report_schedules.c.id)
    .limit(_MOST)
)


def add_report(tx: Tx, row: ReportRow) -> None:
    """Add one that waits to be made."""
    tx.execute(reports.insert().values(**to_columns(row), body=b""))


def put_report(tx: Tx, row: ReportRow, body: bytes | None = None) -> None:
    """Note how far it is, or its bytes."""
    values: dict[str, Any] = to_columns(row) if body is None else {**to_columns(row), "body": body}
    t = reports.c
    tx.execute(reports.update().where(t.org == row.org, t.id == row.id).values(**values))


def get_report(tx: Tx, org: str, report_id: str) -> ReportRow | None:
    """The one of this id."""
    return fetch_one(tx, ReportRow, _ASKED.where(reports.c.org == org, reports.c.id == report_id))


def get_report_body(tx: Tx, org: str, report_id: str) -> bytes | None:
    """Its bytes; empty before it is made."""
    t = reports.c
    chosen = sa.select(t.body).where(t.org == org, t.id == report_id)
    found = tx.execute(chosen).scalar_one_or_none()
    return None if found is None else bytes(found)


def list_reports(tx: Tx, org: str, *, before: int, limit: int) -> list[ReportRow]:
    """The newest first, asked for before this instant unless that is 0."""
    chosen = _ASKED.where(reports.c.org == org)
    if before:
        chosen = chosen.where(reports.c.created_at < before)
    return fetch_all(
        tx, ReportRow, chosen.order_by(reports.c.created_at.desc(), reports.c.id).limit(limit)
    )


def waiting_reports(tx: Tx, limit: int) -> list[ReportRow]:
    """Of any organization, those that are to be made, the oldest first."""
    return fetch_all(tx, ReportRow, _WAITING, most=limit)


def count_reports(tx: Tx, org: str, state: State | None = None) -> int:
    """How many there are."""
    chosen = sa.select(sa.func.count()).where(reports.c.org == org)
    if state is not None:
        chosen = chosen.where(reports.c.state == state)
    return int(tx.execute(chosen).scalar_one())


def put_schedule(tx: Tx, row: ReportSchedule) -> None:
    """Add, or replace the one of its id."""
    insert_or_replace(tx, report_schedules, row)


def get_schedule(tx: Tx, org: str, schedule_id: str) -> ReportSchedule | None:
    """The one of this id."""
    return fetch_one(tx, ReportSchedule, _SCHEDULE, org=org, id=schedule_id)


def list_schedules(tx: Tx, org: str) -> list[ReportSchedule]:
    """All of an organization, the oldest first."""
    t = report_schedules.c
    chosen = report_schedules.select().where(t.org == org)
    return fetch_all(tx, ReportSchedule, chosen.order_by(t.created_at, t.id))


def schedules_owned(tx: Tx, owner: str) -> list[ReportSchedule]:
    """Those of an account that are not suspended, in whichever organization."""
    t = report_schedules.c
    chosen = report_schedules.select().where(t.owner == owner, t.suspended == "")
    return fetch_all(tx, ReportSchedule, chosen.order_by(t.org, t.created_at, t.id))


def due_schedules(tx: Tx, now: int, limit: int) -> Sequence[ReportSchedule]:
    """Of any organization, those whose time has come."""
    return fetch_all(tx, ReportSchedule, _DUE, now=now, most=limit)


def delete_schedule(tx: Tx, org: str, schedule_id: str) -> bool:
    """Remove it; whether it was there."""
    t = report_schedules.c
    gone = tx.execute(report_schedules.delete().where(t.org == org, t.id == schedule_id))
    return gone.rowcount > 0


def add_note(tx: Tx, row: ControlNote) -> None:
    """Add it."""
    insert_row(tx, control_notes, row)


def get_note(tx: Tx, org: str, note_id: str) -> ControlNote | None:
    """The one of this id."""
    return fetch_one(tx, ControlNote, _NOTE, org=org, id=note_id)


def count_notes(tx: Tx, org: str) -> int:
    """How many there are."""
    chosen = sa.select(sa.func.count()).where(control_notes.c.org == org)
    return int(tx.execute(chosen).scalar_one())


def notes_by_control(
    tx: Tx, org: str, since: int = 0
) -> dict[tuple[str, str], tuple[NoteView, ...]]:
    """Framework and control → what was added to it, the oldest first; without the documents."""
    t = control_notes.c
    wanted = t.framework, t.control, t.id, t.created_by, t.created_at, t.text, t.name, t.digest
    chosen = sa.select(*wanted).where(t.org == org, t.created_at >= since)
    found: dict[tuple[str, str], tuple[NoteView, ...]] = {}
    for row in tx.execute(chosen.order_by(t.created_at, t.id)):
        framework, control, id_, by, at, text, name, digest = row
        shown = NoteView(id=id_, by=by, at=at, text=text, name=name, digest=digest)
        found[framework, control] = (*found.get((framework, control), ()), shown)
    return found
