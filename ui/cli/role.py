"""`freehold role …`: named sets of policies, given to users."""

from typing import Annotated

import typer

from ui.cli.route import route
from ui.cli.session import session, shown

app = typer.Typer(help="Named sets of policies.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the role.")]


@app.command("list")
@shown
def list_(context: typer.Context) -> None:
    """List the roles."""
    current = session(context)
    columns = ("name", "policies", "description")
    current.show(current.client.call("GET", route("roles"))["roles"], columns)


@app.command()
@shown
def show(context: typer.Context, name: Name) -> None:
    """Show a role."""
    current = session(context)
    current.show(current.client.call("GET", route("roles", name)))


@app.command()
@shown
def write(
    context: typer.Context,
    name: Name,
    policy: Annotated[list[str], typer.Option(help="A policy; may be repeated.")],
    description: str = "",
) -> None:
    """Make or replace a role; it counts from the next request of its users on."""
    current = session(context)
    body = {"policies": policy, "description": description}
    current.show(current.client.call("PUT", route("roles", name), body))


@app.command()
def delete(context: typer.Context, name: Name) -> None:
    """Delete a role."""
    session(context).client.call("DELETE", route("roles", name))
