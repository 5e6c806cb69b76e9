"""Retention rules, and the deletions that follow, in bounded batches.

Each deletion exempts what a legal hold covers, in its own statement: a hold that is committed
before it counts.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from control.model.retention import Kind
from control.store.history import IS_HELD, is_superseded
from control.store.legal_holds import is_held, is_sample_held
from control.store.rows import Tx, upsert_statement
from control.store.tables import (
    alerts,
    control_notes,
    deliveries,
    history,
    holds,
    reports,
    retention_rules,
    samples,
    series,
    usage_counts,
    usage_secrets,
)
from protocols.instant import SECOND

Rows = Callable[[str, int], sa.ColumnElement[bool]]


class AgedTable(NamedTuple):
    """A table whose rows a rule deletes: which are old enough, and which of them are held."""

    table: sa.Table
    old: Rows
    """Of (org, before in nanoseconds)."""
    held: sa.ColumnElement[bool]


_series = series.alias("own")
_OWN: Final = sa.select(_series.c.id)


def _samples_old(org: str, before: int) -> sa.ColumnElement[bool]:
    mine = samples.c.series.in_(_OWN.where(_series.c.org == org))
    return sa.and_(mine, samples.c.at < before // SECOND)


def _alerts_old(org: str, before: int) -> sa.ColumnElement[bool]:
    t = alerts.c
    return sa.and_(t.org == org, t.ended_at > 0, t.ended_at < before, t.resolve_at == 0)


def _counts_old(org: str, before: int) -> sa.ColumnElement[bool]:
    return sa.and_(usage_counts.c.org == org, usage_counts.c.at < before // SECOND)


def _secrets_old(org: str, before: int) -> sa.ColumnElement[bool]:
    return sa.and_(usage_secrets.c.org == org, usage_secrets.c.seen_at < before // SECOND)


def _deliveries_old(org: str, before: int) -> sa.ColumnElement[bool]:
    t = deliveries.c
    return sa.and_(t.org == org, t.finished_at > 0, t.finished_at < before)


def _reports_old(org: str, before: int) -> sa.ColumnElement[bool]:
    return sa.and_(reports.c.org == org, reports.c.created_at < before)


def _history_old(org: str, before: int) -> sa.ColumnElement[bool]:
    return is_superseded(history.c.org == org, before)


def _notes_old(org: str, before: int) -> sa.ColumnElement[bool]:
    return sa.and_(control_notes.c.org == org, control_notes.c.created_at < before)


def _holds_old(org: str, before: int) -> sa.ColumnElement[bool]:
    t = holds.c
    return sa.and_(t.org == org, t.lifted_at > 0, t.lifted_at < before)


AGED_TABLES: Final[dict[Kind, tuple[AgedTable, ...]]] = {
    Kind.METRICS: (AgedTable(samples, _samples_old, is_sample_held()),),
    Kind.ALERTS: (
        AgedTable(alerts, _alerts_old, is_held(alerts.c.org, alerts.c.at, alerts.c.vault)),
    ),
    Kind.USAGE: (
        AgedTable(
            usage_counts,
            _counts_old,
            is_held(usage_counts.c.org, usage_counts.c.at, usage_counts.c.vault, unit=SECOND),
        ),
        AgedTable(
            usage_secrets,
            _secrets_old,
            is_held(
                usage_secrets.c.org, usage_secrets.c.seen_at, usage_secrets.c.vault, unit=SECOND
            ),
        ),
    ),
    Kind.DELIVERIES: (
        AgedTable(deliveries, _deliveries_old, is_held(deliveries.c.org, deliveries.c.created_at)),
    ),
    Kind.HISTORY: (AgedTable(history, _history_old, IS_HELD),),
    Kind.NOTES: (
        AgedTable(
            control_notes, _notes_old, is_held(control_notes.c.org, control_notes.c.created_at)
        ),
    ),
    Kind.HOLDS: (
        AgedTable(
            holds,
            _holds_old,
            is_held(holds.c.org, holds.c.created_at, holds.c.vault, end=holds.c.lifted_at),
        ),
    ),
    Kind.REPORTS: (AgedTable(reports, _reports_old, is_held(reports.c.org, reports.c.created_at)),),
}
"""What of each kind is deleted by age; the audit log's way is `audit_records.truncate_to_base`."""


def get_rules(tx: Tx, org: str) -> dict[Kind, int]:
    """Days of each kind that has a rule."""
    t = retention_rules.c
    found = tx.execute(sa.select(t.kind, t.days).where(t.org == org))
    return {Kind(kind): days for kind, days in found}


def put_rule(tx: Tx, org: str, kind: Kind, days: int) -> None:
    """Set it; 0 days takes it away."""
    t = retention_rules.c
    if not days:
        tx.execute(retention_rules.delete().where(t.org == org, t.kind == kind))
        return
    insert = upsert_statement(tx, retention_rules).values(org=org, kind=kind, days=days)
    tx.execute(insert.on_conflict_do_update(index_elements=["org", "kind"], set_={"days": days}))


def count_aged(tx: Tx, kind: Kind, org: str, before: int) -> tuple[int, int]:
    """How many rows are old enough and free, and how many are held."""
    free = held = 0
    for aged in AGED_TABLES[kind]:
        whole = sa.select(sa.func.count()).select_from(aged.table).where(aged.old(org, before))
        kept = tx.execute(whole.where(aged.held)).scalar_one()
        free += tx.execute(whole).scalar_one() - kept
        held += kept
    return free, held


def delete_aged(tx: Tx, kind: Kind, org: str, before: int, most: int) -> int:
    """Delete at most so many of each table, the held ones spared; how many there were."""
    return sum(_delete(tx, aged, aged.old(org, before), most) for aged in AGED_TABLES[kind])


def _delete(tx: Tx, aged: AgedTable, old: sa.ColumnElement[bool], most: int) -> int:
    key: tuple[sa.Column[Any], ...] = tuple(aged.table.primary_key)
    some = sa.select(*key).where(old, sa.not_(aged.held)).limit(most).correlate(None)
    return tx.execute(aged.table.delete().where(sa.tuple_(*key).in_(some))).rowcount


def delete_oldest_report(tx: Tx, org: str) -> bool:
    """Remove the oldest report that no hold covers; whether there was one."""
    return _drop_oldest(tx, org, Kind.REPORTS, reports.c.org == org)


def delete_oldest_lifted(tx: Tx, org: str) -> bool:
    """Remove the oldest lifted hold that no other one covers; whether there was one."""
    return _drop_oldest(tx, org, Kind.HOLDS, holds.c.lifted_at > 0)


def _drop_oldest(tx: Tx, org: str, kind: Kind, which: sa.ColumnElement[bool]) -> bool:
    [aged] = AGED_TABLES[kind]
    t = aged.table.c
    oldest = (
        sa.select(t.id)
        .where(t.org == org, which, sa.not_(aged.held))
        .order_by(t.created_at, t.id)
        .limit(1)
        .correlate(None)
    )
    return tx.execute(aged.table.delete().where(t.org == org, t.id.in_(oldest))).rowcount > 0
