"""Compliance: frameworks, reports with their proofs, schedules, and what people add by hand."""

from functools import partial
from typing import Annotated, Literal

from msgspec import Meta, Struct

from control.api import compliance_views as views
from control.api.endpoint import (
    CREATED,
    NO_CONTENT,
    REPORT_RESPONSE_BYTES,
    EndpointCall,
    EndpointGroup,
    FileResponse,
)
from control.api.services import ComplianceServices
from control.compliance import report_file, report_rendering
from control.compliance.frameworks import load_frameworks as every_framework
from control.model.compliance import MAX_ATTACHMENT, MAX_FRAMEWORKS, PeriodDays
from control.model.names import LINE, Limit, Slug
from control.model.people import Role
from protocols.instant import SECOND

Call = EndpointCall[ComplianceServices]

frameworks = EndpointGroup[ComplianceServices](
    "frameworks", "The standards that reports can be made for."
)
reports = EndpointGroup[ComplianceServices](
    "reports", "What the system can show for a standard, signed."
)
schedules = EndpointGroup[ComplianceServices](
    "report-schedules", "Reports that are made again and again."
)
notes = EndpointGroup[ComplianceServices]("control-notes", "What people add to a control by hand.")

_ORG = "organizations/{org}"
_REPORT = _ORG + "/reports/{report}"
_SCHEDULES = _ORG + "/report-schedules"
_NOTES = _ORG + "/control-notes"
HTML, CSV = "text/html; charset=utf-8", "text/csv; charset=utf-8"

Title = Annotated[str, Meta(min_length=1, max_length=128, pattern=LINE)]
Some = Annotated[tuple[Slug, ...], Meta(min_length=1, max_length=MAX_FRAMEWORKS)]
Seconds = Annotated[int, Meta(ge=0, le=2**33)]
Cron = Annotated[str, Meta(min_length=9, max_length=128, pattern="^[0-9A-Za-z*,/#? -]+$")]
Zone = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[A-Za-z0-9_+/-]+$")]
Content = Annotated[bytes, Meta(max_length=MAX_ATTACHMENT)]
FileName = Annotated[str, Meta(max_length=100, pattern="^([A-Za-z0-9][A-Za-z0-9._-]*)?$")]


class Wanted(Struct, frozen=True, forbid_unknown_fields=True):
    """A page of reports, the newest first; `before`: Unix seconds, 0 for the newest."""

    before: Seconds = 0
    limit: Limit = 100


class NewReport(Struct, frozen=True, forbid_unknown_fields=True):
    """What to make: the period in Unix seconds, `until` excluded and not in the future."""

    title: Title
    frameworks: Some
    since: Seconds
    until: Seconds


class Form(Struct, frozen=True, forbid_unknown_fields=True):
    """`json` is the form that is signed."""

    format: Literal["json", "html", "csv"] = "json"


class NewSchedule(Struct, frozen=True, forbid_unknown_fields=True):
    """At `cron` (minute hour day month weekday) in `zone`, over the `days` before."""

    title: Title
    frameworks: Some
    cron: Cron
    zone: Zone = "UTC"
    days: PeriodDays = 30


class ChangedSchedule(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to be otherwise."""

    title: Title | None = None
    frameworks: Some | None = None
    cron: Cron | None = None
    zone: Zone | None = None
    days: PeriodDays | None = None
    enabled: bool | None = None


class NewNote(Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence for a control, perhaps with a document (base64) of this name."""

    framework: Slug
    control: Annotated[str, Meta(min_length=1, max_length=64)]
    text: Annotated[str, Meta(min_length=1, max_length=4096)]
    name: FileName = ""
    content: Content = b""


class Checked(Struct, frozen=True):
    """`faults`: where the report is not as it was signed; none for one that is whole."""

    digest: str
    whole: bool
    faults: tuple[str, ...]
    key: str


@frameworks.route("GET", _ORG + "/frameworks", "All of them")
async def list_(call: Call, org: str) -> list[views.FrameworkView]:  # noqa: ARG001
    return [views.framework_view(row) for row in every_framework().values()]


@reports.route("GET", _ORG + "/reports", "The newest first", role=Role.ADMIN)
async def find(call: Call, org: str, *, query: Wanted) -> list[views.ReportView]:
    found = await call.services.reports.list_reports(org, query.before * SECOND, query.limit)
    return [views.report_view(row) for row in found]


@reports.route(
    "POST",
    _ORG + "/reports",
    "Have one made; it waits until it is its turn",
    role=Role.ADMIN,
    requires_recent_auth=False,
    status=CREATED,
    errors=(409,),
)
async def ask(call: Call, org: str, *, body: NewReport) -> views.ReportView:
    made = await call.services.reports.request_report(
        org,
        body.title,
        body.frameworks,
        period=(body.since * SECOND, body.until * SECOND),
        by=call.caller.actor,
    )
    return views.report_view(made)


@reports.route("GET", _REPORT, "How far it is", role=Role.ADMIN)
async def get(call: Call, org: str, report: str) -> views.ReportView:
    return views.report_view(await call.services.reports.get_report(org, report))


@reports.route(
    "GET",
    _REPORT + "/content",
    "What it says; times in Unix nanoseconds",
    role=Role.ADMIN,
    errors=(409,),
    memory=REPORT_RESPONSE_BYTES,
)
async def content(call: Call, org: str, report: str) -> report_file.Report:
    data = await call.services.reports.read_report(org, report)
    return await call.world.run_sync(partial(report_file.parse_report_file, data))


@reports.route(
    "GET",
    _REPORT + "/file",
    "The file: JSON as it is signed, HTML to print, CSV",
    role=Role.ADMIN,
    documents=(HTML, CSV),
    returns=report_file.File,
    errors=(409,),
    memory=REPORT_RESPONSE_BYTES,
)
async def file(call: Call, org: str, report: str, *, query: Form) -> FileResponse:
    row = await call.services.reports.get_report(org, report)
    data = await call.services.reports.read_report(org, report)
    name = f"report-{org}-{report}.{query.format}"
    match query.format:
        case "json":
            return FileResponse(data, "application/json", name)
        case "html":
            read = partial(_html, data, row.digest)
            return FileResponse(await call.world.run_sync(read), HTML, name)
        case "csv":
            return FileResponse(await call.world.run_sync(partial(_csv, data)), CSV, name)


@reports.route(
    "GET",
    _REPORT + "/verify",
    "Hold it against its signature and the trail",
    role=Role.ADMIN,
    errors=(409,),
    memory=REPORT_RESPONSE_BYTES,
)
async def verify(call: Call, org: str, report: str) -> Checked:
    verdict = await call.services.reports.verify_report(org, report)
    key = call.services.reports.public_key.hex()
    return Checked(verdict.digest, not verdict.faults, verdict.faults, key)


@schedules.route("GET", _SCHEDULES, "The oldest first", role=Role.ADMIN)
async def all_(call: Call, org: str) -> list[views.ScheduleView]:
    return [views.schedule_view(row) for row in await call.services.schedules.list_schedules(org)]


@schedules.route(
    "POST",
    _SCHEDULES,
    "Have reports made by a clock",
    role=Role.ADMIN,
    requires_recent_auth=False,
    status=CREATED,
    errors=(409,),
)
async def add(call: Call, org: str, *, body: NewSchedule) -> views.ScheduleView:
    made = await call.services.schedules.create_schedule(
        org,
        body.title,
        body.frameworks,
        when=(body.cron, body.zone),
        days=body.days,
        by=call.caller.actor,
    )
    return views.schedule_view(made)


@schedules.route(
    "PATCH", _SCHEDULES + "/{schedule}", "Change it", role=Role.ADMIN, requires_recent_auth=False
)
async def change(
    call: Call, org: str, schedule: str, *, body: ChangedSchedule
) -> views.ScheduleView:
    fields = {k: v for k in body.__struct_fields__ if (v := getattr(body, k)) is not None}
    return views.schedule_view(await call.services.schedules.change_schedule(org, schedule, fields))


@schedules.route(
    "POST",
    _SCHEDULES + "/{schedule}/adopt",
    "Take it over: a suspended one goes on",
    role=Role.ADMIN,
    requires_recent_auth=False,
)
async def adopt(call: Call, org: str, schedule: str) -> views.ScheduleView:
    return views.schedule_view(
        await call.services.schedules.adopt(org, schedule, call.caller.actor)
    )


@schedules.route(
    "DELETE",
    _SCHEDULES + "/{schedule}",
    "End it; its reports stay",
    role=Role.ADMIN,
    requires_recent_auth=False,
    status=NO_CONTENT,
)
async def remove(call: Call, org: str, schedule: str) -> None:
    await call.services.schedules.remove_schedule(org, schedule)


@notes.route("GET", _NOTES, "All, by control, the oldest first", role=Role.ADMIN)
async def noted(call: Call, org: str) -> list[views.NoteSummary]:
    found = await call.services.notes.list_notes(org)
    return [
        views.control_note_view(control, row) for control, rows in found.items() for row in rows
    ]


@notes.route(
    "POST",
    _NOTES,
    "Add one; it is never changed",
    role=Role.ADMIN,
    requires_recent_auth=False,
    unrecorded=("content",),
    status=CREATED,
    errors=(409,),
)
async def note(call: Call, org: str, *, body: NewNote) -> views.NoteSummary:
    control, document = (body.framework, body.control), (body.name, body.content)
    made = await call.services.notes.add_note(
        org, control, body.text, document, caller=call.caller, request_id=call.request_id
    )
    return views.note_view(made)


@notes.route(
    "GET",
    _NOTES + "/{note}/document",
    "Its document, as it was given",
    role=Role.ADMIN,
    documents=("application/octet-stream",),
    returns=views.NoDocument,
)
async def document(call: Call, org: str, note: str) -> FileResponse:
    found = await call.services.notes.get_note(org, note)
    return FileResponse(found.content, "application/octet-stream", found.name or "empty")


def _html(data: bytes, digest: str) -> bytes:
    return report_rendering.render_html(report_file.parse_report_file(data), digest)


def _csv(data: bytes) -> bytes:
    return report_rendering.render_csv(report_file.parse_report_file(data))
