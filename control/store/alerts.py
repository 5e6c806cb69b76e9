"""Alerts: a row for each condition, from its start to its end, and the notices of both.

While a condition lasts there is one row, however often it is reported. A condition that returns
within `FLAPPING_WINDOW` after its end continues in the same row; from then on its end is notified
only once it has held for as long, so that a flapping condition is three messages and not a storm.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import replace

from control.model.agents import Life
from control.model.conditions import AGENT_LOCKED, CONTRADICTED, REPORTING, ends_by_itself
from control.model.notices import alert_notice, resolution_notice
from control.model.records import Alert, AlertState, most_severe
from control.store.legal_holds import is_held
from control.store.notices import enqueue_notices
from control.store.rows import Tx, fetch_all, fetch_one, insert_or_replace
from control.store.tables import alerts
from protocols.instant import SECOND

FLAPPING_WINDOW: Final = 600 * SECOND
ALERTS_PER_STATEMENT: Final = 500  # agents of one statement
SETTLED_PER_TURN: Final = 500  # ends that are notified in one transaction

_t = alerts.c
_SAID: Final = (_t.vault, _t.code, _t.message, _t.note)
_COUNT: Final = sa.select(sa.func.count()).where(
    _t.org == sa.bindparam("org"),
    _t.vault == sa.bindparam("vault"),
    _t.last_at > sa.bindparam("since", type_=sa.BigInteger()),
    _t.code == sa.bindparam("code"),
)
_OWED: Final = (
    sa.select(alerts)
    .where(_t.resolve_at > 0, _t.resolve_at <= sa.bindparam("now", type_=sa.BigInteger()))
    .order_by(_t.resolve_at, _t.org, _t.id)
    .limit(SETTLED_PER_TURN)
)
_STATES: Final[Mapping[str, sa.ColumnElement[bool]]] = {
    AlertState.FIRING: sa.and_(_t.ended_at == 0, _t.acknowledged_at == 0),
    AlertState.ACKNOWLEDGED: sa.and_(_t.ended_at == 0, _t.acknowledged_at > 0),
    AlertState.RESOLVED: _t.ended_at > 0,
    "open": _t.ended_at == 0,
}


def fire_alerts(tx: Tx, *rows: Alert, repeat: bool = True) -> list[Alert]:
    """Store alerts with their notices; the rows that are new or have changed.

    `repeat`: whether another report of a firing alert is counted.
    """
    known = _known_alerts(tx, rows)
    fired: dict[str, Alert] = {}
    for row in rows:
        before = known.get(row.condition)
        if before is not None and not before.ended_at and not repeat:
            continue
        after, is_news = _fired_row(before, row)
        known[row.condition] = fired[after.id] = after
        if is_news:
            enqueue_notices(tx, alert_notice(after, at=after.last_at))
    insert_or_replace(tx, alerts, *fired.values())
    return list(fired.values())


def resolve_alerts(
    tx: Tx,
    org: str,
    codes: Collection[str],
    vaults: Sequence[str],
    *,
    now: int,
    subject: str | None = None,
    before: int | None = None,
) -> list[Alert]:
    """Resolve firing alerts of these codes at these agents; the resolved rows.

    `subject`: with this subject only. `before`: only those that began until then.
    """
    chosen = sa.select(alerts).where(_t.org == org, _t.code.in_(codes), _t.ended_at == 0)
    if subject is not None:
        chosen = chosen.where(_t.subject == subject)
    if before is not None:
        chosen = chosen.where(_t.at <= before)
    found = [
        row
        for start in range(0, len(vaults), ALERTS_PER_STATEMENT)
        for row in fetch_all(
            tx, Alert, chosen.where(_t.vault.in_(vaults[start : start + ALERTS_PER_STATEMENT]))
        )
    ]
    return [end_alert(tx, row, now) for row in found]


def follow_life(tx: Tx, org: str, vault: str, life: Life, now: int) -> list[Alert]:
    """Resolve an agent's conditions that its new life ends."""
    codes = frozenset[str]() if life is Life.ACTIVE else REPORTING
    if life is not Life.LOCKED:
        codes |= {AGENT_LOCKED}
    if life is Life.RETIRED:
        codes |= CONTRADICTED
    return resolve_alerts(tx, org, codes, [vault], now=now)


def end_alert(tx: Tx, row: Alert, now: int) -> Alert:
    """Resolve this alert, which fires."""
    over = replace(row, ended_at=max(now, row.at))
    if row.reopened:
        over = replace(over, resolve_at=now + FLAPPING_WINDOW)
    else:
        enqueue_notices(tx, resolution_notice(over))
    insert_or_replace(tx, alerts, over)
    return over


def notify_settled(tx: Tx, now: int) -> int:
    """Send notices of ends that have held for long enough; how many."""
    found = fetch_all(tx, Alert, _OWED, now=now)
    for row in found:
        enqueue_notices(tx, resolution_notice(row))
    insert_or_replace(tx, alerts, *(replace(row, resolve_at=0) for row in found))
    return len(found)


def has_settled(tx: Tx, now: int) -> bool:
    """Whether `notify_settled` has something to do."""
    return tx.execute(_OWED.with_only_columns(_t.id).limit(1), {"now": now}).first() is not None


def firing_agents(tx: Tx, org: str, code: str) -> set[str]:
    """The agents where this code fires."""
    mine = _t.org == org, _t.code == code, _t.ended_at == 0
    return set(tx.execute(sa.select(_t.vault).where(*mine).distinct()).scalars())


def subjects_anywhere(tx: Tx, code: str) -> list[tuple[str, str]]:
    """Organization and subject of each alert of this code that fires, in order."""
    mine = _t.code == code, _t.ended_at == 0
    chosen = sa.select(_t.org, _t.subject).where(*mine).distinct().order_by(_t.org, _t.subject)
    return [(org, subject) for org, subject in tx.execute(chosen)]


def count_alerts(tx: Tx, org: str, vault: str, code: str, since: int) -> int:
    """How many alerts of this code an agent has, of those reported after that instant."""
    values = {"org": org, "vault": vault, "code": code, "since": since}
    return int(tx.execute(_COUNT, values).scalar_one())


def get_alert(tx: Tx, org: str, alert_id: str) -> Alert | None:
    """The alert of this id."""
    return fetch_one(tx, Alert, sa.select(alerts).where(_t.org == org, _t.id == alert_id))


def put_alert(tx: Tx, row: Alert) -> None:
    """Replace the alert of this id."""
    insert_or_replace(tx, alerts, row)


class AlertFilter(Struct, frozen=True, kw_only=True):
    """Which alerts; an empty field matches all.

    `state`: an `AlertState`, or `open` for what is not resolved. `text` is searched literally, in
    any case. `behind`: those that follow this one in the list.
    """

    state: str = ""
    severity: str = ""
    text: str = ""
    behind: Alert | None = None


ANY_ALERT: Final = AlertFilter()


def list_alerts(
    tx: Tx,
    org: str,
    *,
    vault: str = "",
    before: int = 0,
    limit: int,
    narrow: AlertFilter = ANY_ALERT,
) -> list[Alert]:
    """The newest first, older than `before` (Unix nanoseconds) if that is not 0."""
    chosen = _apply_filter(sa.select(alerts).where(_t.org == org), narrow)
    if vault:
        chosen = chosen.where(_t.vault == vault)
    if before:
        chosen = chosen.where(_t.at < before)
    return fetch_all(tx, Alert, chosen.order_by(_t.at.desc(), _t.id).limit(limit))


def delete_older_alerts(tx: Tx, before: int) -> int:
    """Delete alerts that were resolved before, except under a legal hold; how many."""
    free = sa.not_(is_held(_t.org, _t.at, _t.vault))
    old = _t.ended_at > 0, _t.ended_at < before, _t.resolve_at == 0
    return tx.execute(alerts.delete().where(*old, free)).rowcount


def _fired_row(before: Alert | None, row: Alert) -> tuple[Alert, bool]:
    """The row after this report, and whether a notice is sent."""
    now = row.last_at or row.at
    if before is None:
        return replace(row, last_at=now), True
    severity = most_severe(before.severity, row.severity)
    after = replace(
        before,
        severity=severity,
        message=row.message,
        count=before.count + row.count,
        last_at=now,
        ended_at=0,
        resolve_at=0,
    )
    if not before.ended_at:
        return after, not before.acknowledged_at or severity is not before.severity
    return replace(after, reopened=before.reopened + 1), not before.resolve_at


def _known_alerts(tx: Tx, rows: Iterable[Alert]) -> dict[tuple[str, str, str, str], Alert]:
    """For each condition the row that another report of it continues."""
    known = {}
    for (org, code), some in groupby(sorted(rows, key=_alert_kind), _alert_kind):
        for row in _open_alerts(tx, org, code, list(some)):
            if row.condition not in known or not row.ended_at:
                known[row.condition] = row
    return known


def _alert_kind(row: Alert) -> tuple[str, str]:
    return row.org, row.code


def _open_alerts(tx: Tx, org: str, code: str, some: Sequence[Alert]) -> Iterable[Alert]:
    """Firing alerts, and those that may continue, the latest end first."""
    now = min(row.last_at or row.at for row in some)
    lately = _t.ended_at > now - FLAPPING_WINDOW if ends_by_itself(code) else sa.false()
    mine = _t.org == org, _t.code == code, sa.or_(_t.ended_at == 0, lately)
    for start in range(0, len(some), ALERTS_PER_STATEMENT):
        piece = some[start : start + ALERTS_PER_STATEMENT]
        chosen = sa.select(alerts).where(
            *mine,
            _t.vault.in_({row.vault for row in piece}),
            _t.subject.in_({row.subject for row in piece}),
        )
        yield from fetch_all(tx, Alert, chosen.order_by(_t.ended_at.desc()))


def _apply_filter(chosen: sa.Select[Any], narrow: AlertFilter) -> sa.Select[Any]:
    text, behind = narrow.text, narrow.behind
    if narrow.state:
        chosen = chosen.where(_STATES[narrow.state])
    if narrow.severity:
        chosen = chosen.where(_t.severity == narrow.severity)
    if text:
        found = [column.icontains(text, autoescape=True) for column in _SAID]
        chosen = chosen.where(sa.or_(*found))
    if behind:
        later = sa.and_(_t.at == behind.at, _t.id > behind.id)
        chosen = chosen.where(sa.or_(_t.at < behind.at, later))
    return chosen
