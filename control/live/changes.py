"""Topic `changes`: the newest of an organization's audit trail of people."""

from typing import ClassVar, Final

from control.live.projection import Columns, Projection, to_seconds
from control.model.records import AuditEvent
from control.services.event_bus import Topic
from control.store import audit_records

MAX_NEWEST: Final = 100


class ChangesProjection(Projection):
    """By sequence number. What was asked in detail, and the hashes, are REST's."""

    TOPICS: ClassVar = frozenset({Topic.TRAIL})

    async def load(self) -> None:
        """See `Projection`."""
        org = self.org
        rows = await self.context.store.read(
            lambda tx: audit_records.list_newest_events(tx, org, before=0, limit=MAX_NEWEST)
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
