"""Reports of vaults are stored, and their alerts fire and end: backups, and rotations with leases.

A vault has one alert of a code, whichever of its nodes reports. What time alone makes late is also
judged here, by the clock of the control plane: an agent that is offline or sealed says nothing.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, Final, Generic, NamedTuple, TypeVar

from msgspec.structs import replace

from actors import World
from control.model.agents import Agent, Life
from control.model.backups import BackupRecord, follow_report, judge_backups
from control.model.conditions import (
    BACKUP_LATE,
    LEASES_IRREVOCABLE,
    ROTATION_STUCK,
    alert_message,
)
from control.model.notices import Notice
from control.model.records import Alert, Severity
from control.model.rotations import RotationRecord, judge_rotations
from control.model.vault_reports import ReportRecord, vault_key
from control.services.alerts import alert_event
from control.services.event_bus import Event, EventBus, Topic
from control.services.organization_batches import run_by_organization
from control.services.rotation_notices import rotation_notices
from control.store import agents, alerts
from control.store.notices import enqueue_notices
from control.store.rows import Tx
from control.store.store import Store
from control.store.vault_reports import ReportTable, VaultReports, backups, rotations
from protocols.instant import from_millis
from protocols.link.messages import Backups, Clients, Rotations
from protocols.link.vocabulary import BackupState
from protocols.pki.names import AgentName

R = TypeVar("R", bound=ReportRecord)

VAULTS_PER_TRANSACTION: Final = 500  # the writer must not be held for long
_CRITICAL: Final = frozenset({BACKUP_LATE, ROTATION_STUCK, LEASES_IRREVOCABLE})


class VaultReport(NamedTuple, Generic[R]):
    """An agent reports its vault. `alert_ids`: of alerts that may follow."""

    name: AgentName
    row: R
    alert_ids: tuple[str, ...]
    at: int
    notices: Mapping[str, Notice] = {}
    """What is to be told of it, by the ids in `row`, unless an earlier report had the same."""


class AlertChange(NamedTuple):
    """Alerts of one vault: (agent, code) that begin to fire, and that end."""

    org: str
    fire: tuple[tuple[str, str], ...]
    end: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ReportKind(Generic[R]):
    """What agents report, and what follows from it."""

    table: ReportTable[R]
    topic: Topic
    follow: Callable[[R | None, R], R]
    """The row to store behind the one that is there."""
    conditions: Callable[[Sequence[R], int], frozenset[str]]
    """Codes of the alerts that fire, by the reports of a vault's nodes and the time."""
    state: Callable[[R], str]
    notice_ids: Callable[[R], Collection[str]]
    """Of what the report told of."""
    is_idle: Callable[[R], bool]
    """Whether the agent has no part in it, so that another node of its vault has the alerts."""


def backup_report(name: AgentName, told: Backups, world: World) -> VaultReport[BackupRecord]:
    """The report as it is stored."""
    now = world.now()
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
        at=now,
    )
    return VaultReport(name, row, tuple(world.new_id() for _ in backups.codes), now)


def rotation_report(
    name: AgentName, told: Rotations, clients: Clients | None, world: World
) -> VaultReport[RotationRecord]:
    """The report as it is stored, and what is to be told of single rotations.

    `clients`: what the agent said before it, if it says anything.
    """
    now = world.now()
    ids = tuple(each.notice.hex() for each in told.notices)
    row = RotationRecord(
        *name,
        counted_at=from_millis(told.at),
        policies=told.policies,
        unmanaged=told.unmanaged,
        due=told.due,
        overdue=told.overdue,
        overdue_since=from_millis(told.overdue_since),
        next_due=from_millis(told.next_due),
        running=told.running,
        waiting=told.waiting,
        failing=told.failing,
        stuck=told.stuck,
        rotated_day=told.rotated_day,
        rotated_month=told.rotated_month,
        leases=told.leases,
        revoking=told.revoking,
        irrevocable=told.irrevocable,
        notices=ids,
        at=now,
        lagging=0 if clients is None else clients.lagging,
        unrenewed=0 if clients is None else clients.unrenewed,
    )
    alert_ids = tuple(world.new_id() for _ in rotations.codes)
    notices = dict(zip(ids, rotation_notices(name, told, world), strict=True))
    return VaultReport(name, row, alert_ids, now, notices)


def record_backups(tx: Tx, said: Sequence[VaultReport[BackupRecord]]) -> list[Sequence[Event]]:
    """Store reports of active agents; the events to publish for each."""
    return _record(tx, BACKUPS, said)


def record_rotations(tx: Tx, said: Sequence[VaultReport[RotationRecord]]) -> list[Sequence[Event]]:
    """The same of rotations; what their policies want told is told."""
    return _record(tx, ROTATIONS, said)


def _record(tx: Tx, kind: ReportKind[R], said: Sequence[VaultReport[R]]) -> list[Sequence[Event]]:
    def note(tx: Tx, org: str, places: Sequence[int]) -> list[Sequence[Event]]:
        return _record_organization(tx, kind, org, [said[place] for place in places])

    return run_by_organization(tx, [each.name for each in said], note)


def _record_organization(
    tx: Tx, kind: ReportKind[R], org: str, said: Sequence[VaultReport[R]]
) -> list[Sequence[Event]]:
    names, table = [each.name.vault for each in said], kind.table
    active = {a.vault: a for a in agents.get_agents(tx, org, names) if a.life is Life.ACTIVE}
    before = table.get_records(tx, org, names)
    news = {
        each.name.vault: kind.follow(before.get(each.name.vault), each.row)
        for each in said
        if each.name.vault in active
    }
    news = {vault: row for vault, row in news.items() if row != before.get(vault)}
    if not news:
        return [()] * len(said)
    of_agents = [(vault, active[vault].vault_id) for vault in news]
    _tell(tx, kind, org, [each for each in said if each.name.vault in news], active)
    table.put_records(tx, *news.values())
    ids = [identifier for each in said for identifier in each.alert_ids]
    found = [
        VaultReports(org, key, rows)
        for key, rows in table.get_vault_reports(tx, org, of_agents).items()
    ]
    now = said[0].at
    changes = plan_changes(kind, found, table.firing_codes(tx, org), now)
    fired = _apply_changes(tx, changes, ids, now)
    nodes = (row for vault in found for row in vault.rows)
    events = [Event(kind.topic, org, row.vault, kind.state(row)) for row in nodes]
    return [[*events, *map(alert_event, fired)], *([()] * (len(said) - 1))]


def _tell(
    tx: Tx,
    kind: ReportKind[R],
    org: str,
    said: Sequence[VaultReport[R]],
    active: Mapping[str, Agent],
) -> None:
    """Queue the notices that no node of the vault had in its last report."""
    telling = [each for each in said if each.notices]
    if not telling:
        return
    of_agents = [(each.name.vault, active[each.name.vault].vault_id) for each in telling]
    known: dict[str, set[str]] = {}
    for key, rows in kind.table.get_vault_reports(tx, org, of_agents).items():
        known[key] = {id_ for row in rows for id_ in kind.notice_ids(row)}
    for each, agent in zip(telling, of_agents, strict=True):
        told = known.setdefault(vault_key(*agent), set())
        new = {id_: notice for id_, notice in each.notices.items() if id_ not in told}
        enqueue_notices(tx, *new.values())
        told.update(new)


def plan_changes(
    kind: ReportKind[R],
    vaults: Iterable[VaultReports[R]],
    firing: Collection[tuple[str, str, str]],
    now: int,
) -> list[AlertChange]:
    """What has to change of the alerts that fire for these vaults."""
    changes = []
    for org, _, rows in vaults:
        wanted = kind.conditions(rows, now)
        fire: list[tuple[str, str]] = []
        end: list[tuple[str, str]] = []
        for code in kind.table.codes:
            holders = sorted(row.vault for row in rows if (org, row.vault, code) in firing)
            if code in wanted and not holders:
                fire.append((min(row.vault for row in rows if not kind.is_idle(row)), code))
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
        severity=Severity.CRITICAL if code in _CRITICAL else Severity.WARNING,
        message=alert_message(code, vault),
        at=now,
        acknowledged_by="",
        acknowledged_at=0,
        last_at=now,
    )


class RotationTotals(NamedTuple):
    """Over all vaults."""

    overdue: int = 0
    stuck: int = 0
    irrevocable: int = 0


class ReportWatch:
    """Judges reports as time passes, also those of vaults whose agents are silent."""

    def __init__(self, store: Store, bus: EventBus, world: World) -> None:
        self._store = store
        self._bus = bus
        self._world = world
        self.rotation_totals = RotationTotals()
        """As of the last `count`, for the metrics."""

    async def count(self) -> None:
        """Add up the rotations of all vaults."""
        now = self._world.now()
        self.rotation_totals = await self._store.read(partial(_add_up_rotations, now=now))

    async def update(self) -> None:
        """Fire alerts of what became late, and end those that are over."""
        for kind in KINDS:
            await self._update(kind)

    async def _update(self, kind: ReportKind[Any]) -> None:
        now = self._world.now()
        changes = await self._store.read(partial(_find_changes, kind=kind, now=now))
        for start in range(0, len(changes), VAULTS_PER_TRANSACTION):
            some = changes[start : start + VAULTS_PER_TRANSACTION]
            ids = [self._world.new_id() for change in some for _ in change.fire]
            orgs = sorted({change.org for change in some})
            again = partial(_judge_again, kind=kind, orgs=orgs, ids=ids, now=now)
            self._bus.publish(*map(alert_event, await self._store.write(again)))


def _add_up_rotations(tx: Tx, now: int) -> RotationTotals:
    judged = [judge_rotations(each.rows, now) for each in rotations.list_vault_reports(tx)]
    found = [each for each in judged if each is not None]
    return RotationTotals(
        overdue=sum(each.overdue for each in found),
        stuck=sum(each.counts.stuck for each in found),
        irrevocable=sum(each.counts.irrevocable for each in found),
    )


def _find_changes(tx: Tx, kind: ReportKind[R], now: int) -> list[AlertChange]:
    table = kind.table
    return plan_changes(kind, table.list_vault_reports(tx), table.firing_codes(tx), now)


def _judge_again(
    tx: Tx, kind: ReportKind[R], orgs: Sequence[str], ids: Sequence[str], now: int
) -> list[Alert]:
    """As they are by now: a report may have come meanwhile."""
    changes = [
        change
        for org in orgs
        for change in plan_changes(
            kind,
            [
                VaultReports(org, key, rows)
                for key, rows in kind.table.list_organization_reports(tx, org).items()
            ],
            kind.table.firing_codes(tx, org),
            now,
        )
    ]
    return _apply_changes(tx, changes, ids, now)


def _backup_conditions(rows: Sequence[BackupRecord], now: int) -> frozenset[str]:
    judged = judge_backups(rows, now)
    return frozenset() if judged is None else judged.conditions


def _rotation_conditions(rows: Sequence[RotationRecord], now: int) -> frozenset[str]:
    judged = judge_rotations(rows, now)
    return frozenset() if judged is None else judged.conditions


def _follow_rotations(before: RotationRecord | None, row: RotationRecord) -> RotationRecord:
    """The row to store: what was received before is as old as it was then."""
    return row if before is None or replace(row, at=before.at) != before else before


BACKUPS: Final = ReportKind(
    table=backups,
    topic=Topic.BACKUP,
    follow=follow_report,
    conditions=_backup_conditions,
    state=lambda row: row.state,
    notice_ids=lambda _: (),
    is_idle=lambda row: row.state == BackupState.OFF,
)
ROTATIONS: Final = ReportKind(
    table=rotations,
    topic=Topic.ROTATION,
    follow=_follow_rotations,
    conditions=_rotation_conditions,
    state=lambda _: "",
    notice_ids=lambda row: row.notices,
    is_idle=lambda _: False,
)
KINDS: Final[tuple[ReportKind[Any], ...]] = (BACKUPS, ROTATIONS)
