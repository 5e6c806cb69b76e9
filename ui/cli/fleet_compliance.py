"""`freehold fleet report …` and `freehold fleet hold …`: evidence, and what must not be deleted."""

from typing import Annotated, Any, Final

import typer

from ui.cli.plane import fleet
from ui.cli.session import shown

reports = typer.Typer(help="Compliance reports.", no_args_is_help=True)
holds = typer.Typer(help="Legal holds: what they cover is not deleted.", no_args_is_help=True)

REPORTS: Final = ("created_at", "title", "frameworks", "state", "digest", "id")
SCHEDULES: Final = ("title", "cron", "zone", "enabled", "next_at", "owner", "suspended", "id")
HOLDS: Final = ("created_at", "vault", "since", "until", "reason", "created_by", "lifted_at", "id")
Id = Annotated[str, typer.Argument(help="Its id.")]


@reports.command("list")
@shown
def list_(context: typer.Context) -> None:
    """List reports, the newest first."""
    current = fleet(context)
    current.show(current.call("GET", "reports"), REPORTS)


@reports.command()
@shown
def make(
    context: typer.Context,
    since: Annotated[int, typer.Option(help="Beginning of its period, Unix seconds.")],
    until: Annotated[int, typer.Option(help="End of its period, Unix seconds.")],
    framework: Annotated[
        list[str], typer.Option(help="soc2, iso27001, pci-dss, hipaa; repeat it.")
    ],
    title: Annotated[str, typer.Option(help="What it is called.")] = "Evidence",
) -> None:
    """Have one made; `list` shows when it is ready."""
    current = fleet(context)
    body: dict[str, Any] = {
        "title": title, "frameworks": framework, "since": since, "until": until,
    }  # fmt: skip
    current.show(current.call("POST", "reports", body=body), REPORTS)


@reports.command()
@shown
def verify(context: typer.Context, report: Id) -> None:
    """Have the control plane hold it against its signature and the trail."""
    current = fleet(context)
    current.show(current.call("GET", "reports", report, "verify"))


@reports.command()
@shown
def schedules(context: typer.Context) -> None:
    """List the reports that are made by a clock."""
    current = fleet(context)
    current.show(current.call("GET", "report-schedules"), SCHEDULES)


@reports.command()
@shown
def adopt(
    context: typer.Context, schedule: Annotated[str, typer.Argument(help="Id of the schedule.")]
) -> None:
    """Take a schedule over: you own it, and a suspended one makes reports again."""
    current = fleet(context)
    current.show(current.call("POST", "report-schedules", schedule, "adopt"), SCHEDULES)


@holds.command("list")
@shown
def list_holds(context: typer.Context) -> None:
    """List legal holds, the newest first."""
    current = fleet(context)
    current.show(current.call("GET", "holds"), HOLDS)


@holds.command()
@shown
def place(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why; it is on the trail.")],
    vault: Annotated[str, typer.Option(help="Of one agent alone.")] = "",
    since: Annotated[int, typer.Option(min=0, help="Unix seconds; 0: from the beginning.")] = 0,
    until: Annotated[int, typer.Option(min=0, help="Unix seconds; 0: without an end.")] = 0,
) -> None:
    """Stay every deletion of what it covers."""
    current = fleet(context)
    body = {"reason": reason, "vault": vault, "since": since, "until": until}
    current.show(current.call("POST", "holds", body=body), HOLDS)
