"""Alerts: raised once, told by channels, seen and acknowledged by people."""

from msgspec.structs import replace

from actors import World
from control.errors import NotFoundError
from control.model.notices import Kind, notice_of
from control.model.records import Alert, Severity
from control.services.events import Bus, Event, Topic
from control.store import notices, records
from control.store.records import ANY, Narrow
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import SECOND


class Alerts:
    """Raise, list, acknowledge."""

    def __init__(self, store: Store, bus: Bus, world: World) -> None:
        self._store = store
        self._bus = bus
        self._world = world

    def make(self, org: str, vault: str, code: str, severity: Severity, message: str) -> Alert:
        """An alert of now, not yet stored."""
        return Alert(
            id=self._world.new_id(),
            org=org,
            vault=vault,
            code=code,
            severity=severity,
            message=message,
            at=self._world.now(),
            acknowledged_by="",
            acknowledged_at=0,
        )

    async def raise_(self, *alerts: Alert) -> None:
        """Store them, then tell."""
        await self._store.write(lambda tx: records.add_alerts(tx, *alerts))
        self.tell(*alerts)

    def tell(self, *alerts: Alert) -> None:
        """Publish alerts that are stored."""
        self._bus.publish(*(Event(Topic.ALERT, a.org, a.vault, a.id) for a in alerts))

    async def page(
        self,
        org: str,
        *,
        vault: str,
        unacknowledged: bool,
        before: int,
        limit: int,
        narrow: Narrow = ANY,
        after: str = "",
    ) -> list[Alert]:
        """The newest first; `after`: behind the one of this id. Raises `NotFoundError` for none."""

        def read(tx: Tx) -> list[Alert]:
            behind = _known(tx, org, after) if after else None
            return records.alerts_of(
                tx,
                org,
                vault=vault,
                unacknowledged=unacknowledged,
                before=before,
                limit=limit,
                narrow=replace(narrow, behind=behind),
            )

        return await self._store.read(read)

    async def acknowledge(self, org: str, alert_id: str, by: str, note: str = "") -> Alert:
        """Somebody has seen it; the first to do so stays on record. Raises `NotFoundError`."""
        now = self._world.now()

        def change(tx: Tx) -> Alert:
            alert = _known(tx, org, alert_id)
            if alert.acknowledged_at:
                return alert
            seen = replace(alert, acknowledged_by=by, acknowledged_at=now, note=note)
            records.put_alert(tx, seen)
            notices.post(
                tx, notice_of(seen, Kind.ACKNOWLEDGED, f"{seen.message} (seen by {by})", now)
            )
            return seen

        return await self._store.write(change)

    async def sweep(self, days: int) -> None:
        """Remove acknowledged alerts after so many days."""
        before = self._world.now() - days * 86_400 * SECOND
        await self._store.write(lambda tx: records.sweep_alerts(tx, before))


def _known(tx: Tx, org: str, alert_id: str) -> Alert:
    found = records.alert(tx, org, alert_id)
    if found is None:
        raise NotFoundError("not_found", "there is no such alert")
    return found
