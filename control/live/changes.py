"""Topic `changes`: the newest of an organization's audit trail of people."""

from typing import ClassVar, Final

from control.live.projection import Columns, Projection, seconds
from control.model.records import AuditEvent
from control.services.events import Topic
from control.store import records

NEWEST: Final = 100


class Changes(Projection):
    """By sequence number. What was asked in detail, and the hashes, are REST's."""

    TOPICS: ClassVar = frozenset({Topic.TRAIL})

    async def load(self) -> None:
        """See `Projection`."""
        org = self.org
        rows = await self.around.store.read(
            lambda tx: records.newest_events(tx, org, before=0, limit=NEWEST)
        )
        self.collection.replace({str(row.seq): change_row(row) for row in rows})


def change_row(event: AuditEvent) -> Columns:
    """A record."""
    return {
        "at": seconds(event.at),
        "actor": event.actor,
        "operation": event.operation,
        "target": event.target,
        "phase": event.phase,
        "result": event.result,
        "code": event.code,
        "ip": event.ip,
    }
