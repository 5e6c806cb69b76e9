"""Schedules: reports that are asked for again and again, at their time, by the one that leads."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import replace

from actors import World
from control.compliance import due
from control.compliance.frameworks import known
from control.compliance.reports import asked, enter
from control.errors import ConflictError, NotFoundError
from control.model.compliance import Schedule
from control.model.records import Alert, Severity
from control.services.alerts import Alerts
from control.services.authority import review
from control.store import compliance
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import SECOND

MOST: Final = 20  # of an organization
TURN: Final = 50
DAY: Final = 86_400 * SECOND


class Schedules:
    """Made, changed, removed by people; `tick` does what is due."""

    def __init__(self, store: Store, alerts: Alerts, world: World) -> None:
        self._store = store
        self._alerts = alerts
        self._world = world

    async def every(self, org: str) -> list[Schedule]:
        """The oldest first."""
        return await self._store.read(lambda tx: compliance.schedules_of(tx, org))

    async def get(self, org: str, schedule_id: str) -> Schedule:
        """Raises `NotFoundError`."""
        return await self._store.read(lambda tx: _require(tx, org, schedule_id))

    async def add(
        self,
        org: str,
        title: str,
        wanted: Sequence[str],
        *,
        when: tuple[str, str],
        days: int,
        by: str,
    ) -> Schedule:
        """`when`: cron expression and time zone. Raises `ValidationError`, `ConflictError`."""
        now, (cron, zone) = self._world.now(), when
        made = Schedule(
            org=org,
            id=self._world.new_id(),
            title=title,
            frameworks=known(wanted),
            cron=cron,
            zone=zone,
            days=days,
            enabled=True,
            created_by=by,
            created_at=now,
            next_at=due.checked(cron, zone, now),
            last_at=0,
            owner=by,
        )

        def change(tx: Tx) -> Schedule:
            if len(compliance.schedules_of(tx, org)) >= MOST:
                raise ConflictError(
                    "schedules_full", f"there are {MOST} schedules already: remove one first"
                )
            compliance.put_schedule(tx, made)
            return made

        return await self._store.write(change)

    async def change(self, org: str, schedule_id: str, fields: dict[str, Any]) -> Schedule:
        """Replace these fields. Raises `NotFoundError`, `ValidationError`."""
        now = self._world.now()
        if "frameworks" in fields:
            fields = {**fields, "frameworks": known(fields["frameworks"])}

        def change(tx: Tx) -> Schedule:
            changed = replace(_require(tx, org, schedule_id), **fields)
            changed = replace(changed, next_at=due.checked(changed.cron, changed.zone, now))
            compliance.put_schedule(tx, changed)
            return changed

        return await self._store.write(change)

    async def remove(self, org: str, schedule_id: str) -> None:
        """Raises `NotFoundError`. Its reports stay."""

        def change(tx: Tx) -> list[Alert]:
            row = _require(tx, org, schedule_id)
            compliance.drop_schedule(tx, org, schedule_id)
            return review(tx, org, row.owner, self._alerts.make, self._world.now())

        self._alerts.tell(*await self._store.write(change))

    async def adopt(self, org: str, schedule_id: str, by: str) -> Schedule:
        """Take it over: `by`, an account, is its owner, and it is not suspended any more.

        What was due meanwhile is asked for once. Raises `NotFoundError`.
        """

        def change(tx: Tx) -> tuple[Schedule, list[Alert]]:
            row = _require(tx, org, schedule_id)
            made = replace(row, owner=by, suspended="")
            compliance.put_schedule(tx, made)
            return made, review(tx, org, row.owner, self._alerts.make, self._world.now())

        made, told = await self._store.write(change)
        self._alerts.tell(*told)
        return made

    async def tick(self) -> None:
        """Ask for what is due: once, however often it was missed."""
        now = self._world.now()
        for row in await self._store.read(lambda tx: compliance.due(tx, now, TURN)):
            await self._ask(row, now)

    async def _ask(self, row: Schedule, now: int) -> None:
        until = row.next_at
        report = asked(
            row.org,
            self._world.new_id(),
            row.title,
            row.frameworks,
            period=(until - row.days * DAY, until),
            by=f"schedule {row.id}",
            now=now,
        )
        following = due.after(row.cron, row.zone, now)

        def change(tx: Tx) -> bool:
            current = compliance.schedule(tx, row.org, row.id)
            stopped = current is None or not current.enabled or current.suspended
            if current is None or stopped or current.next_at != row.next_at:
                return True  # somebody else was here
            compliance.put_schedule(tx, replace(current, next_at=following, last_at=now))
            try:
                enter(tx, report)
            except ConflictError:
                return False
            return True

        if not await self._store.write(change):
            told = f"the scheduled report {row.title!r} was left out: too many wait or are held"
            alert = self._alerts.make(row.org, "", "report_left_out", Severity.WARNING, told)
            await self._alerts.fire(alert)


def _require(tx: Tx, org: str, schedule_id: str) -> Schedule:
    found = compliance.schedule(tx, org, schedule_id)
    if found is None:
        raise NotFoundError("not_found", "there is no such schedule")
    return found
