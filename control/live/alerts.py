"""Topic `alerts`: the newest of an organization, and all that are not resolved."""

from typing import ClassVar, Final

from control.live.projection import Columns, Projection, to_seconds
from control.model.records import Alert
from control.services.event_bus import Event, Topic
from control.store import alerts
from control.store.alerts import AlertFilter
from control.store.rows import Tx

MAX_NEWEST: Final = 200
MAX_OPEN: Final = 2_000
_OPEN: Final = AlertFilter(state="open")


class AlertsProjection(Projection):
    """Those that fire or are over come over the bus, acknowledged ones over the trail, too."""

    TOPICS: ClassVar = frozenset({Topic.ALERT, Topic.LIFE})

    async def load(self) -> None:
        """See `Projection`."""
        rows = await self.context.store.read(self._rows)
        self.collection.replace_rows({row.id: alert_columns(row) for row in rows})

    def _rows(self, tx: Tx) -> list[Alert]:
        newest = alerts.list_alerts(tx, self.org, limit=MAX_NEWEST)
        return [*newest, *alerts.list_alerts(tx, self.org, limit=MAX_OPEN, narrow=_OPEN)]

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
