"""`freehold user …`: the people and machines that keys and tokens belong to."""

from typing import Annotated, Any

import typer

from ui.cli.api_path import api_path
from ui.cli.arguments import without_empty
from ui.cli.context import CliContext, cli_context, with_output_option
from ui.cli.errors import CliError, Exit
from ui.cli.output import print_note
from ui.cli.pagination import fetch_pages

app = typer.Typer(help="People and machines.", no_args_is_help=True)

COLUMNS = ("username", "status", "roles", "policies", "last_login")
Username = Annotated[str, typer.Argument(help="Name of the user.")]
Email = Annotated[str | None, typer.Option(help="An address; only kept.")]
Roles = Annotated[list[str] | None, typer.Option("--role", help="A role; may be repeated.")]
Policies = Annotated[list[str] | None, typer.Option("--policy", help="A policy; may be repeated.")]


@app.command()
@with_output_option
def create(
    context: typer.Context,
    name: Username,
    email: Email = None,
    role: Roles = None,
    policy: Policies = None,
) -> None:
    """Make a user. He can do nothing before he has a policy and a key."""
    current = cli_context(context)
    body = without_empty(username=name, email=email, roles=role, policies=policy)
    current.print_result(current.client.call("POST", api_path("users"), body))


@app.command("list")
@with_output_option
def list_(context: typer.Context) -> None:
    """List the users."""
    current = cli_context(context)
    current.print_result(list(fetch_pages(current.client, api_path("users"), "users")), COLUMNS)


@app.command()
@with_output_option
def show(context: typer.Context, name: Username) -> None:
    """Show a user."""
    current = cli_context(context)
    current.print_result(_found(current, name))


@app.command()
@with_output_option
def update(
    context: typer.Context,
    name: Username,
    email: Email = None,
    role: Roles = None,
    policy: Policies = None,
    active: Annotated[
        bool | None, typer.Option("--enable/--disable", help="May he still use his keys?")
    ] = None,
) -> None:
    """Change a user from his next request on; what is left out stays.

    `--role` and `--policy` replace all; an empty one (`--policy ""`) takes all away.
    """
    current = cli_context(context)
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
        raise typer.BadParameter("nothing to change was given")
    at = api_path("users", _found(current, name)["id"])
    current.print_result(current.client.call("PATCH", at, body))


@app.command()
def delete(context: typer.Context, name: Username) -> None:
    """Delete a user with his keys and tokens."""
    current = cli_context(context)
    current.client.call("DELETE", api_path("users", _found(current, name)["id"]))
    print_note(f"user {name} is deleted, with all keys and tokens")


def _found(current: CliContext, name: str) -> dict[str, Any]:
    """The user of this name: paths of the API hold his id."""
    found = current.client.call("GET", api_path("users"), query={"username": name})["users"]
    if not found:
        raise CliError(f"there is no user {name}; `freehold user list` has them", Exit.NOT_FOUND)
    user: dict[str, Any] = found[0]
    return user


def _names(names: list[str] | None) -> list[str] | None:
    return None if names is None else [name for name in names if name]
