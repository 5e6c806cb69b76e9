"""Reports: asked for, made by the process that leads, sealed, kept, verified.

A report waits in the database until it is made, so it survives whoever made it. Its digest goes on
the trail in the transaction that stores it.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace

from actors import World
from control.compliance import seal
from control.compliance.collect import STEPS, Collector
from control.compliance.evidence.common import Span
from control.compliance.frameworks import frameworks, judged, known
from control.compliance.seal import Report, Verdict
from control.errors import ConflictError, ControlError, NotFoundError, ValidationError
from control.model.compliance import (
    MAX_DAYS,
    Asked,
    Counts,
    Evidence,
    Header,
    Judged,
    Result,
    State,
    TrailEnd,
)
from control.model.operation import Operation, Origin
from control.services.events import Bus, Event, Topic
from control.services.heads import Heads
from control.services.trail import append, event_of
from control.store import compliance, records, retention
from control.store.records import Wanted
from control.store.rows import Tx
from control.store.store import Store
from protocols.errors import where
from protocols.instant import SECOND

MOST: Final = 200  # reports of an organization; the oldest makes room
MAX_WAITING: Final = 5  # of an organization
TURN: Final = 10  # reports of one turn
MADE: Final = "reports.made"
log: Final = logging.getLogger("freehold.control.reports")


class Reports:
    """Ask, make, list, read, verify."""

    def __init__(
        self, store: Store, bus: Bus, heads: Heads, collector: Collector, world: World
    ) -> None:
        self._store = store
        self._bus = bus
        self._heads = heads
        self._collector = collector
        self._world = world

    @property
    def key(self) -> bytes:
        """The public key that reports are signed with."""
        return self._heads.public

    async def ask(
        self, org: str, title: str, wanted: Sequence[str], *, period: tuple[int, int], by: str
    ) -> Asked:
        """Have one made. Raises `ValidationError`, `ConflictError`."""
        now, (since, until) = self._world.now(), period
        if not 0 < until - since <= MAX_DAYS * 86_400 * SECOND or until > now + SECOND:
            raise ValidationError(
                "period_invalid",
                f"give a period that is over and has at most {MAX_DAYS} days",
                field="until",
            )
        row = asked(org, self._world.new_id(), title, known(wanted), period=period, by=by, now=now)
        return await self._store.write(lambda tx: enter(tx, row))

    async def page(self, org: str, before: int, limit: int) -> list[Asked]:
        """The newest first."""
        return await self._store.read(
            lambda tx: compliance.reports_of(tx, org, before=before, limit=limit)
        )

    async def get(self, org: str, report_id: str) -> Asked:
        """Raises `NotFoundError`."""
        row = await self._store.read(lambda tx: compliance.report(tx, org, report_id))
        if row is None:
            raise NotFoundError("not_found", "there is no such report")
        return row

    async def body(self, org: str, report_id: str) -> bytes:
        """Its file. Raises `NotFoundError`, `ConflictError` for one that is not made yet."""
        data = await self._store.read(lambda tx: compliance.body(tx, org, report_id))
        if data is None:
            raise NotFoundError("not_found", "there is no such report")
        if not data:
            raise ConflictError(
                "report_not_ready",
                "this report is not made yet: ask again when its state is `ready`",
            )
        return data

    async def verify(self, org: str, report_id: str) -> Verdict:
        """Hold the stored file against its signature and against what is on the trail."""
        data = await self.body(org, report_id)
        verdict = await self._world.run_sync(partial(seal.verify, data, self.key))
        wanted = Wanted(operation=MADE, target=report_id)
        found = await self._store.read(
            lambda tx: records.newest_events(tx, org, before=0, limit=1, wanted=wanted)
        )
        on_trail = found[0].detail.get("digest") if found else None
        if on_trail != verdict.digest:  # not secret: of a public file
            told = "trail: the digest there is another one" if found else "trail: it is not there"
            return replace(verdict, faults=(*verdict.faults, told))
        return verdict

    async def tick(self) -> None:
        """Make those that wait. Raises `UnavailableError`; what waits is made later."""
        for row in await self._store.read(lambda tx: compliance.waiting(tx, TURN)):
            await self._make(row)

    async def _make(self, row: Asked) -> None:
        try:
            body, made = await self._made(row)
        except ControlError:
            raise
        except Exception as error:  # noqa: BLE001  # one that cannot be made must not stop the others
            log.error("report %s failed with %s", row.id, where(error))  # noqa: TRY400
            reason = "it could not be made; the control plane's log says why"
            body, made = b"", replace(row, state=State.FAILED, reason=reason)
        event = event_of(
            _operation(made), None, "outcome", "ok" if body else "failed", now=self._world.now()
        )

        def change(tx: Tx) -> bool:
            current = compliance.report(tx, row.org, row.id)
            if current is None or current.state is not State.WAITING:
                return False  # another process led for a moment, too
            compliance.put_report(tx, made, body)
            append(tx, event)
            return True

        if await self._store.write(change):
            self._bus.publish(Event(Topic.TRAIL, row.org, row.id, MADE))

    async def _made(self, row: Asked) -> tuple[bytes, Asked]:
        span = Span(row.org, row.since, row.until, self._world.now())
        evidence = await self._collector.collect(span, self._telling(row))
        notes = await self._store.read(lambda tx: compliance.notes_of(tx, row.org, row.since))
        controls = [
            item for name in row.frameworks for item in judged(frameworks()[name], evidence, notes)
        ]
        head = await self._heads.head(row.org)
        header = self._header(row, controls, TrailEnd(
            size=head.size, hash=head.hash.hex(), at=head.at, signature=head.signature.hex(),
            key=self.key.hex(),
        ))  # fmt: skip
        report = Report(header=header, evidence=_used(evidence, controls), controls=controls)
        body, digest = await self._world.run_sync(
            partial(seal.sealed, report, self._heads.sign, self.key)
        )
        if len(body) > seal.MAX_BYTES:
            raise OverflowError("the report is larger than may be kept")
        made = replace(
            row, state=State.READY, done=STEPS, made_at=header.made_at, counts=header.counts,
            digest=digest, size=len(body),
        )  # fmt: skip
        return body, made

    def _telling(self, row: Asked) -> Callable[[int], Awaitable[None]]:
        async def told(done: int) -> None:
            await self._store.write(lambda tx: _step(tx, row, done))

        return told

    def _header(self, row: Asked, controls: Sequence[Judged], trail: TrailEnd) -> Header:
        chosen = {name: frameworks()[name] for name in row.frameworks}
        return Header(
            org=row.org,
            id=row.id,
            title=row.title,
            since=row.since,
            until=row.until,
            made_at=self._world.now(),
            made_by=row.created_by,
            frameworks={name: f"{f.title}, {f.edition}" for name, f in chosen.items()},
            counts={name: counted(controls, name) for name in chosen},
            trail=trail,
        )


def asked(
    org: str,
    id_: str,
    title: str,
    wanted: Sequence[str],
    *,
    period: tuple[int, int],
    by: str,
    now: int,
) -> Asked:
    """A report that waits to be made."""
    since, until = period
    return Asked(
        org=org,
        id=id_,
        title=title,
        frameworks=tuple(wanted),
        since=since,
        until=until,
        state=State.WAITING,
        done=0,
        steps=STEPS,
        created_by=by,
        created_at=now,
    )


def enter(tx: Tx, row: Asked) -> Asked:
    """Let it wait; of too many the oldest goes. Raises `ConflictError`."""
    if compliance.count_reports(tx, row.org, State.WAITING) >= MAX_WAITING:
        raise ConflictError(
            "reports_waiting",
            f"{MAX_WAITING} reports wait to be made already: ask again when one is made",
        )
    over = compliance.count_reports(tx, row.org) + 1 - MOST
    if over > 0 and not retention.drop_oldest_report(tx, row.org):
        raise ConflictError(
            "reports_full",
            f"there are {MOST} reports, and a legal hold keeps them: lift it to make room",
        )
    compliance.add_report(tx, row)
    return row


def counted(controls: Sequence[Judged], framework: str) -> Counts:
    """How many of its controls came to what."""
    counts = {str(result): 0 for result in Result}
    for control in controls:
        if control.framework == framework:
            counts[control.result] += 1
    return counts


def _used(evidence: dict[str, Evidence], controls: Sequence[Judged]) -> dict[str, Evidence]:
    wanted = {name for control in controls for name in control.evidence}
    return {name: item for name, item in evidence.items() if name in wanted}


def _step(tx: Tx, row: Asked, done: int) -> None:
    current = compliance.report(tx, row.org, row.id)
    if current is not None and current.state is State.WAITING:
        compliance.put_report(tx, replace(current, done=done))


def _operation(row: Asked) -> Operation:
    return Operation(
        name=MADE,
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
