"""Alerts, the audit trail of people, and witnessed checkpoints."""

import sqlalchemy as sa

from control.model.records import Alert, AuditEvent, Witnessed
from control.store.rows import Tx, add, every, first, put
from control.store.tables import alerts, audit, witnessed


def add_alerts(tx: Tx, *rows: Alert) -> None:
    """Add alerts."""
    add(tx, alerts, *rows)


def alert(tx: Tx, org: str, alert_id: str) -> Alert | None:
    """The alert of this id."""
    return first(tx, Alert, sa.select(alerts).where(alerts.c.org == org, alerts.c.id == alert_id))


def put_alert(tx: Tx, row: Alert) -> None:
    """Replace the alert of this id."""
    put(tx, alerts, row)


def alerts_of(
    tx: Tx, org: str, *, vault: str, unacknowledged: bool, before: int, limit: int
) -> list[Alert]:
    """The newest first, older than `before` (Unix nanoseconds) if that is not 0."""
    t = alerts.c
    chosen = sa.select(alerts).where(t.org == org)
    if vault:
        chosen = chosen.where(t.vault == vault)
    if unacknowledged:
        chosen = chosen.where(t.acknowledged_at == 0)
    if before:
        chosen = chosen.where(t.at < before)
    return every(tx, Alert, chosen.order_by(t.at.desc(), t.id).limit(limit))


def sweep_alerts(tx: Tx, before: int) -> int:
    """Remove acknowledged alerts that are older; how many."""
    t = alerts.c
    return tx.execute(alerts.delete().where(t.at < before, t.acknowledged_at > 0)).rowcount


def last_event(tx: Tx, org: str) -> AuditEvent | None:
    """The end of the organization's chain."""
    chosen = sa.select(audit).where(audit.c.org == org).order_by(audit.c.seq.desc()).limit(1)
    return first(tx, AuditEvent, chosen)


def add_event(tx: Tx, event: AuditEvent) -> None:
    """Add the next one."""
    add(tx, audit, event)


def events(tx: Tx, org: str, *, after: int, limit: int) -> list[AuditEvent]:
    """In order, beginning behind the sequence number `after`."""
    t = audit.c
    chosen = sa.select(audit).where(t.org == org, t.seq > after).order_by(t.seq).limit(limit)
    return every(tx, AuditEvent, chosen)


def newest_events(tx: Tx, org: str, *, before: int, limit: int) -> list[AuditEvent]:
    """The newest first, before the sequence number `before` if that is not 0."""
    t = audit.c
    chosen = sa.select(audit).where(t.org == org)
    if before:
        chosen = chosen.where(t.seq < before)
    return every(tx, AuditEvent, chosen.order_by(t.seq.desc()).limit(limit))


def checkpoint(tx: Tx, org: str, vault: str) -> Witnessed | None:
    """The newest one that was cosigned for this agent."""
    t = witnessed.c
    return first(tx, Witnessed, sa.select(witnessed).where(t.org == org, t.vault == vault))


def put_checkpoint(tx: Tx, row: Witnessed) -> None:
    """Replace it."""
    put(tx, witnessed, row)
