"""Reports: requested, made by the leader, signed, stored, verified.

A request waits in the database until the report is made, so it survives any process. The digest is
recorded in the audit log in the transaction that stores the report.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace

from actors import World
from control.compliance import report_file
from control.compliance.collector import STEP_COUNT, Collector
from control.compliance.evidence.assessment import Period
from control.compliance.frameworks import assess_controls, load_frameworks, validated_ids
from control.compliance.report_file import Report, ReportVerification
from control.errors import ConflictError, ControlError, NotFoundError, ValidationError
from control.model.compliance import (
    MAX_DAYS,
    Evidence,
    Header,
    Judged,
    ReportRow,
    Result,
    ResultCounts,
    State,
    TrailEnd,
)
from control.model.operation import Operation, Origin
from control.services.audit_log import append_event, new_audit_event
from control.services.event_bus import Event, EventBus, Topic
from control.services.signed_heads import SignedHeads
from control.store import audit_records, compliance, retention
from control.store.audit_records import EventFilter
from control.store.rows import Tx
from control.store.store import Store
from protocols.errors import locate
from protocols.instant import DAY, SECOND

MOST: Final = 200  # reports of an organization; the oldest makes room
MAX_WAITING: Final = 5  # of an organization
MAX_PER_TURN: Final = 10  # reports of one turn
MADE_OPERATION: Final = "reports.made"
log: Final = logging.getLogger("freehold.control.reports")


class Reports:
    """Requests, makes, lists, reads and verifies reports."""

    def __init__(
        self,
        store: Store,
        bus: EventBus,
        signed_heads: SignedHeads,
        collector: Collector,
        world: World,
    ) -> None:
        self._store = store
        self._bus = bus
        self._heads = signed_heads
        self._collector = collector
        self._world = world

    @property
    def public_key(self) -> bytes:
        """The public key that reports are signed with."""
        return self._heads.public

    async def request_report(
        self, org: str, title: str, wanted: Sequence[str], *, period: tuple[int, int], by: str
    ) -> ReportRow:
        """Request a report. Raises `ValidationError`, `ConflictError`."""
        now, (since, until) = self._world.now(), period
        if not 0 < until - since <= MAX_DAYS * DAY or until > now + SECOND:
            raise ValidationError(
                "period_invalid",
                f"give a period in the past of at most {MAX_DAYS} days",
                field="until",
            )
        row = new_report(
            org, self._world.new_id(), title, validated_ids(wanted), period=period, by=by, now=now
        )
        return await self._store.write(lambda tx: enqueue_report(tx, row))

    async def list_reports(self, org: str, before: int, limit: int) -> list[ReportRow]:
        """The newest first."""
        return await self._store.read(
            lambda tx: compliance.list_reports(tx, org, before=before, limit=limit)
        )

    async def get_report(self, org: str, report_id: str) -> ReportRow:
        """Raises `NotFoundError`."""
        row = await self._store.read(lambda tx: compliance.get_report(tx, org, report_id))
        if row is None:
            raise NotFoundError("not_found", "there is no such report")
        return row

    async def read_report(self, org: str, report_id: str) -> bytes:
        """The report's file.

        Raises `NotFoundError`, `ConflictError` for one that is not made yet.
        """
        data = await self._store.read(lambda tx: compliance.get_report_body(tx, org, report_id))
        if data is None:
            raise NotFoundError("not_found", "there is no such report")
        if not data:
            raise ConflictError(
                "report_not_ready",
                "this report is not ready: ask again when its state is `ready`",
            )
        return data

    async def verify_report(self, org: str, report_id: str) -> ReportVerification:
        """Verify the stored file against its signature and the audit log."""
        data = await self.read_report(org, report_id)
        verdict = await self._world.run_sync(
            partial(report_file.verify_report_file, data, self.public_key)
        )
        wanted = EventFilter(operation=MADE_OPERATION, target=report_id)
        found = await self._store.read(
            lambda tx: audit_records.list_newest_events(tx, org, before=0, limit=1, filter_=wanted)
        )
        on_trail = found[0].detail.get("digest") if found else None
        if on_trail != verdict.digest:  # not secret: of a public file
            told = "trail: the digest there is another one" if found else "trail: it is not there"
            return replace(verdict, faults=(*verdict.faults, told))
        return verdict

    async def make_waiting(self) -> None:
        """Make the requested reports. Raises `UnavailableError`; the rest is made later."""
        for row in await self._store.read(lambda tx: compliance.waiting_reports(tx, MAX_PER_TURN)):
            await self._make(row)

    async def _make(self, row: ReportRow) -> None:
        try:
            body, made = await self._made(row)
        except ControlError:
            raise
        except Exception as error:  # noqa: BLE001  # one that cannot be made must not stop the others
            log.error("report %s failed with %s", row.id, locate(error))  # noqa: TRY400
            reason = "it could not be made; the control plane's log says why"
            body, made = b"", replace(row, state=State.FAILED, reason=reason)
        event = new_audit_event(
            _operation(made), None, "outcome", "ok" if body else "failed", now=self._world.now()
        )

        def change(tx: Tx) -> bool:
            current = compliance.get_report(tx, row.org, row.id)
            if current is None or current.state is not State.WAITING:
                return False  # another process led for a moment, too
            compliance.put_report(tx, made, body)
            append_event(tx, event)
            return True

        if await self._store.write(change):
            self._bus.publish(Event(Topic.TRAIL, row.org, row.id, MADE_OPERATION))

    async def _made(self, row: ReportRow) -> tuple[bytes, ReportRow]:
        span = Period(row.org, row.since, row.until, self._world.now())
        evidence = await self._collector.collect_evidence(span, self._progress_handler(row))
        notes = await self._store.read(
            lambda tx: compliance.notes_by_control(tx, row.org, row.since)
        )
        controls = [
            item
            for name in row.frameworks
            for item in assess_controls(load_frameworks()[name], evidence, notes)
        ]
        head = await self._heads.sign_head(row.org)
        header = self._header(row, controls, TrailEnd(
            size=head.size, hash=head.hash.hex(), at=head.at, signature=head.signature.hex(),
            key=self.public_key.hex(),
        ))  # fmt: skip
        report = Report(
            header=header, evidence=_evidence_used(evidence, controls), controls=controls
        )
        body, digest = await self._world.run_sync(
            partial(report_file.sign_report, report, self._heads.sign_message, self.public_key)
        )
        if len(body) > report_file.MAX_BYTES:
            raise OverflowError("the report is larger than may be kept")
        made = replace(
            row, state=State.READY, done=STEP_COUNT, made_at=header.made_at, counts=header.counts,
            digest=digest, size=len(body),
        )  # fmt: skip
        return body, made

    def _progress_handler(self, row: ReportRow) -> Callable[[int], Awaitable[None]]:
        async def report_progress(done: int) -> None:
            await self._store.write(lambda tx: _record_progress(tx, row, done))

        return report_progress

    def _header(self, row: ReportRow, controls: Sequence[Judged], trail: TrailEnd) -> Header:
        chosen = {name: load_frameworks()[name] for name in row.frameworks}
        return Header(
            org=row.org,
            id=row.id,
            title=row.title,
            since=row.since,
            until=row.until,
            made_at=self._world.now(),
            made_by=row.created_by,
            frameworks={name: f"{f.title}, {f.edition}" for name, f in chosen.items()},
            counts={name: count_results(controls, name) for name in chosen},
            trail=trail,
        )


def new_report(
    org: str,
    id_: str,
    title: str,
    wanted: Sequence[str],
    *,
    period: tuple[int, int],
    by: str,
    now: int,
) -> ReportRow:
    """A report that waits to be made."""
    since, until = period
    return ReportRow(
        org=org,
        id=id_,
        title=title,
        frameworks=tuple(wanted),
        since=since,
        until=until,
        state=State.WAITING,
        done=0,
        steps=STEP_COUNT,
        created_by=by,
        created_at=now,
    )


def enqueue_report(tx: Tx, row: ReportRow) -> ReportRow:
    """Store the request; of too many reports the oldest goes. Raises `ConflictError`."""
    if compliance.count_reports(tx, row.org, State.WAITING) >= MAX_WAITING:
        raise ConflictError(
            "reports_waiting",
            f"{MAX_WAITING} reports are waiting already: ask again when one is ready",
        )
    over = compliance.count_reports(tx, row.org) + 1 - MOST
    if over > 0 and not retention.delete_oldest_report(tx, row.org):
        raise ConflictError(
            "reports_full",
            f"there are {MOST} reports, and a legal hold keeps them: lift it to make room",
        )
    compliance.add_report(tx, row)
    return row


def count_results(controls: Sequence[Judged], framework: str) -> ResultCounts:
    """The number of its controls for each result."""
    counts = {str(result): 0 for result in Result}
    for control in controls:
        if control.framework == framework:
            counts[control.result] += 1
    return counts


def _evidence_used(
    evidence: dict[str, Evidence], controls: Sequence[Judged]
) -> dict[str, Evidence]:
    wanted = {name for control in controls for name in control.evidence}
    return {name: item for name, item in evidence.items() if name in wanted}


def _record_progress(tx: Tx, row: ReportRow, done: int) -> None:
    current = compliance.get_report(tx, row.org, row.id)
    if current is not None and current.state is State.WAITING:
        compliance.put_report(tx, replace(current, done=done))


def _operation(row: ReportRow) -> Operation:
    return Operation(
        name=MADE_OPERATION,
        request_id=row.id,
        credential=None,
        origin=Origin(),
        org=row.org,
        target=row.id,
        detail={
            "digest": row.digest,
            "frameworks": list(row.frameworks),
            "since": row.since,
            "until": row.until,
            "by": row.created_by,
            "reason": row.reason,
        },
    )
