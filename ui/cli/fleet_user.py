"""`freehold fleet user …`: the people of an organization."""

from typing import Annotated, Final

import typer

from ui.cli.context import with_output_option
from ui.cli.fleet_context import fleet

app = typer.Typer(help="The people of the organization.", no_args_is_help=True)

COLUMNS: Final = ("name", "role", "disabled", "email", "last_login")
INVITED: Final = ("id", "email", "role", "expires_at", "used_by")
Name = Annotated[str, typer.Argument(help="Name of the account.")]
Role = Annotated[str, typer.Argument(help="viewer, operator, admin, owner")]


@app.command("list")
@with_output_option
def list_(context: typer.Context) -> None:
    """List the accounts."""
    current = fleet(context)
    current.print_result(current.call("GET", "users", query={"limit": 500}), COLUMNS)


@app.command()
@with_output_option
def invite(
    context: typer.Context,
    email: Annotated[str, typer.Argument(help="For whom the link is.")],
    role: Role = "viewer",
) -> None:
    """Make a link that makes one person a member, once, for a week. It is shown this once."""
    current = fleet(context)
    made = current.call("POST", "invitations", body={"email": email, "role": role})
    current.print_result({"link": made["link"], **made["invitation"]})


@app.command()
@with_output_option
def invitations(context: typer.Context) -> None:
    """List the invitations, without their links."""
    current = fleet(context)
    current.print_result(current.call("GET", "invitations"), INVITED)


@app.command()
@with_output_option
def role(context: typer.Context, name: Name, role: Role) -> None:
    """Give another role; every session of the account ends."""
    current = fleet(context)
    current.print_result(current.call("PATCH", "users", name, body={"role": role}))


@app.command()
@with_output_option
def disable(context: typer.Context, name: Name) -> None:
    """Let somebody in no more; every session of the account ends."""
    current = fleet(context)
    current.print_result(current.call("PATCH", "users", name, body={"disabled": True}))


@app.command()
@with_output_option
def enable(context: typer.Context, name: Name) -> None:
    """Let somebody in again."""
    current = fleet(context)
    current.print_result(current.call("PATCH", "users", name, body={"disabled": False}))


@app.command()
def remove(context: typer.Context, name: Name) -> None:
    """Remove an account with all credentials."""
    fleet(context).call("DELETE", "users", name)


@app.command("reset-second-factor")
def reset_second_factor(context: typer.Context, name: Name) -> None:
    """Take the second factor from somebody who lost it; every credential of theirs ends."""
    fleet(context).call("DELETE", "users", name, "second-factor")
