"""Topic `alerts`: the newest of an organization."""

from typing import ClassVar, Final

from control.live.projection import Columns, Projection, seconds
from control.model.records import Alert
from control.services.events import Event, Topic
from control.store import records

NEWEST: Final = 200


class Alerts(Projection):
    """Raised ones come over the bus, acknowledged ones over the trail."""

    TOPICS: ClassVar = frozenset({Topic.ALERT})

    async def load(self) -> None:
        """See `Projection`."""
        org = self.org
        rows = await self.around.store.read(
            lambda tx: records.alerts_of(
                tx, org, vault="", unacknowledged=False, before=0, limit=NEWEST
            )
        )
        self.collection.replace({row.id: alert_row(row) for row in rows})

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
        "message": alert.message,
        "at": seconds(alert.at),
        "acknowledged_by": alert.acknowledged_by,
        "acknowledged_at": seconds(alert.acknowledged_at),
        "note": alert.note,
    }
