"""Topic `alerts`: the newest of an organization, and all that are not resolved."""

from typing import ClassVar, Final

from control.live.projection import Columns, Projection, seconds
from control.model.records import Alert
from control.services.events import Event, Topic
from control.store import alerts
from control.store.alerts import Narrow
from control.store.rows import Tx

NEWEST: Final = 200
MOST_OPEN: Final = 2_000
_OPEN: Final = Narrow(state="open")


class Alerts(Projection):
    """Those that fire or are over come over the bus, acknowledged ones over the trail, too."""

    TOPICS: ClassVar = frozenset({Topic.ALERT, Topic.LIFE})

    async def load(self) -> None:
        """See `Projection`."""
        rows = await self.around.store.read(self._rows)
        self.collection.replace({row.id: alert_row(row) for row in rows})

    def _rows(self, tx: Tx) -> list[Alert]:
        newest = alerts.page(tx, self.org, limit=NEWEST)
        return [*newest, *alerts.page(tx, self.org, limit=MOST_OPEN, narrow=_OPEN)]

    def note(self, event: Event) -> bool:
        """See `Projection`."""
        if event.topic is Topic.TRAIL:
            return str(event.subject).startswith("alerts.")
        return super().note(event)


def alert_row(alert: Alert) -> Columns:
    """An alert."""
    return {
        "vault": alert.vault,
        "code": alert.code,
        "severity": str(alert.severity),
        "state": str(alert.state),
        "message": alert.message,
        "at": seconds(alert.at),
        "ended_at": seconds(alert.ended_at),
        "last_at": seconds(alert.last_at),
        "count": alert.count,
        "acknowledged_by": alert.acknowledged_by,
        "acknowledged_at": seconds(alert.acknowledged_at),
        "note": alert.note,
    }
