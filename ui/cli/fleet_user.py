"""`freehold fleet user|invitation …`: the people of an organization."""

from typing import Annotated, Final, Literal

import typer

from ui.cli.command_group import CommandGroup
from ui.cli.context import Yes, confirm, without_empty
from ui.cli.fleet_context import fleet
from ui.cli.output import print_note

app = CommandGroup("The accounts of the organization.")
invitations = CommandGroup("Invitations to become a member.")

COLUMNS: Final = ("name", "role", "disabled", "email", "last_login")
INVITED: Final = ("id", "email", "role", "expires_at", "used_by")
Role = Literal["viewer", "operator", "admin", "owner"]
Name = Annotated[str, typer.Argument(help="Name of the account.")]


@app.command("freehold fleet user list", name="list")
def list_(context: typer.Context) -> None:
    """List the accounts."""
    current = fleet(context)
    current.print_result(current.call("GET", "users", query={"limit": 500}), COLUMNS)


@app.command("freehold fleet user get ann")
def get(context: typer.Context, name: Name) -> None:
    """Show an account."""
    current = fleet(context)
    current.print_result(current.call("GET", "users", name))


@app.command(
    "freehold fleet user update ann --role operator", "freehold fleet user update ann --disable"
)
def update(
    context: typer.Context,
    name: Name,
    role: Annotated[Role | None, typer.Option(help="Another role.")] = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether the account can sign in.")
    ] = None,
) -> None:
    """Change an account. Every session of it ends."""
    body = without_empty(role=role, disabled=None if enabled is None else not enabled)
    if not body:
        raise typer.BadParameter("no change is given")
    current = fleet(context)
    current.print_result(current.call("PATCH", "users", name, body=body))


@app.command("freehold fleet user delete ann", "freehold fleet user delete ann --yes")
def delete(context: typer.Context, name: Name, yes: Yes = False) -> None:
    """Delete an account with all its credentials."""
    confirm(f"Delete the account {name} with all its credentials?", yes=yes)
    fleet(context).call("DELETE", "users", name)
    print_note(f"account {name} is deleted")


@app.command("freehold fleet user reset-second-factor ann")
def reset_second_factor(context: typer.Context, name: Name, yes: Yes = False) -> None:
    """Remove the second factor of somebody who lost it. Every credential of the account ends."""
    confirm(f"Remove the second factor of {name} and end every credential?", yes=yes)
    fleet(context).call("DELETE", "users", name, "second-factor")
    print_note(f"the second factor of {name} is removed")


@invitations.command("freehold fleet invitation create ann@acme.example --role operator")
def create(
    context: typer.Context,
    email: Annotated[str, typer.Argument(help="Email address of the person.")],
    role: Annotated[Role, typer.Option(help="Role of the new member.")] = "viewer",
) -> None:
    """Create a link that makes one person a member, valid for a week. It is shown once."""
    current = fleet(context)
    made = current.call("POST", "invitations", body={"email": email, "role": role})
    current.print_result({"link": made["link"], **made["invitation"]})


@invitations.command("freehold fleet invitation list", name="list")
def list_invitations(context: typer.Context) -> None:
    """List the invitations, without their links."""
    current = fleet(context)
    current.print_result(current.call("GET", "invitations"), INVITED)


@invitations.command(
    "freehold fleet invitation delete 0192f1c4-5d0e-7c3a-9b7e-3f2a1c5d8e90", name="delete"
)
def delete_invitation(
    context: typer.Context,
    invitation: Annotated[str, typer.Argument(help="Id of the invitation.")],
    yes: Yes = False,
) -> None:
    """Delete an invitation: its link is no longer valid."""
    confirm(f"Delete the invitation {invitation}?", yes=yes)
    fleet(context).call("DELETE", "invitations", invitation)
    print_note(f"invitation {invitation} is deleted")
