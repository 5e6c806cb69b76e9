"""Backups of vaults: reports are stored, and their alerts fire and end.

A vault has one alert of a code, whichever of its nodes reports. Lateness is also judged here, by
the clock of the control plane: an agent that is offline or sealed makes no backup and says nothing.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from itertools import groupby
from typing import Final, NamedTuple

from actors import World
from control.model.agents import Life
from control.model.backups import BackupRecord, follow_report, judge_backups
from control.model.conditions import BACKUP_CODES, BACKUP_LATE, alert_message
from control.model.records import Alert, Severity
from control.services.alerts import alert_event
from control.services.event_bus import Event, EventBus, Topic
from control.services.organization_batches import run_by_organization
from control.store import agents, alerts, backups
from control.store.backups import VaultReports
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import from_millis
from protocols.link.messages import Backups
from protocols.link.vocabulary import BackupState
from protocols.pki.names import AgentName


class BackupReport(NamedTuple):
    """An agent reports its vault's backups. `alert_ids`: of alerts that may follow."""

    name: AgentName
    row: BackupRecord
    alert_ids: tuple[str, ...]


class AlertChange(NamedTuple):
    """Alerts of one vault: (agent, code) that begin to fire, and that end."""

    org: str
    fire: tuple[tuple[str, str], ...]
    end: tuple[tuple[str, str], ...]


def backup_report(name: AgentName, told: Backups, world: World) -> BackupReport:
    """The report as it is stored."""
    row = BackupRecord(
        *name,
        state=str(told.state),
        newest=from_millis(told.newest),
        proven=from_millis(told.proven),
        count=told.count,
        period=told.period,
        rto=told.rto,
        rpo=told.rpo,
        certificate=told.certificate,
        at=world.now(),
    )
    return BackupReport(name, row, tuple(world.new_id() for _ in BACKUP_CODES))


def record_backups(tx: Tx, said: Sequence[BackupReport]) -> list[Sequence[Event]]:
    """Store reports of active agents; the events to publish for each."""

    def note(tx: Tx, org: str, places: Sequence[int]) -> list[Sequence[Event]]:
        return _record_organization(tx, org, [said[place] for place in places])

    return run_by_organization(tx, [each.name for each in said], note)


def _record_organization(tx: Tx, org: str, said: Sequence[BackupReport]) -> list[Sequence[Event]]:
    names = [each.name.vault for each in said]
    active = {a.vault: a for a in agents.get_agents(tx, org, names) if a.life is Life.ACTIVE}
    before = backups.get_records(tx, org, names)
    news = {
        each.name.vault: follow_report(before.get(each.name.vault), each.row)
        for each in said
        if each.name.vault in active
    }
    news = {vault: row for vault, row in news.items() if row != before.get(vault)}
    if not news:
        return [()] * len(said)
    backups.put_records(tx, *news.values())
    ids = [identifier for each in said for identifier in each.alert_ids]
    of_agents = [(vault, active[vault].vault_id) for vault in news]
    found = [
        VaultReports(org, key, rows)
        for key, rows in backups.get_vault_reports(tx, org, of_agents).items()
    ]
    now = said[0].row.at
    changes = plan_changes(found, backups.firing_codes(tx, org), now)
    fired = _apply_changes(tx, changes, ids, now)
    nodes = (row for vault in found for row in vault.rows)
    events = [Event(Topic.BACKUP, org, row.vault, row.state) for row in nodes]
    return [[*events, *map(alert_event, fired)], *([()] * (len(said) - 1))]


def plan_changes(
    vaults: Iterable[VaultReports], firing: Collection[tuple[str, str, str]], now: int
) -> list[AlertChange]:
    """What has to change of the alerts that fire for these vaults."""
    changes = []
    for org, _, rows in vaults:
        judged = judge_backups(rows, now)
        wanted = frozenset[str]() if judged is None else judged.conditions
        fire: list[tuple[str, str]] = []
        end: list[tuple[str, str]] = []
        for code in BACKUP_CODES:
            holders = sorted(row.vault for row in rows if (org, row.vault, code) in firing)
            if code in wanted and not holders:
                making = [row.vault for row in rows if row.state != BackupState.OFF]
                fire.append((min(making), code))
            end += [(vault, code) for vault in holders[1 if code in wanted else 0 :]]
        if fire or end:
            changes.append(AlertChange(org, tuple(fire), tuple(end)))
    return changes


def _apply_changes(
    tx: Tx, changes: Iterable[AlertChange], ids: Iterable[str], now: int
) -> list[Alert]:
    """Fire and end; what there is no id for is due with the next look."""
    wanted = [(change.org, *each) for change in changes for each in change.fire]
    rows = [
        _alert(org, vault, code, identifier, now)
        for (org, vault, code), identifier in zip(wanted, ids, strict=False)
    ]
    found = alerts.fire_alerts(tx, *rows, repeat=False)
    for change in changes:
        for code, some in groupby(sorted(change.end, key=_code_of), _code_of):
            vaults = [vault for vault, _ in some]
            found += alerts.resolve_alerts(tx, change.org, [code], vaults, now=now)
    return found


def _code_of(each: tuple[str, str]) -> str:
    return each[1]


def _alert(org: str, vault: str, code: str, identifier: str, now: int) -> Alert:
    return Alert(
        id=identifier,
        org=org,
        vault=vault,
        code=code,
        severity=Severity.CRITICAL if code == BACKUP_LATE else Severity.WARNING,
        message=alert_message(code, vault),
        at=now,
        acknowledged_by="",
        acknowledged_at=0,
        last_at=now,
    )


VAULTS_PER_TRANSACTION: Final = 500  # the writer must not be held for long


class BackupWatch:
    """Judges how old the newest backups are, also of vaults whose agents are silent."""

    def __init__(self, store: Store, bus: EventBus, world: World) -> None:
        self._store = store
        self._bus = bus
        self._world = world

    async def update(self) -> None:
        """Fire alerts of backups that became late, and end those that are over."""
        now = self._world.now()
        changes = await self._store.read(partial(_find_changes, now=now))
        for start in range(0, len(changes), VAULTS_PER_TRANSACTION):
            some = changes[start : start + VAULTS_PER_TRANSACTION]
            ids = [self._world.new_id() for change in some for _ in change.fire]
            orgs = sorted({change.org for change in some})
            found = await self._store.write(partial(_judge_again, orgs=orgs, ids=ids, now=now))
            self._bus.publish(*map(alert_event, found))


def _find_changes(tx: Tx, now: int) -> list[AlertChange]:
    return plan_changes(backups.list_vault_reports(tx), backups.firing_codes(tx), now)


def _judge_again(tx: Tx, orgs: Sequence[str], ids: Sequence[str], now: int) -> list[Alert]:
    """As they are by now: a report may have come meanwhile."""
    changes = [
        change
        for org in orgs
        for change in plan_changes(
            [
                VaultReports(org, key, rows)
                for key, rows in backups.list_organization_reports(tx, org).items()
            ],
            backups.firing_codes(tx, org),
            now,
        )
    ]
    return _apply_changes(tx, changes, ids, now)
