"""Alerts: fired by a condition or an event, resolved at its end, acknowledged by people."""

from collections.abc import Collection

from msgspec.structs import replace

from actors import World
from control.errors import NotFoundError
from control.model.conditions import CONTRADICTED, ends_by_itself
from control.model.notices import Kind, alert_notice
from control.model.records import Alert, Severity
from control.services.event_bus import Event, EventBus, Topic
from control.services.witness import accept_new_log, is_disputed
from control.store import agents, alerts, audit_records, notices
from control.store.alerts import ANY_ALERT, AlertFilter
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import DAY


class Alerts:
    """Fire, resolve, list, acknowledge."""

    def __init__(self, store: Store, bus: EventBus, world: World) -> None:
        self._store = store
        self._bus = bus
        self._world = world

    def new_alert(
        self,
        org: str,
        vault: str,
        code: str,
        severity: Severity,
        message: str,
        *,
        subject: str = "",
    ) -> Alert:
        """An alert of now, not yet stored."""
        now = self._world.now()
        return Alert(
            id=self._world.new_id(),
            org=org,
            vault=vault,
            code=code,
            severity=severity,
            message=message,
            at=now,
            acknowledged_by="",
            acknowledged_at=0,
            subject=subject,
            last_at=now,
        )

    async def fire_alerts(self, *rows: Alert, repeat: bool = True) -> None:
        """Store alerts, then publish them. `repeat`: as `store.alerts.fire_alerts`."""
        self.publish_alerts(
            *await self._store.write(lambda tx: alerts.fire_alerts(tx, *rows, repeat=repeat))
        )

    async def resolve_alerts(
        self, org: str, codes: Collection[str], vault: str = "", *, subject: str | None = None
    ) -> None:
        """Resolve firing alerts of these codes, then publish."""
        now = self._world.now()
        self.publish_alerts(
            *await self._store.write(
                lambda tx: alerts.resolve_alerts(tx, org, codes, [vault], now=now, subject=subject)
            )
        )

    def publish_alerts(self, *rows: Alert) -> None:
        """Publish alerts that are stored."""
        self._bus.publish(*map(alert_event, rows))

    async def list_alerts(
        self,
        org: str,
        *,
        vault: str,
        before: int,
        limit: int,
        narrow: AlertFilter = ANY_ALERT,
        after: str = "",
    ) -> list[Alert]:
        """The newest first; `after`: behind the one of this id. Raises `NotFoundError` for none."""

        def read(tx: Tx) -> list[Alert]:
            behind = _require_alert(tx, org, after) if after else None
            narrowed = replace(narrow, behind=behind)
            return alerts.list_alerts(
                tx, org, vault=vault, before=before, limit=limit, narrow=narrowed
            )

        return await self._store.read(read)

    async def acknowledge_alert(self, org: str, alert_id: str, by: str, note: str = "") -> Alert:
        """Acknowledge an alert; the first acknowledgement counts. Raises `NotFoundError`.

        An alert that does not end by itself is resolved by it.
        """
        now = self._world.now()

        def change(tx: Tx) -> Alert:
            alert = _require_alert(tx, org, alert_id)
            if alert.acknowledged_at:
                return alert
            seen = replace(alert, acknowledged_by=by, acknowledged_at=now, note=note)
            alerts.put_alert(tx, seen)
            notices.enqueue_notices(
                tx, alert_notice(seen, Kind.ACKNOWLEDGED, f"{seen.message} (seen by {by})", now)
            )
            if seen.ended_at or ends_by_itself(seen.code):
                return seen
            return alerts.end_alert(tx, seen, now)

        seen = await self._store.write(change)
        self.publish_alerts(seen)
        return seen

    async def accept_log(self, org: str, vault: str) -> None:
        """Witness an agent's log anew; resolve alerts about logs that have no fault now.

        These can be alerts of other agents, too: one decision is enough for a log that several have
        shown. A repetition changes nothing. Raises `NotFoundError` for an unknown agent.
        """
        now = self._world.now()

        def change(tx: Tx) -> list[Alert]:
            if (
                agents.get_agent(tx, org, vault) is None
                and audit_records.get_checkpoint(tx, org, vault) is None
            ):
                raise NotFoundError("not_found", "there is no such agent")
            accept_new_log(tx, org, vault)
            about = {
                agent for code in CONTRADICTED for agent in alerts.firing_agents(tx, org, code)
            }
            settled = [agent for agent in sorted(about) if _is_settled(tx, org, agent)]
            return alerts.resolve_alerts(tx, org, CONTRADICTED, settled, now=now)

        self.publish_alerts(*await self._store.write(change))

    async def notify_settled(self) -> None:
        """Send notifications of conditions that ended, once the end has held for a while."""
        now = self._world.now()
        if await self._store.read(lambda tx: alerts.has_settled(tx, now)):
            await self._store.write(lambda tx: alerts.notify_settled(tx, now))

    async def delete_older(self, days: int) -> None:
        """Delete alerts that were resolved so many days ago."""
        before = self._world.now() - days * DAY
        await self._store.write(lambda tx: alerts.delete_older_alerts(tx, before))


def alert_event(alert: Alert) -> Event:
    """The event of an alert that fires or was resolved."""
    return Event(Topic.ALERT, alert.org, alert.vault, alert.id)


def _is_settled(tx: Tx, org: str, vault: str) -> bool:
    last = audit_records.get_checkpoint(tx, org, vault)
    return last is None or not (last.fault or is_disputed(tx, last))


def _require_alert(tx: Tx, org: str, alert_id: str) -> Alert:
    found = alerts.get_alert(tx, org, alert_id)
    if found is None:
        raise NotFoundError("not_found", "there is no such alert")
    return found
