"""How reports, schedules, rules and holds look to a caller: times as RFC 3339."""

from msgspec import Struct

from control.model.compliance import (
    ControlNote,
    Framework,
    NoteView,
    ReportRow,
    ReportSchedule,
    ResultCounts,
    State,
)
from control.model.retention import Kind, LegalHold, PurgeCount, RetentionRule
from protocols.instant import rfc3339, rfc3339_or_none


class FrameworkView(Struct, frozen=True):
    """A framework that reports can be made for."""

    id: str
    title: str
    edition: str
    about: str
    controls: int


class ReportView(Struct, frozen=True, kw_only=True):
    """A report. `done` of `steps` subjects are collected; `counts`: of controls."""

    id: str
    title: str
    frameworks: tuple[str, ...]
    since: str
    until: str
    state: State
    done: int
    steps: int
    created_by: str
    created_at: str
    made_at: str | None
    counts: dict[str, ResultCounts]
    digest: str
    size: int
    reason: str


class ScheduleView(Struct, frozen=True, kw_only=True):
    """A report that is made again and again, at `cron` in `zone`.

    `owner`: whose it is, an account; `suspended`: why it makes none, until somebody adopts it.
    """

    id: str
    title: str
    frameworks: tuple[str, ...]
    cron: str
    zone: str
    days: int
    enabled: bool
    created_by: str
    created_at: str
    next_at: str
    last_at: str | None
    owner: str
    suspended: str


class NoteSummary(Struct, frozen=True, kw_only=True):
    """What a person added to a control; `digest` is the document's SHA-256, empty without one."""

    id: str
    framework: str
    control: str
    text: str
    name: str
    digest: str
    created_by: str
    created_at: str


class NoDocument(Struct, frozen=True):
    """Never the answer: a document is bytes."""


class RuleView(Struct, frozen=True, kw_only=True):
    """How long a kind is kept: `days`, 0 for ever. A rule (`set`) may say `least` to `most`."""

    kind: Kind
    days: int
    least: int
    most: int
    default: int
    set: bool


class PurgedView(Struct, frozen=True, kw_only=True):
    """What would be deleted now; `held` of what is old enough stays for a legal hold."""

    kind: Kind
    days: int
    before: str | None
    rows: int
    held: int


class HoldView(Struct, frozen=True, kw_only=True):
    """A legal hold; `lifted_at` once it is over. Without `since` or `until`: without that bound."""

    id: str
    vault: str
    since: str | None
    until: str | None
    reason: str
    created_by: str
    created_at: str
    lifted_by: str
    lifted_at: str | None
    lifted_why: str


def framework_view(row: Framework) -> FrameworkView:
    """As a caller sees it."""
    return FrameworkView(row.id, row.title, row.edition, row.about, len(row.controls))


def report_view(row: ReportRow) -> ReportView:
    """As a caller sees it."""
    return ReportView(
        id=row.id,
        title=row.title,
        frameworks=row.frameworks,
        since=rfc3339(row.since),
        until=rfc3339(row.until),
        state=row.state,
        done=row.done,
        steps=row.steps,
        created_by=row.created_by,
        created_at=rfc3339(row.created_at),
        made_at=rfc3339_or_none(row.made_at),
        counts=row.counts,
        digest=row.digest,
        size=row.size,
        reason=row.reason,
    )


def schedule_view(row: ReportSchedule) -> ScheduleView:
    """As a caller sees it."""
    return ScheduleView(
        id=row.id,
        title=row.title,
        frameworks=row.frameworks,
        cron=row.cron,
        zone=row.zone,
        days=row.days,
        enabled=row.enabled,
        created_by=row.created_by,
        created_at=rfc3339(row.created_at),
        next_at=rfc3339(row.next_at),
        last_at=rfc3339_or_none(row.last_at),
        owner=row.owner,
        suspended=row.suspended,
    )


def note_view(row: ControlNote) -> NoteSummary:
    """As a caller sees it, without the document."""
    shown = NoteView(
        id=row.id, by=row.created_by, at=row.created_at, text=row.text, name=row.name,
        digest=row.digest,
    )  # fmt: skip
    return control_note_view((row.framework, row.control), shown)


def control_note_view(control: tuple[str, str], row: NoteView) -> NoteSummary:
    """As a caller sees it."""
    return NoteSummary(
        id=row.id,
        framework=control[0],
        control=control[1],
        text=row.text,
        name=row.name,
        digest=row.digest,
        created_by=row.by,
        created_at=rfc3339(row.at),
    )


def rule_view(kind: Kind, row: RetentionRule) -> RuleView:
    """As a caller sees it."""
    return RuleView(
        kind=kind,
        days=row.days,
        least=row.least,
        most=row.most,
        default=row.default,
        set=row.set,
    )


def purged_view(row: PurgeCount) -> PurgedView:
    """As a caller sees it."""
    before = rfc3339_or_none(row.before)
    return PurgedView(kind=row.kind, days=row.days, before=before, rows=row.rows, held=row.held)


def hold_view(row: LegalHold) -> HoldView:
    """As a caller sees it."""
    return HoldView(
        id=row.id,
        vault=row.vault,
        since=rfc3339_or_none(row.since),
        until=rfc3339_or_none(row.until),
        reason=row.reason,
        created_by=row.created_by,
        created_at=rfc3339(row.created_at),
        lifted_by=row.lifted_by,
        lifted_at=rfc3339_or_none(row.lifted_at),
        lifted_why=row.lifted_why,
    )
