"""Counts rotations and secrets that should be rotated, for the control plane and the metrics.

The first pass is over the rotations that are kept, the second over the secrets, page by page. A
look is followed by 99 times its own length without one, so that a vault with a million secrets
spends one percent of a reader on it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final, Protocol

import msgspec
from msgspec.structs import replace

from actors import World
from protocols.instant import DAY, HOUR
from protocols.link.limits import MAX_ROTATION_NOTICES
from protocols.link.vocabulary import RotationEvent
from vault.model.records import FolderPolicyRow, RecordStatus, RotationRow, SecretRow
from vault.model.rotation import (
    ABANDONED,
    ADOPTION_INCOMPLETE,
    ENDED,
    AdoptionStatus,
    Notify,
    RotationPolicy,
    RotationState,
)
from vault.model.rotation_report import LeaseStates, RotationNotice, RotationReport

REPORT_INTERVAL: Final = 60.0
"""Seconds between two looks; one comes at once when a rotation ends, waits or is stuck."""
REST_FACTOR: Final = 99
OVERDUE_AFTER: Final = HOUR
"""Behind the time that a rotation was due: what is overdue at a start is spread over an hour."""
MONTH: Final = 30 * DAY
PAGE: Final = 1_000
MAX_LAGGING: Final = 1_000
"""Rotations of one look whose applications are looked at for their count."""
_NOT_FAILED: Final = frozenset({"cancelled", ABANDONED, "secret_changed", "secret_gone"})
"""Why a rotation is undone that nobody needs to make up for."""
_URGENCY: Final = {
    event: rank
    for rank, event in enumerate(
        (RotationEvent.STUCK, RotationEvent.FAILED, RotationEvent.LAGGING, RotationEvent.ROTATED)
    )
}


class RotationSource(Protocol):
    """Documented at `vault.handlers.stores.RotationStore`."""

    def list_page(
        self, state: str, after: tuple[str, int] | None, limit: int
    ) -> Awaitable[list[RotationRow]]:
        """Rotations beyond this id and number; without a state all."""
        ...

    def list_secrets(self, folder: str, after: str, limit: int) -> Awaitable[list[SecretRow]]:
        """Secrets of a folder whose names come after `after`."""
        ...

    def list_folder_policies(self) -> Awaitable[list[FolderPolicyRow]]:
        """All policies of folders."""
        ...


async def no_leases() -> LeaseStates:
    """The counts of a vault without dynamic credentials."""
    return LeaseStates()


@dataclass(frozen=True)
class RotationReportParts:
    """What the reporter works with. `opaque_id`: of a kind and a random id."""

    source: RotationSource
    adoption: Callable[[RotationRow, int], Awaitable[AdoptionStatus]]
    """As `vault.handlers.adoption.Adoption.status`."""
    opaque_id: Callable[[str, str], bytes]
    is_reporter: Callable[[], bool]
    """Whether this agent reports: one does for all agents of a database."""
    world: World
    count_leases: Callable[[], Awaitable[LeaseStates]] = no_leases


class RotationReporter:
    """Counts now and then; `report` is what was counted last. Belongs to one task."""

    def __init__(self, parts: RotationReportParts) -> None:
        self._parts = parts
        self._rest_until = 0.0
        self.report: RotationReport | None = None
        """None before the first look, and while another agent reports."""

    @property
    def counts(self) -> RotationReport:
        """The report, or one without any."""
        return self.report or RotationReport(at=0)

    async def refresh(self) -> None:
        """Look, unless the last look was too long for another one by now. Raises as the store."""
        world = self._parts.world
        if not self._parts.is_reporter():
            self.report = None
            return
        began = world.monotonic()
        if began < self._rest_until:
            return
        found, before = await self._look(world.now()), self.report
        if before is None or replace(found, at=before.at) != before:
            self.report = found  # else nothing is news, and nobody is told
        self._rest_until = world.monotonic() + REST_FACTOR * (world.monotonic() - began)

    async def _look(self, now: int) -> RotationReport:
        rotations = _RotationCounts()
        async for rows in self._rotations():
            rotations.add(rows, now)
            await self._add_events(rotations, rows, now)
        secrets = _SecretCounts(rotations.failing_since)
        folders = {row.path: row.policy for row in await self._parts.source.list_folder_policies()}
        after = ""
        while page := await self._parts.source.list_secrets("", after, PAGE):
            after = page[-1].name
            for row in page:
                if row.status == RecordStatus.ACTIVE:
                    secrets.add(row, _policy_of(row, folders), now)
        notices = sorted(rotations.notices, key=lambda each: each[0])[:MAX_ROTATION_NOTICES]
        return RotationReport(
            at=now,
            policies=secrets.policies,
            unmanaged=secrets.unmanaged,
            due=secrets.due,
            overdue=secrets.overdue,
            overdue_since=secrets.overdue_since,
            next_due=secrets.next_due,
            running=rotations.running,
            waiting=rotations.waiting,
            failing=secrets.failing,
            stuck=rotations.stuck,
            lagging=rotations.lagging,
            rotated_day=rotations.rotated_day,
            rotated_month=rotations.rotated_month,
            leases=await self._parts.count_leases(),
            notices=tuple(notice for _, notice in notices),
        )

    async def _rotations(self) -> AsyncIterator[list[RotationRow]]:
        """The rotations of each secret that are kept, the oldest first."""
        after: tuple[str, int] | None = None
        held: list[RotationRow] = []
        while page := await self._parts.source.list_page("", after, PAGE):
            after = page[-1].secret_id, page[-1].number
            for _, group in groupby(page, key=lambda row: row.secret_id):
                rows = [*group]
                if held and held[0].secret_id != rows[0].secret_id:
                    yield held
                    held = []
                held += rows
        if held:
            yield held

    async def _add_events(
        self, counts: "_RotationCounts", rows: list[RotationRow], now: int
    ) -> None:
        """Count who lags, and keep what a policy wants told."""
        is_lagging = await self._is_lagging(counts, rows[-1], now)
        counts.lagging += is_lagging
        for row, event in _events(rows, now):
            notify = _notify_of(row)
            if notify is None or event not in notify.events:
                continue
            if event is RotationEvent.LAGGING and not is_lagging:
                continue
            opaque = self._parts.opaque_id
            notice = RotationNotice(
                notice=opaque("rotation", f"{row.secret_id}/{row.number}/{event}"),
                secret=opaque("secret", row.secret_id),
                event=event,
                channels=notify.channels,
            )
            counts.add_notice((_URGENCY[event], -row.began_at, notice.notice), notice)

    async def _is_lagging(self, counts: "_RotationCounts", latest: RotationRow, now: int) -> bool:
        """Whether applications are known that have the old value late, or after its end.

        What policies want told is looked at in any case; of the others as many as are counted.
        """
        if not _may_lag(latest, now):
            return False
        notify = _notify_of(latest)
        if notify is None or RotationEvent.LAGGING not in notify.events:
            if counts.adoption_looks >= MAX_LAGGING:
                return False
            counts.adoption_looks += 1
        window = msgspec.convert(latest.policy, RotationPolicy).adoption_window
        return bool(window and (await self._parts.adoption(latest, window)).laggards)


@dataclass
class _RotationCounts:
    """Counts rotations, secret by secret."""

    adoption_looks: int = 0
    lagging: int = 0

    running: int = 0
    waiting: int = 0
    stuck: int = 0
    rotated_day: int = 0
    rotated_month: int = 0
    failing_since: dict[str, int] = field(default_factory=dict)
    """Secret → when the first rotation began that was undone, 0 if none was due by schedule."""
    notices: list[tuple[tuple[int, int, bytes], RotationNotice]] = field(default_factory=list)

    def add(self, rows: list[RotationRow], now: int) -> None:
        """Those of one secret, the oldest first."""
        latest = rows[-1]
        for row in rows:
            self.rotated_day += _has_rotated(row, now - DAY)
            self.rotated_month += _has_rotated(row, now - MONTH)
        if latest.state == RotationState.STUCK:
            self.stuck += 1
        elif latest.state == RotationState.CURRENT:
            self.waiting += 1
        elif latest.state not in ENDED:
            self.running += 1
        elif _has_failed(latest):
            undone = [*_last_failures(rows)]
            scheduled = [row.began_at for row in undone if row.cause != "request"]
            self.failing_since[latest.secret_id] = min(scheduled, default=0)

    def add_notice(self, rank: tuple[int, int, bytes], notice: RotationNotice) -> None:
        """Keep it; of many the most urgent are left now and then, so that this stays small."""
        self.notices.append((rank, notice))
        if len(self.notices) > PAGE:
            self.notices = sorted(self.notices, key=lambda each: each[0])[:MAX_ROTATION_NOTICES]


@dataclass
class _SecretCounts:
    """Counts secrets by their policy and when they are due."""

    failing_since: Mapping[str, int]
    policies: int = 0
    unmanaged: int = 0
    due: int = 0
    overdue: int = 0
    overdue_since: int = 0
    next_due: int = 0
    failing: int = 0

    def add(self, row: SecretRow, policy: Mapping[str, Any] | None, now: int) -> None:
        """One more, with the policy in force."""
        if policy is None:
            self.unmanaged += 1
            return
        self.policies += 1
        if not policy.get("enabled", True):
            return
        due = row.rotation_due
        since = self.failing_since.get(row.id)
        if since is not None:
            self.failing += 1
        since = since or (due if 0 < due <= now - OVERDUE_AFTER else 0)
        if since:
            self.overdue += 1
            self.overdue_since = min(self.overdue_since or since, since)
        elif due:
            self.due += due <= now + DAY
            self.next_due = min(self.next_due or due, due)


def _events(rows: list[RotationRow], now: int) -> Iterator[tuple[RotationRow, RotationEvent]]:
    """What there may be to tell of the rotations of one secret."""
    for row in rows:
        if _has_rotated(row, now - DAY):
            yield row, RotationEvent.ROTATED
    latest = rows[-1]
    if latest.state == RotationState.STUCK:
        yield latest, RotationEvent.STUCK
    elif latest.state == RotationState.UNDONE and _has_failed(latest):
        yield latest, RotationEvent.FAILED
    elif latest.state == RotationState.CURRENT and _may_lag(latest, now):
        yield latest, RotationEvent.LAGGING


def _may_lag(latest: RotationRow, now: int) -> bool:
    """Whether it is late to have the old value: half of the grace period is over, or all of it.

    A rotation that went on without somebody counts for a day, so that the alert is not over when
    the application fails.
    """
    if latest.error_code == ADOPTION_INCOMPLETE:
        return latest.state != RotationState.RETIRED or now < latest.ended_at + DAY
    grace = latest.policy.get("grace", DAY)
    return latest.state == RotationState.CURRENT and now >= latest.current_at + grace // 2


def _has_rotated(row: RotationRow, since: int) -> bool:
    return row.current_at > max(since, 0)


def _has_failed(row: RotationRow) -> bool:
    return row.state == RotationState.UNDONE and row.error_code not in _NOT_FAILED


def _last_failures(rows: list[RotationRow]) -> Iterator[RotationRow]:
    """Those that have failed since the last one that has not."""
    for row in reversed(rows):
        if not _has_failed(row):
            return
        yield row


def _notify_of(row: RotationRow) -> Notify | None:
    """Who is told by the policy that the rotation began with."""
    document = row.policy.get("notify")
    return None if document is None else msgspec.convert(document, Notify)


def _policy_of(
    row: SecretRow, folders: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The policy in force as it is stored: the secret's own, or that of its innermost folder."""
    if row.rotation_policy is not None or not folders:
        return row.rotation_policy
    end = len(row.name)
    while (end := row.name.rfind("/", 0, end)) >= 0:
        if (found := folders.get(row.name[: end + 1])) is not None:
            return found
    return None
