"""Alerts, the audit trail of people, and witnessed checkpoints."""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from msgspec import Struct

from control.model.notices import notice_of
from control.model.records import Alert, AuditEvent, Witnessed, WitnessedLog
from control.store.holds import is_held
from control.store.notices import post
from control.store.rows import Tx, add, every, first, key_of, put
from control.store.tables import alerts, audit, witnessed, witnessed_logs

_CHECKPOINT: Final = key_of(witnessed)
_LOG: Final = key_of(witnessed_logs)
_RAISED: Final = sa.select(sa.func.count()).where(
    alerts.c.org == sa.bindparam("org"),
    alerts.c.vault == sa.bindparam("vault"),
    alerts.c.at > sa.bindparam("since", type_=sa.BigInteger()),
    alerts.c.code == sa.bindparam("code"),
)
_SAID: Final = (alerts.c.vault, alerts.c.code, alerts.c.message, alerts.c.note)


def add_alerts(tx: Tx, *rows: Alert) -> None:
    """Add alerts, and have people told of them."""
    add(tx, alerts, *rows)
    post(tx, *(notice_of(row) for row in rows))


def count_alerts(tx: Tx, org: str, vault: str, code: str, since: int) -> int:
    """How many of this kind an agent has raised after that instant."""
    return int(
        tx.execute(_RAISED, {"org": org, "vault": vault, "code": code, "since": since}).scalar_one()
    )


def raised_by(tx: Tx, org: str, vaults: Sequence[str], code: str, since: int) -> set[str]:
    """Of these agents (at most a few hundred), those with such an alert after that instant."""
    t = alerts.c
    lately = (t.org == org, t.vault.in_(vaults), t.code == code, t.at > since)
    return set(tx.execute(sa.select(t.vault).where(*lately).distinct()).scalars())


def newest_among(tx: Tx, org: str, vaults: Sequence[str], codes: Sequence[str]) -> dict[str, str]:
    """Which of these codes each of these agents raised last; those that raised one."""
    t = alerts.c
    some = (t.org == org, t.vault.in_(vaults), t.code.in_(codes))
    last = sa.func.max(t.at)
    chosen = sa.select(t.vault, t.code).where(*some).group_by(t.vault, t.code).order_by(last)
    return {row.vault: row.code for row in tx.execute(chosen)}


def alert(tx: Tx, org: str, alert_id: str) -> Alert | None:
    """The alert of this id."""
    return first(tx, Alert, sa.select(alerts).where(alerts.c.org == org, alerts.c.id == alert_id))


def put_alert(tx: Tx, row: Alert) -> None:
    """Replace the alert of this id."""
    put(tx, alerts, row)


class Narrow(Struct, frozen=True, kw_only=True):
    """Which alerts; what is empty narrows nothing. `text` is looked for as it is, in any case.

    `behind`: those that follow this one in the list.
    """

    severity: str = ""
    acknowledged: bool = False
    text: str = ""
    behind: Alert | None = None


ANY: Final = Narrow()


def alerts_of(
    tx: Tx,
    org: str,
    *,
    vault: str,
    unacknowledged: bool,
    before: int,
    limit: int,
    narrow: Narrow = ANY,
) -> list[Alert]:
    """The newest first, older than `before` (Unix nanoseconds) if that is not 0."""
    t = alerts.c
    chosen = _narrowed(sa.select(alerts).where(t.org == org), narrow)
    if vault:
        chosen = chosen.where(t.vault == vault)
    if unacknowledged:
        chosen = chosen.where(t.acknowledged_at == 0)
    if before:
        chosen = chosen.where(t.at < before)
    return every(tx, Alert, chosen.order_by(t.at.desc(), t.id).limit(limit))


def _narrowed(chosen: sa.Select[Any], narrow: Narrow) -> sa.Select[Any]:
    t, text, behind = alerts.c, narrow.text, narrow.behind
    if narrow.severity:
        chosen = chosen.where(t.severity == narrow.severity)
    if narrow.acknowledged:
        chosen = chosen.where(t.acknowledged_at > 0)
    if text:
        found = [column.icontains(text, autoescape=True) for column in _SAID]
        chosen = chosen.where(sa.or_(*found))
    if behind:
        later = sa.and_(t.at == behind.at, t.id > behind.id)
        chosen = chosen.where(sa.or_(t.at < behind.at, later))
    return chosen


def sweep_alerts(tx: Tx, before: int) -> int:
    """Remove acknowledged alerts that are older, and that no legal hold covers; how many."""
    t = alerts.c
    free = sa.not_(is_held(t.org, t.at, t.vault))
    return tx.execute(alerts.delete().where(t.at < before, t.acknowledged_at > 0, free)).rowcount


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


class Wanted(Struct, frozen=True):
    """Which events: what is not empty has to be so. Times are Unix nanoseconds, `until` excluded.

    `operation` and `target` are beginnings.
    """

    actor: str = ""
    operation: str = ""
    target: str = ""
    ip: str = ""
    result: str = ""
    phase: str = ""
    code: str = ""
    request_id: str = ""
    since: int = 0
    until: int = 0


ALL: Final = Wanted()


def newest_event_at(tx: Tx) -> int:
    """When the newest record of any chain was made, Unix nanoseconds; 0 for none."""
    t = audit.c
    newest = sa.select(t.org, sa.func.max(t.seq).label("seq")).group_by(t.org).subquery()
    same = sa.and_(t.org == newest.c.org, t.seq == newest.c.seq)
    found = tx.execute(sa.select(sa.func.max(t.at)).select_from(audit).join(newest, same)).scalar()
    return 0 if found is None else int(found)


def newest_events(
    tx: Tx, org: str, *, before: int, limit: int, wanted: Wanted = ALL
) -> list[AuditEvent]:
    """The newest first, before the sequence number `before` if that is not 0."""
    rules = _rules(org, wanted)
    if before:
        rules.append(audit.c.seq < before)
    chosen = sa.select(audit).where(*rules).order_by(audit.c.seq.desc()).limit(limit)
    return every(tx, AuditEvent, chosen)


def count_events(tx: Tx, org: str, wanted: Wanted) -> int:
    """How many fit."""
    chosen = sa.select(sa.func.count()).select_from(audit).where(*_rules(org, wanted))
    return int(tx.execute(chosen).scalar_one())


def count_older(tx: Tx, org: str, before: int) -> int:
    """How many are older, the newest not among them: that one stays in any case."""
    t = audit.c
    newest = sa.select(sa.func.max(t.seq)).where(t.org == org).scalar_subquery()
    chosen = sa.select(sa.func.count()).where(t.org == org, t.at < before, t.seq < newest)
    return int(tx.execute(chosen).scalar_one())


def _rules(org: str, wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    t = audit.c
    rules: list[sa.ColumnElement[bool]] = [t.org == org]
    exact = ("actor", "ip", "result", "phase", "code", "request_id")
    rules += [t[name] == value for name in exact if (value := getattr(wanted, name))]
    begun = ("operation", "target")
    rules += [
        sa.func.substr(t[name], 1, len(value)) == value  # LIKE folds case on SQLite
        for name in begun
        if (value := getattr(wanted, name))
    ]
    if wanted.since:
        rules.append(t.at >= wanted.since)
    if wanted.until:
        rules.append(t.at < wanted.until)
    return rules


def ends(tx: Tx) -> list[tuple[str, int, bytes]]:
    """Of each organization's chain: how many events, and the hash of the last."""
    t = audit.c
    last = sa.select(t.org, sa.func.max(t.seq).label("seq")).group_by(t.org).subquery()
    joint = sa.and_(t.org == last.c.org, t.seq == last.c.seq)
    rows = tx.execute(sa.select(t.org, t.seq, t.hash).join(last, joint).order_by(t.org))
    return [(row[0], row[1], row[2]) for row in rows]


def checkpoint(tx: Tx, org: str, vault: str) -> Witnessed | None:
    """The newest one that was cosigned for this agent."""
    return first(tx, Witnessed, _CHECKPOINT, org=org, vault=vault)


def put_checkpoint(tx: Tx, row: Witnessed) -> None:
    """Replace it."""
    put(tx, witnessed, row)


def witnessed_log(tx: Tx, origin: str, signer: bytes) -> WitnessedLog | None:
    """The newest checkpoint of this log that was cosigned, for whichever enrolment."""
    return first(tx, WitnessedLog, _LOG, origin=origin, signer=signer)


def put_witnessed_log(tx: Tx, row: WitnessedLog) -> None:
    """Add, or replace."""
    put(tx, witnessed_logs, row)
