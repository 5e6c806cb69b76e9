"""`freehold fleet report …` and `freehold fleet hold …`: evidence, and what must not be deleted."""

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ui.cli.context import with_output_option
from ui.cli.errors import CliError
from ui.cli.fleet_context import fleet
from ui.cli.output import print_note
from ui.cli.times import seconds_of

reports = typer.Typer(help="Compliance reports.", no_args_is_help=True)
holds = typer.Typer(help="Legal holds: what they cover is not deleted.", no_args_is_help=True)

SHAPES: Final = "2026-11-01T00:00:00Z, 2026-11-01 (UTC), or so long ago: 30d."
REPORTS: Final = ("created_at", "title", "frameworks", "state", "digest", "id")
SCHEDULES: Final = ("title", "cron", "zone", "enabled", "next_at", "owner", "suspended", "id")
HOLDS: Final = ("created_at", "vault", "since", "until", "reason", "created_by", "lifted_at", "id")
Id = Annotated[str, typer.Argument(help="Its id.")]


@reports.command("list")
@with_output_option
def list_(context: typer.Context) -> None:
    """List reports, the newest first."""
    current = fleet(context)
    current.print_result(current.call("GET", "reports"), REPORTS)


@reports.command()
@with_output_option
def make(
    context: typer.Context,
    since: Annotated[str, typer.Option(help=f"Beginning of its period: {SHAPES}")],
    framework: Annotated[
        list[str], typer.Option(help="soc2, iso27001, pci-dss, hipaa; repeat it.")
    ],
    until: Annotated[str, typer.Option(help="End of its period, in the same way.")] = "0s",
    title: Annotated[str, typer.Option(help="What it is called.")] = "Evidence",
) -> None:
    """Have one made; `list` shows when it is ready."""
    current = fleet(context)
    body: dict[str, Any] = {
        "title": title, "frameworks": framework,
        "since": seconds_of(since, "--since"), "until": seconds_of(until, "--until"),
    }  # fmt: skip
    current.print_result(current.call("POST", "reports", body=body), REPORTS)


@reports.command()
def download(
    context: typer.Context,
    report: Id,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Where to; else stdout.", dir_okay=False)
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="json, as it is signed; html to print; csv.")
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


@reports.command()
@with_output_option
def verify(context: typer.Context, report: Id) -> None:
    """Have the control plane hold it against its signature and the trail."""
    current = fleet(context)
    current.print_result(current.call("GET", "reports", report, "verify"))


@reports.command()
@with_output_option
def schedules(context: typer.Context) -> None:
    """List the reports that are made by a clock."""
    current = fleet(context)
    current.print_result(current.call("GET", "report-schedules"), SCHEDULES)


@reports.command()
@with_output_option
def adopt(
    context: typer.Context, schedule: Annotated[str, typer.Argument(help="Id of the schedule.")]
) -> None:
    """Take a schedule over: you own it, and a suspended one makes reports again."""
    current = fleet(context)
    current.print_result(current.call("POST", "report-schedules", schedule, "adopt"), SCHEDULES)


@holds.command("list")
@with_output_option
def list_holds(context: typer.Context) -> None:
    """List legal holds, the newest first."""
    current = fleet(context)
    current.print_result(current.call("GET", "holds"), HOLDS)


@holds.command()
@with_output_option
def place(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why; it is on the trail.")],
    vault: Annotated[str, typer.Option(help="Of one agent alone.")] = "",
    since: Annotated[str, typer.Option(help=f"{SHAPES} Without it: from the beginning.")] = "",
    until: Annotated[str, typer.Option(help="In the same way. Without it: no end.")] = "",
) -> None:
    """Stay every deletion of what it covers."""
    current = fleet(context)
    span = {"since": seconds_of(since, "--since"), "until": seconds_of(until, "--until")}
    body = {"reason": reason, "vault": vault, **span}
    current.print_result(current.call("POST", "holds", body=body), HOLDS)
