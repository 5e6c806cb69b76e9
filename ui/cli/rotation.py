"""`freehold rotation …`: credentials that are changed at their targets."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ui.cli.command_group import CommandGroup
from ui.cli.context import Yes, api_path, cli_context, confirm, fetch_pages
from ui.cli.output import print_note

app = CommandGroup("Rotate credentials at their targets.")
COLUMNS = ("path", "number", "state", "rotator", "began_at", "next_at", "error_code")

Secret = Annotated[str, typer.Argument(metavar="PATH", help="The secret.")]
Place = Annotated[
    str, typer.Argument(metavar="PATH", help="A secret, or a folder with its closing slash.")
]
Prefix = Annotated[str, typer.Option(help="Only what is in this folder.")]


@app.command("freehold rotation status", "freehold rotation status --state stuck")
def status(
    context: typer.Context,
    prefix: Prefix = "",
    state: Annotated[str, typer.Option(help="Only rotations in this state.")] = "",
) -> None:
    """List the rotations that are kept, running or over."""
    current = cli_context(context)
    query = {"prefix": prefix} | ({"state": state} if state else {})
    found = fetch_pages(current.client, api_path("rotations"), "rotations", query)
    current.print_result(list(found), COLUMNS)


@app.command("freehold rotation plan", "freehold rotation plan --days 30")
def plan(
    context: typer.Context,
    prefix: Prefix = "",
    days: Annotated[int, typer.Option(min=0, max=3650, help="How far to look ahead.")] = 7,
) -> None:
    """List the secrets that are due, when, and by whose policy: their own or that of a folder."""
    from actors.world import SystemWorld
    from protocols.instant import DAY, rfc3339

    current = cli_context(context)
    query = {"prefix": prefix, "before": rfc3339(SystemWorld().now() + days * DAY)}
    found = fetch_pages(current.client, api_path("rotations", "plan"), "secrets", query)
    current.print_result(list(found), ("path", "due_at", "source"))


@app.command("freehold rotation history secret/db/app")
def history(context: typer.Context, secret: Secret) -> None:
    """Show the policy of a secret, and how its last rotations went."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", api_path("rotation", secret)))


@app.command("freehold rotation run secret/db/app")
def run(context: typer.Context, secret: Secret) -> None:
    """Rotate a secret now. The old value works until its grace period is over."""
    current = cli_context(context)
    current.print_result(current.client.call("POST", api_path("rotate", secret)))


@app.command("freehold rotation resume secret/db/app")
def resume(context: typer.Context, secret: Secret) -> None:
    """Try the step again that a rotation is stuck at, once its cause is gone."""
    current = cli_context(context)
    current.print_result(current.client.call("POST", api_path("rotation-resume", secret)))


@app.command("freehold rotation undo secret/db/app")
def undo(context: typer.Context, secret: Secret) -> None:
    """Undo a rotation whose value is not current yet."""
    current = cli_context(context)
    current.print_result(current.client.call("POST", api_path("rotation-undo", secret)))


@app.command(
    "freehold rotation set secret/db/app policy.json",
    "freehold rotation set secret/db/ policy.json",
    name="set",
)
def set_(
    context: typer.Context,
    place: Place,
    file: Annotated[Path, typer.Argument(help="The policy, as JSON.", dir_okay=False, exists=True)],
) -> None:
    """Set the rotation policy of a secret, or of all secrets in a folder without their own."""
    try:
        policy: Any = json.loads(file.read_text())
    except ValueError as error:
        raise typer.BadParameter(f"{file} is no JSON: {error}") from None
    cli_context(context).client.call("PUT", api_path("rotation", place), policy)
    print_note(f"{place} is rotated by this policy")


@app.command("freehold rotation unset secret/db/app")
def unset(context: typer.Context, place: Place, yes: Yes = False) -> None:
    """Remove the rotation policy of a secret or folder."""
    confirm(f"Rotate {place} no more?", yes=yes)
    cli_context(context).client.call("DELETE", api_path("rotation", place))
    print_note(f"{place} has no rotation policy of its own")


@app.command("freehold rotation overview")
def overview(context: typer.Context) -> None:
    """Show the policies of folders, the kinds of rotators, and whether rotations are paused."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", api_path("rotations", "overview")))


@app.command("freehold rotation pause")
def pause(context: typer.Context) -> None:
    """Have no rotation begin or go on, at all agents, until `rotation continue`."""
    cli_context(context).client.call("PUT", api_path("rotations", "paused"), {"paused": True})
    print_note("rotations are paused")


@app.command("freehold rotation continue", name="continue")
def continue_(context: typer.Context) -> None:
    """Have rotations begin and go on again."""
    cli_context(context).client.call("PUT", api_path("rotations", "paused"), {"paused": False})
    print_note("rotations go on")
