"""`freehold fleet report|report-schedule|hold …`: evidence, and what must not be deleted."""

import sys
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from ui.cli import completion
from ui.cli.command_group import CommandGroup
from ui.cli.context import Yes, confirm
from ui.cli.errors import CliError
from ui.cli.fleet_context import fleet
from ui.cli.output import print_note
from ui.cli.times import PAST, duration, past_seconds

reports = CommandGroup("Compliance reports.")
schedules = CommandGroup("Compliance reports that are made regularly.")
holds = CommandGroup("Legal holds: what they cover is not deleted.")

REPORTS: Final = ("created_at", "title", "frameworks", "state", "digest", "id")
SCHEDULES: Final = ("title", "cron", "zone", "enabled", "next_at", "owner", "suspended", "id")
HOLDS: Final = ("created_at", "vault", "since", "until", "reason", "created_by", "lifted_at", "id")
DAY: Final = 86_400  # seconds
_ID: Final = "0192f1c4-5d0e-7c3a-9b7e-3f2a1c5d8e90"
ReportId = Annotated[str, typer.Argument(help="Id of the report.")]
ScheduleId = Annotated[str, typer.Argument(help="Id of the schedule.")]
Frameworks = Annotated[
    list[str], typer.Option(help="soc2, iso27001, pci-dss or hipaa; may be repeated.")
]


@reports.command("freehold fleet report list", name="list")
def list_(context: typer.Context) -> None:
    """List the reports, newest first."""
    current = fleet(context)
    current.print_result(current.call("GET", "reports"), REPORTS)


@reports.command(f"freehold fleet report get {_ID}")
def get(context: typer.Context, report: ReportId) -> None:
    """Show a report and whether it is ready."""
    current = fleet(context)
    current.print_result(current.call("GET", "reports", report))


@reports.command(
    "freehold fleet report create --since 30d --framework soc2",
    "freehold fleet report create --since 2026-01-01 --until 2026-04-01 --framework hipaa",
)
def create(
    context: typer.Context,
    since: Annotated[str, typer.Option(help=f"Beginning of its period: {PAST}.")],
    framework: Frameworks,
    until: Annotated[str, typer.Option(help="End of its period, in the same forms.")] = "0s",
    title: Annotated[str, typer.Option(help="Its title.")] = "Evidence",
) -> None:
    """Request a report; `list` shows when it is ready."""
    body: dict[str, Any] = {
        "title": title, "frameworks": framework,
        "since": past_seconds(since, "--since"), "until": past_seconds(until, "--until"),
    }  # fmt: skip
    current = fleet(context)
    current.print_result(current.call("POST", "reports", body=body), REPORTS)


@reports.command(f"freehold fleet report download {_ID} --file report.json")
def download(
    context: typer.Context,
    report: ReportId,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A new file; else stdout.", dir_okay=False)
    ] = None,
    form: Annotated[
        Literal["json", "html", "csv"],
        typer.Option("--format", help="json, as it is signed; html, to print; csv."),
    ] = "json",
) -> None:
    """Download a report that is ready. `control report verify FILE` checks its JSON."""
    data = fleet(context).download("reports", report, "file", query={"format": form})
    if file is None:
        sys.stdout.buffer.write(data)
        return
    try:
        with file.open("xb") as made:
            made.write(data)
    except OSError as error:
        raise CliError(f"cannot write {file}: {error.strerror}") from None
    print_note(f"{len(data)} bytes in {file}")


@reports.command(f"freehold fleet report verify {_ID}")
def verify(context: typer.Context, report: ReportId) -> None:
    """Check a report against its signature and the audit log, at the control plane."""
    current = fleet(context)
    current.print_result(current.call("GET", "reports", report, "verify"))


@schedules.command("freehold fleet report-schedule list", name="list")
def list_schedules(context: typer.Context) -> None:
    """List the schedules."""
    current = fleet(context)
    current.print_result(current.call("GET", "report-schedules"), SCHEDULES)


@schedules.command(
    'freehold fleet report-schedule create "0 6 1 * *" --framework soc2 --period 31d',
    name="create",
)
def create_schedule(
    context: typer.Context,
    cron: Annotated[str, typer.Argument(help="Minute, hour, day, month and weekday.")],
    framework: Frameworks,
    zone: Annotated[str, typer.Option(help="Time zone of the schedule.")] = "UTC",
    period: Annotated[str, typer.Option(help="Period of each report: the last 30d.")] = "30d",
    title: Annotated[str, typer.Option(help="Title of the reports.")] = "Evidence",
) -> None:
    """Have reports made regularly."""
    body: dict[str, Any] = {
        "title": title, "frameworks": framework, "cron": cron, "zone": zone,
        "days": days_of(period, "--period"),
    }  # fmt: skip
    current = fleet(context)
    current.print_result(current.call("POST", "report-schedules", body=body), SCHEDULES)


@schedules.command(f"freehold fleet report-schedule adopt {_ID}")
def adopt(context: typer.Context, schedule: ScheduleId) -> None:
    """Become the owner of a schedule. A suspended one makes reports again."""
    current = fleet(context)
    current.print_result(current.call("POST", "report-schedules", schedule, "adopt"), SCHEDULES)


@schedules.command(f"freehold fleet report-schedule delete {_ID}", name="delete")
def delete_schedule(context: typer.Context, schedule: ScheduleId, yes: Yes = False) -> None:
    """Delete a schedule. Its reports stay."""
    confirm(f"Delete the report schedule {schedule}?", yes=yes)
    fleet(context).call("DELETE", "report-schedules", schedule)
    print_note(f"report schedule {schedule} is deleted")


@holds.command("freehold fleet hold list", name="list")
def list_holds(context: typer.Context) -> None:
    """List the legal holds, newest first, lifted ones too."""
    current = fleet(context)
    current.print_result(current.call("GET", "holds"), HOLDS)


@holds.command('freehold fleet hold create --reason "case 42" --since 2026-01-01', name="create")
def create_hold(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why; recorded in the audit log.")],
    vault: Annotated[
        str, typer.Option(help="Only of this agent.", autocompletion=completion.vault_names)
    ] = "",
    since: Annotated[
        str, typer.Option(help=f"{PAST[:1].upper()}{PAST[1:]}. Without it: from the beginning.")
    ] = "",
    until: Annotated[str, typer.Option(help="In the same forms. Without it: no end.")] = "",
) -> None:
    """Prevent every deletion of what the hold covers."""
    span = {"since": past_seconds(since, "--since"), "until": past_seconds(until, "--until")}
    body = {"reason": reason, "vault": vault, **span}
    current = fleet(context)
    current.print_result(current.call("POST", "holds", body=body), HOLDS)


@holds.command(f'freehold fleet hold lift {_ID} --reason "case 42 is closed"')
def lift(
    context: typer.Context,
    hold: Annotated[str, typer.Argument(help="Id of the hold.")],
    reason: Annotated[str, typer.Option(help="Why; recorded in the audit log.")],
    yes: Yes = False,
) -> None:
    """End a legal hold: what it covered may be deleted again. The hold itself stays on record."""
    confirm(f"Lift the legal hold {hold}?", yes=yes)
    current = fleet(context)
    body = {"reason": reason}
    current.print_result(current.call("POST", "holds", hold, "lift", body=body), HOLDS)


def days_of(text: str, option: str) -> int:
    """A duration in whole days, rounded up. Raises `CliError`."""
    return -(-duration(text, option) // DAY)
