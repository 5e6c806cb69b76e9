"""`freehold credentials …`: users at databases that live as long as a lease."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ui.cli.command_group import CommandGroup
from ui.cli.context import Yes, api_path, cli_context, confirm, without_empty
from ui.cli.output import print_note

app = CommandGroup("Create users at databases that live as long as a lease.")

Role = Annotated[str, typer.Argument(metavar="MOUNT/ROLE", help="The role.")]
Connection = Annotated[str, typer.Argument(metavar="MOUNT/NAME", help="The connection.")]
Mount = Annotated[str, typer.Argument(metavar="MOUNT", help="The database mount.")]
File = Annotated[Path, typer.Argument(help="The settings, as JSON.", dir_okay=False, exists=True)]


@app.command("freehold credentials create database/readonly --ttl 30m")
def create(
    context: typer.Context,
    role: Role,
    ttl: Annotated[str | None, typer.Option(help="Such as 30m; the role's otherwise.")] = None,
) -> None:
    """Create a user by a role. Its password is shown once."""
    current = cli_context(context)
    body = without_empty(ttl=ttl)
    current.print_result(current.client.call("POST", api_path("credentials", role), body))


@app.command("freehold credentials connections database")
def connections(context: typer.Context, mount: Mount) -> None:
    """List the connections of a mount."""
    current = cli_context(context)
    found = current.client.call("GET", api_path("database-connections"), query={"mount": mount})
    columns = ("path", "kind", "secret", "allowed_roles", "updated_at")
    current.print_result(found["connections"], columns)


@app.command("freehold credentials set-connection database/main connection.json")
def set_connection(context: typer.Context, connection: Connection, file: File) -> None:
    """Make or replace a connection, after a login at its server."""
    current = cli_context(context)
    path = api_path("database-connections", connection)
    current.print_result(current.client.call("PUT", path, _read(file)))


@app.command("freehold credentials delete-connection database/main")
def delete_connection(context: typer.Context, connection: Connection, yes: Yes = False) -> None:
    """Delete a connection that no role and no lease needs."""
    confirm(f"Delete the connection {connection}?", yes=yes)
    cli_context(context).client.call("DELETE", api_path("database-connections", connection))
    print_note(f"{connection} is deleted")


@app.command("freehold credentials roles database")
def roles(context: typer.Context, mount: Mount) -> None:
    """List the roles of a mount."""
    current = cli_context(context)
    found = current.client.call("GET", api_path("database-roles"), query={"mount": mount})
    current.print_result(found["roles"], ("path", "connection", "default_ttl", "max_ttl"))


@app.command("freehold credentials set-role database/readonly role.json")
def set_role(context: typer.Context, role: Role, file: File) -> None:
    """Make or replace a role. Leases that it has made keep its old settings."""
    current = cli_context(context)
    current.print_result(current.client.call("PUT", api_path("database-roles", role), _read(file)))


@app.command("freehold credentials delete-role database/readonly")
def delete_role(context: typer.Context, role: Role, yes: Yes = False) -> None:
    """Delete a role. Its leases go on until they end."""
    confirm(f"Delete the role {role}?", yes=yes)
    cli_context(context).client.call("DELETE", api_path("database-roles", role))
    print_note(f"{role} is deleted")


@app.command(
    "freehold credentials orphans database/main",
    "freehold credentials orphans database/main --drop",
)
def orphans(
    context: typer.Context,
    connection: Connection,
    drop: Annotated[bool, typer.Option("--drop", help="Drop them.")] = False,
    yes: Yes = False,
) -> None:
    """List the users at a server that have a name of this vault's and belong to no lease.

    A copy of this vault that was restored elsewhere gives its users such names, too. Drop them only
    if there is none.
    """
    current = cli_context(context)
    path = api_path("database-orphans", connection)
    if not drop:
        current.print_result(current.client.call("GET", path))
        return
    confirm("Drop all of them? Users of a running copy of this vault are among them.", yes=yes)
    current.print_result(current.client.call("DELETE", path))


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except ValueError as error:
        raise typer.BadParameter(f"{file} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{file} is no JSON object")
    return found
