"""The commands of `freehold backup` that ask a running agent."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer

from ui.cli.command_group import CommandGroup
from ui.cli.context import CliContext, Yes, api_path, cli_context, confirm
from ui.cli.errors import CliError, Exit
from ui.cli.output import OutputFormat, print_note
from ui.cli.progress import progress

COLUMNS: Final = (
    "id", "destination", "created_at", "kind", "base", "rows", "bytes", "verified"
)  # fmt: skip
RUN_COLUMNS: Final = ("id", "kind", "outcome", "requested_by", "started_at", "ended_at", "error")
PLACE_COLUMNS: Final = ("name", "count", "newest_at", "next_at", "failures", "error", "location")
SECRET_COLUMNS: Final = (
    "name", "action", "backup_version", "current_version", "written_version", "note"
)  # fmt: skip
LATEST: Final = "latest"
RESULT_COLUMNS: Final = ("destination", "backup", "kind", "rows", "bytes", "removed", "error")
POLL_SECONDS: Final = 0.5

Detach = Annotated[
    bool, typer.Option("--detach", help="Return at once; `backup status` shows how far it is.")
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]


def create(current: CliContext, destinations: list[str], *, full: bool, detach: bool) -> None:
    """Have the agent make a backup, and wait for it."""
    body = {"destinations": destinations, "full": full}
    _follow(current, current.client.call("POST", api_path("backups"), body), detach=detach)


def list_all(current: CliContext, destination: str) -> None:
    """Print the backups of the agent's destinations, the newest first."""
    client, faults = current.client, list[dict[str, str]]()

    def call(method: str, path: str, *, query: dict[str, Any]) -> Any:
        page = client.call(method, path, query=query)
        faults[:] = page["faults"]
        return page

    found = list(_pages(call, {"destination": destination}))
    current.print_result(found, COLUMNS)
    for each in found:
        if each["fault"]:
            print_note(f"Warning: {each['id']}: {each['fault']}")
    for fault in faults:
        print_note(f"Warning: {fault['destination']}: {fault['message']}")


def show(current: CliContext, backup: str, destination: str) -> None:
    """Print what the manifest of a backup says."""
    query = {"destination": destination}
    current.print_result(current.client.call("GET", api_path("backups", backup), query=query))


def validate(current: CliContext, backup: str, destination: str, *, detach: bool) -> None:
    """Have the agent read a backup and all that it builds on, and wait for it."""
    path = f"{api_path('backups', backup)}/validate"
    run = current.client.call("POST", path, query={"destination": destination})
    ended = _follow(current, run, detach=detach)
    if ended is not None and not ended["results"][0]["rows_verified"]:
        print_note(
            "Warning: the backup is for recipients, so its rows are not verified: that takes "
            "`freehold backup validate FOLDER ID --identity`"
        )


def recover(
    current: CliContext,
    backup: str,
    names: list[str],
    destination: str,
    *,
    overwrite: bool,
    dry_run: bool,
) -> None:
    """Have the agent put secrets of a backup back, wait for it, and print what came of each.

    Raises `CliError` if any was not put back.
    """
    client = current.client
    if backup == LATEST:
        backup = _latest(current, destination)
    body = {
        "destination": destination, "names": names, "overwrite": overwrite, "dry_run": dry_run,
    }  # fmt: skip
    run = client.call("POST", f"{api_path('backups', backup)}/restore", body)
    ended = _wait(current, run)
    path = f"{api_path('backups', 'runs', run['id'])}/secrets"
    done = list(_pages(client.call, {"limit": 1000}, path, "secrets"))
    current.print_result(done, SECRET_COLUMNS)
    left = sum(row["action"] not in {"create", "write"} for row in done)
    if ended["outcome"] != "succeeded":
        raise CliError(f"{ended['outcome']}: {ended['error']}")
    if left and not dry_run:
        raise CliError(f"{left} of {len(done)} not recovered", Exit.CONFLICT)


def _latest(current: CliContext, destination: str) -> str:
    """The id of the newest backup that the agent relies on."""
    for each in _pages(current.client.call, {"destination": destination}):
        if each["verified"]:
            return str(each["id"])
    raise CliError("the agent has no verified backup: see `freehold backup list`", Exit.NOT_FOUND)


def add_commands(app: CommandGroup) -> None:
    """Add those that are an agent's alone."""

    @app.command("freehold backup delete ID", "freehold backup delete ID --yes")
    def delete(
        context: typer.Context,
        backup: Annotated[str, typer.Argument(metavar="ID", help="The backup's id.")],
        destination: Annotated[
            str, typer.Option(help="Where, if several destinations have one of this id.")
        ] = "",
        yes: Yes = False,
    ) -> None:
        """Delete a backup of the agent that no other builds on."""
        confirm(f"Delete the backup {backup}?", yes=yes)
        query = {"destination": destination}
        cli_context(context).client.call("DELETE", api_path("backups", backup), query=query)
        print_note(f"backup {backup} is deleted")

    @app.command("freehold backup schedule")
    def schedule(context: typer.Context) -> None:
        """Show when the agent makes backups, when the next one is due, and how they do."""
        current = cli_context(context)
        found = current.client.call("GET", api_path("backups", "schedule"))
        if current.output_format is OutputFormat.TABLE:
            current.print_result(found.pop("destinations"), PLACE_COLUMNS)
        current.print_result(found)

    @app.command("freehold backup status", "freehold backup status RUN")
    def status(
        context: typer.Context,
        run: Annotated[
            str, typer.Argument(metavar="RUN", help="A run's id. Default: the last runs.")
        ] = "",
    ) -> None:
        """Show the last backups and validations of the agent, or how far one of them is."""
        current = cli_context(context)
        if run:
            _print_run(current, current.client.call("GET", api_path("backups", "runs", run)))
        else:
            found = current.client.call("GET", api_path("backups", "runs"))
            current.print_result(found["runs"], RUN_COLUMNS)

    @app.command("freehold backup cancel RUN")
    def cancel(context: typer.Context, run: RunId) -> None:
        """Cancel a backup or a validation of the agent. What it had not finished is no backup."""
        current = cli_context(context)
        current.client.call("DELETE", api_path("backups", "runs", run))
        print_note(f"run {run} is cancelled")


def _pages(
    call: Callable[..., Any], query: dict[str, Any], path: str = "", name: str = "backups"
) -> Iterator[dict[str, Any]]:
    while True:
        page = call("GET", path or api_path("backups"), query=query)
        yield from page[name]
        if not page["cursor"]:
            return
        query = query | {"cursor": page["cursor"]}


def _follow(current: CliContext, run: dict[str, Any], *, detach: bool) -> dict[str, Any] | None:
    """Wait for the end of a run and print it; None with `detach`. Raises `CliError`."""
    if detach:
        current.print_result({"run": run["id"]})
        return None
    run = _wait(current, run)
    _print_run(current, run)
    if run["outcome"] != "succeeded":
        raise CliError(f"{run['outcome']}: {run['error']}")
    return run


def _wait(current: CliContext, run: dict[str, Any]) -> dict[str, Any]:
    """The run, once it has ended."""
    with _interruptible(run["id"]):
        while run["outcome"] == "running":
            run = _follow_phase(current, run)
    return run


def _follow_phase(current: CliContext, run: dict[str, Any]) -> dict[str, Any]:
    """Show the progress of what the run does now, until it does something else."""
    import trio

    from actors.world import SystemWorld

    phase, done = (run["destination"], run["phase"]), 0
    title = ": ".join(filter(None, phase))
    with progress(title, run["total"]) as advance:
        while run["outcome"] == "running" and (run["destination"], run["phase"]) == phase:
            advance(run["done"] - done)
            done = run["done"]
            trio.run(SystemWorld().sleep, POLL_SECONDS)
            run = current.client.call("GET", api_path("backups", "runs", run["id"]))
    return run


@contextmanager
def _interruptible(run: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise CliError(
            f"the run goes on: `freehold backup status {run}`, `freehold backup cancel {run}`",
            Exit.INTERRUPTED,
        ) from None


def _print_run(current: CliContext, run: dict[str, Any]) -> None:
    if current.output_format is OutputFormat.TABLE:
        current.print_result(run["results"], RESULT_COLUMNS)
        run = {name: value for name, value in run.items() if name != "results"}
    current.print_result(run)
