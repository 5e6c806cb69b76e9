"""Report schedules: cron expressions in a time zone, run by the leader."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice, pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec.structs import replace

from actors import World
from control.compliance.frameworks import validated_ids
from control.compliance.reports import enqueue_report, new_report
from control.errors import ConflictError, NotFoundError, ValidationError
from control.model.compliance import ReportSchedule
from control.model.records import Alert, Severity
from control.services.alerts import Alerts
from control.services.delegated_authority import review_suspensions
from control.store import compliance
from control.store.rows import Tx
from control.store.store import Store
from protocols import cron as cron_times
from protocols.instant import DAY, HOUR

MOST: Final = 20  # of an organization
MAX_PER_TURN: Final = 50
MIN_INTERVAL: Final = HOUR  # the shortest time between two reports of a schedule
CHECKED_RUNS: Final = 50  # times of a schedule that are looked at for that


def validated_next_run(cron: str, zone: str, now: int) -> int:
    """The next time.

    Raises `ValidationError` for an invalid expression, or one that is too frequent.
    """
    times = list(islice(_run_times(cron, zone, now), CHECKED_RUNS))
    if not times:
        raise ValidationError(
            "cron_invalid", "this time never comes: give a day that exists", field="cron"
        )
    if any(later - sooner < MIN_INTERVAL for sooner, later in pairwise(times)):
        raise ValidationError("cron_often", "at most once an hour", field="cron")
    return times[0]


def next_run(cron: str, zone: str, now: int) -> int:
    """The first time behind `now`; both in Unix nanoseconds. Raises `ValidationError`."""
    return next(iter(_run_times(cron, zone, now)))


def _run_times(cron: str, zone: str, now: int) -> Iterator[int]:
    try:
        return cron_times.times(cron, now, _load_zone(zone))
    except ValueError as error:
        raise ValidationError("cron_invalid", f"cron {error}", field="cron") from None


@cache
def _load_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValidationError(
            "zone_unknown",
            "there is no such time zone: give one as Europe/Berlin, or UTC",
            field="zone",
        ) from None


class ReportSchedules:
    """Makes, changes and removes schedules; `request_due` requests their reports."""

    def __init__(self, store: Store, alerts: Alerts, world: World) -> None:
        self._store = store
        self._alerts = alerts
        self._world = world

    async def list_schedules(self, org: str) -> list[ReportSchedule]:
        """The oldest first."""
        return await self._store.read(lambda tx: compliance.list_schedules(tx, org))

    async def get_schedule(self, org: str, schedule_id: str) -> ReportSchedule:
        """Raises `NotFoundError`."""
        return await self._store.read(lambda tx: _require_schedule(tx, org, schedule_id))

    async def create_schedule(
        self,
        org: str,
        title: str,
        wanted: Sequence[str],
        *,
        when: tuple[str, str],
        days: int,
        by: str,
    ) -> ReportSchedule:
        """`when`: cron expression and time zone. Raises `ValidationError`, `ConflictError`."""
        now, (cron, zone) = self._world.now(), when
        made = ReportSchedule(
            org=org,
            id=self._world.new_id(),
            title=title,
            frameworks=validated_ids(wanted),
            cron=cron,
            zone=zone,
            days=days,
            enabled=True,
            created_by=by,
            created_at=now,
            next_at=validated_next_run(cron, zone, now),
            last_at=0,
            owner=by,
        )

        def change(tx: Tx) -> ReportSchedule:
            if len(compliance.list_schedules(tx, org)) >= MOST:
                raise ConflictError(
                    "schedules_full", f"there are {MOST} schedules already: remove one first"
                )
            compliance.put_schedule(tx, made)
            return made

        return await self._store.write(change)

    async def change_schedule(
        self, org: str, schedule_id: str, fields: dict[str, Any]
    ) -> ReportSchedule:
        """Replace these fields. Raises `NotFoundError`, `ValidationError`."""
        now = self._world.now()
        if "frameworks" in fields:
            fields = {**fields, "frameworks": validated_ids(fields["frameworks"])}

        def change(tx: Tx) -> ReportSchedule:
            changed = replace(_require_schedule(tx, org, schedule_id), **fields)
            changed = replace(changed, next_at=validated_next_run(changed.cron, changed.zone, now))
            compliance.put_schedule(tx, changed)
            return changed

        return await self._store.write(change)

    async def remove_schedule(self, org: str, schedule_id: str) -> None:
        """Raises `NotFoundError`. Its reports stay."""

        def change(tx: Tx) -> list[Alert]:
            row = _require_schedule(tx, org, schedule_id)
            compliance.delete_schedule(tx, org, schedule_id)
            return review_suspensions(tx, org, row.owner, self._alerts.new_alert, self._world.now())

        self._alerts.publish_alerts(*await self._store.write(change))

    async def adopt(self, org: str, schedule_id: str, by: str) -> ReportSchedule:
        """Make `by`, an account, the owner of the schedule, and end its suspension.

        A report that was due meanwhile is requested once. Raises `NotFoundError`.
        """

        def change(tx: Tx) -> tuple[ReportSchedule, list[Alert]]:
            row = _require_schedule(tx, org, schedule_id)
            made = replace(row, owner=by, suspended="")
            compliance.put_schedule(tx, made)
            return made, review_suspensions(
                tx, org, row.owner, self._alerts.new_alert, self._world.now()
            )

        made, told = await self._store.write(change)
        self._alerts.publish_alerts(*told)
        return made

    async def request_due(self) -> None:
        """Request the reports that are due: once, however often a time was missed."""
        now = self._world.now()
        for row in await self._store.read(
            lambda tx: compliance.due_schedules(tx, now, MAX_PER_TURN)
        ):
            await self._request_report(row, now)

    async def _request_report(self, row: ReportSchedule, now: int) -> None:
        until = row.next_at
        report = new_report(
            row.org,
            self._world.new_id(),
            row.title,
            row.frameworks,
            period=(until - row.days * DAY, until),
            by=f"schedule {row.id}",
            now=now,
        )
        following = next_run(row.cron, row.zone, now)

        def change(tx: Tx) -> bool:
            current = compliance.get_schedule(tx, row.org, row.id)
            stopped = current is None or not current.enabled or current.suspended
            if current is None or stopped or current.next_at != row.next_at:
                return True  # somebody else was here
            compliance.put_schedule(tx, replace(current, next_at=following, last_at=now))
            try:
                enqueue_report(tx, report)
            except ConflictError:
                return False
            return True

        if not await self._store.write(change):
            told = f"the scheduled report {row.title!r} was left out: too many wait or are held"
            alert = self._alerts.new_alert(row.org, "", "report_left_out", Severity.WARNING, told)
            await self._alerts.fire_alerts(alert)


def _require_schedule(tx: Tx, org: str, schedule_id: str) -> ReportSchedule:
    found = compliance.get_schedule(tx, org, schedule_id)
    if found is None:
        raise NotFoundError("not_found", "there is no such schedule")
    return found
