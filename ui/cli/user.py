"""`freehold user …`: the people and machines that keys and tokens belong to."""

from typing import Annotated, Any, Final

import typer

from ui.cli import completion
from ui.cli.command_group import CommandGroup
from ui.cli.context import (
    CliContext,
    Yes,
    api_path,
    cli_context,
    confirm,
    fetch_pages,
    without_empty,
)
from ui.cli.errors import CliError, Exit
from ui.cli.output import print_note

app = CommandGroup("People and machines.")

COLUMNS: Final = ("username", "status", "roles", "policies", "last_login")
NewName = Annotated[str, typer.Argument(help="Name of the user.")]
Name = Annotated[
    str, typer.Argument(help="Name of the user.", autocompletion=completion.user_names)
]
Email = Annotated[str | None, typer.Option(help="Email address, for your information only.")]
Roles = Annotated[
    list[str] | None,
    typer.Option("--role", help="A role; may be repeated.", autocompletion=completion.role_names),
]
Policies = Annotated[
    list[str] | None,
    typer.Option(
        "--policy", help="A policy; may be repeated.", autocompletion=completion.policy_names
    ),
]


@app.command("freehold user create ann --policy app-read", "freehold user create ci --role build")
def create(
    context: typer.Context,
    name: NewName,
    email: Email = None,
    role: Roles = None,
    policy: Policies = None,
) -> None:
    """Create a user. To do anything, a user needs a policy and an API key."""
    current = cli_context(context)
    body = without_empty(username=name, email=email, roles=role, policies=policy)
    current.print_result(current.client.call("POST", api_path("users"), body))


@app.command("freehold user list", name="list")
def list_(context: typer.Context) -> None:
    """List the users."""
    current = cli_context(context)
    current.print_result(list(fetch_pages(current.client, api_path("users"), "users")), COLUMNS)


@app.command("freehold user get ann")
def get(context: typer.Context, name: Name) -> None:
    """Show a user."""
    current = cli_context(context)
    current.print_result(_find(current, name))


@app.command(
    "freehold user update ann --policy app-read --policy app-write",
    "freehold user update ann --disable",
)
def update(
    context: typer.Context,
    name: Name,
    email: Email = None,
    role: Roles = None,
    policy: Policies = None,
    active: Annotated[
        bool | None,
        typer.Option("--enable/--disable", help="Whether the user's keys and tokens work."),
    ] = None,
) -> None:
    """Change a user from the next request on; what is left out stays.

    `--role` and `--policy` replace the whole list; an empty one (`--policy ""`) clears it.
    """
    status = None if active is None else "active" if active else "disabled"
    body = without_empty(status=status) | {
        key: value
        for key, value in {
            "email": email,
            "roles": _names(role),
            "policies": _names(policy),
        }.items()
        if value is not None
    }
    if not body:
        raise typer.BadParameter("no change is given")
    current = cli_context(context)
    at = api_path("users", _find(current, name)["id"])
    current.print_result(current.client.call("PATCH", at, body))


@app.command("freehold user delete ann", "freehold user delete ann --yes")
def delete(context: typer.Context, name: Name, yes: Yes = False) -> None:
    """Delete a user with all keys and tokens."""
    current = cli_context(context)
    at = api_path("users", _find(current, name)["id"])
    confirm(f"Delete the user {name} with all keys and tokens?", yes=yes)
    current.client.call("DELETE", at)
    print_note(f"user {name} is deleted, with all keys and tokens")


def _find(current: CliContext, name: str) -> dict[str, Any]:
    """The user of this name: paths of the API hold the id."""
    found = current.client.call("GET", api_path("users"), query={"username": name})["users"]
    if not found:
        raise CliError(f"no user {name}: `freehold user list` lists them", Exit.NOT_FOUND)
    user: dict[str, Any] = found[0]
    return user


def _names(names: list[str] | None) -> list[str] | None:
    return None if names is None else [name for name in names if name]
