"""The topics of live feeds: who may follow each, and its projection."""

from typing import ClassVar, Final, NamedTuple

from control.live.agent import AgentProjection
from control.live.fleet import FleetProjection
from control.live.projection import (
    RELOAD_INTERVAL,
    Columns,
    Projection,
    ProjectionFactory,
    to_seconds,
)
from control.model.people import Role
from control.model.policies import Rollout, RolloutState
from control.model.records import Alert, AuditEvent
from control.services.event_bus import Event, Topic
from control.services.rollout_steps import Progress, step_count
from control.services.rollouts import OPEN_STATES, rollout_progress
from control.store import alerts, audit_records, live_queries
from control.store.alerts import AlertFilter
from control.store.rows import Tx

MAX_FINISHED_ROLLOUTS: Final = 20
PROGRESS_COLUMNS: Final = ("total", "reached", "wanted", "away", "applied", "failed", "through")
RUNNING_RELOAD_INTERVAL: Final = 1.0
"""Seconds between reloads while one runs: no event says that it was advanced."""
MAX_NEWEST_CHANGES: Final = 100
MAX_NEWEST_ALERTS: Final = 200
MAX_OPEN_ALERTS: Final = 2_000
_OPEN: Final = AlertFilter(state="open")


class AlertsProjection(Projection):
    """The newest alerts of an organization, and all that are open.

    Alerts that fire or end are events of the bus; acknowledgements come from the audit log.
    """

    TOPICS: ClassVar = frozenset({Topic.ALERT, Topic.LIFE})

    async def load(self) -> None:
        """See `Projection`."""
        rows = await self.context.store.read(self._rows)
        self.collection.replace_rows({row.id: alert_columns(row) for row in rows})

    def _rows(self, tx: Tx) -> list[Alert]:
        newest = alerts.list_alerts(tx, self.org, limit=MAX_NEWEST_ALERTS)
        return [*newest, *alerts.list_alerts(tx, self.org, limit=MAX_OPEN_ALERTS, narrow=_OPEN)]

    def on_event(self, event: Event) -> bool:
        """See `Projection`."""
        if event.topic is Topic.TRAIL:
            return str(event.subject).startswith("alerts.")
        return super().on_event(event)


def alert_columns(alert: Alert) -> Columns:
    """An alert."""
    return {
        "vault": alert.vault,
        "code": alert.code,
        "severity": str(alert.severity),
        "state": str(alert.state),
        "message": alert.message,
        "at": to_seconds(alert.at),
        "ended_at": to_seconds(alert.ended_at),
        "last_at": to_seconds(alert.last_at),
        "count": alert.count,
        "acknowledged_by": alert.acknowledged_by,
        "acknowledged_at": to_seconds(alert.acknowledged_at),
        "note": alert.note,
    }


class CurvesProjection(Projection):
    """How busy an organization is: the points that the hub keeps, by their second."""

    async def load(self) -> None:
        """See `Projection`."""
        points = self.context.live.curve_points(self.org)
        self.collection.replace_rows({str(at): columns for at, columns in points})

    def on_point(self) -> bool:
        """See `Projection`."""
        return True


class ChangesProjection(Projection):
    """The newest audit events of an organization, by sequence number, without detail and hashes."""

    TOPICS: ClassVar = frozenset({Topic.TRAIL})

    async def load(self) -> None:
        """See `Projection`."""
        org = self.org
        rows = await self.context.store.read(
            lambda tx: audit_records.list_newest_events(tx, org, before=0, limit=MAX_NEWEST_CHANGES)
        )
        self.collection.replace_rows({str(row.seq): change_columns(row) for row in rows})


def change_columns(event: AuditEvent) -> Columns:
    """A record."""
    return {
        "at": to_seconds(event.at),
        "actor": event.actor,
        "operation": event.operation,
        "target": event.target,
        "phase": event.phase,
        "result": event.result,
        "code": event.code,
        "ip": event.ip,
    }


class RolloutsProjection(Projection):
    """Roll-outs that are open, and the newest finished ones.

    Steps by people come from the audit log, answers of agents as events of their policies.
    """

    TOPICS: ClassVar = frozenset({Topic.POLICY})

    async def load(self) -> None:
        """See `Projection`."""
        org = self.org
        rows = await self.context.store.read(lambda tx: _read_rollouts(tx, org))
        self.collection.replace_rows({row.id: rollout_columns(row, fares) for row, fares in rows})

    def on_event(self, event: Event) -> bool:
        """See `Projection`."""
        if event.topic is Topic.TRAIL:
            return str(event.subject).startswith(("rollouts.", "policies."))
        return super().on_event(event)

    @property
    def reload_interval(self) -> float:
        """See `Projection`."""
        states = [(self.collection.get(key) or {}).get("state") for key in self.collection.keys()]  # noqa: SIM118
        return RUNNING_RELOAD_INTERVAL if str(RolloutState.RUNNING) in states else RELOAD_INTERVAL


def rollout_columns(rollout: Rollout, fares: Progress | None) -> Columns:
    """A roll-out; its progress is counted while it is open."""
    counts: Columns = dict.fromkeys(PROGRESS_COLUMNS)
    if fares is not None:
        counts = {
            "total": fares.total,
            "reached": fares.wanted + fares.applied + fares.failed,
            "wanted": fares.wanted,
            "away": fares.away,
            "applied": fares.applied,
            "failed": fares.failed,
            "through": fares.is_complete,
        }
    return {
        "policy": rollout.policy,
        "version": rollout.version,
        "previous": rollout.previous,
        "step": rollout.step,
        "steps": step_count(rollout.plan),
        "automatic": rollout.plan.automatic,
        "state": str(rollout.state),
        "reason": rollout.reason,
        "created_by": rollout.created_by,
        "created": to_seconds(rollout.created_at),
        "changed": to_seconds(rollout.changed_at),
        **counts,
    }


def _read_rollouts(tx: Tx, org: str) -> list[tuple[Rollout, Progress | None]]:
    return [
        (row, rollout_progress(tx, row) if row.state in OPEN_STATES else None)
        for row in live_queries.newest_rollouts(tx, org, MAX_FINISHED_ROLLOUTS)
    ]


class TopicDefinition(NamedTuple):
    """`of`: whether it is about one agent. `role`: the least that takes, as in the REST API."""

    make: ProjectionFactory
    role: Role = Role.VIEWER
    of: bool = False


TOPICS: Final = {
    "fleet": TopicDefinition(FleetProjection),
    "curves": TopicDefinition(CurvesProjection),
    "agent": TopicDefinition(AgentProjection, of=True),
    "alerts": TopicDefinition(AlertsProjection),
    "rollouts": TopicDefinition(RolloutsProjection),
    "changes": TopicDefinition(ChangesProjection, role=Role.ADMIN),
}
