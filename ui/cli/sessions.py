"""`freehold sessions …`: where people are logged in, and the end of that."""

from typing import Annotated, Final

import typer

from ui.cli import completion
from ui.cli.command_group import CommandGroup
from ui.cli.context import CliContext, api_path, cli_context
from ui.cli.identity_entity import find_entity
from ui.cli.output import print_note

app = CommandGroup("Where you are logged in, and the end of that.")

COLUMNS: Final = (
    "accessor", "method", "mount", "address", "created_at", "last_used", "expires_at", "current",
)  # fmt: skip
User = Annotated[
    str,
    typer.Option(
        help="Name or id of a user, for administrators; by default yours.",
        autocompletion=completion.user_names,
    ),
]


@app.command("freehold sessions list", "freehold sessions list --user ann", name="list")
def list_(context: typer.Context, user: User = "") -> None:
    """List sessions, the newest first: how and from where, since when, when used last."""
    current = cli_context(context)
    found = current.client.call("GET", _place(current, user))["sessions"]
    current.print_result(found, COLUMNS)


@app.command(
    "freehold sessions revoke 8mwmhtpf6smz7cy4ka9w3q2d",
    "freehold sessions revoke --others",
    "freehold sessions revoke 8mwmhtpf6smz7cy4ka9w3q2d --user ann",
)
def revoke(
    context: typer.Context,
    accessor: Annotated[str, typer.Argument(help="The session's accessor.")] = "",
    others: Annotated[
        bool, typer.Option("--others", help="All of them but the one that asks.")
    ] = False,
    user: User = "",
) -> None:
    """End a session at once, with its streams and everything that it made."""
    if bool(accessor) == others:
        raise typer.BadParameter("name an accessor, or --others")
    current = cli_context(context)
    place = _place(current, user)
    ended = [accessor]
    if others:
        found = current.client.call("GET", place)["sessions"]
        ended = [one["accessor"] for one in found if not one["current"]]
    for each in ended:
        current.client.call("DELETE", f"{place}/{each}")
    print_note(f"{len(ended)} session{'' if len(ended) == 1 else 's'} ended")


def _place(current: CliContext, user: str) -> str:
    """The API path of the caller's own sessions, or of those of a user."""
    if not user:
        return api_path("sessions")
    return api_path("users", find_entity(current, user), "sessions")
