"""`freehold role …`: named sets of policies, given to users."""

from typing import Annotated

import typer

from ui.cli.api_path import api_path
from ui.cli.context import cli_context, with_output_option

app = typer.Typer(help="Named sets of policies.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the role.")]


@app.command("list")
@with_output_option
def list_(context: typer.Context) -> None:
    """List the roles."""
    current = cli_context(context)
    columns = ("name", "policies", "description")
    current.print_result(current.client.call("GET", api_path("roles"))["roles"], columns)


@app.command()
@with_output_option
def show(context: typer.Context, name: Name) -> None:
    """Show a role."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", api_path("roles", name)))


@app.command()
@with_output_option
def write(
    context: typer.Context,
    name: Name,
    policy: Annotated[list[str], typer.Option(help="A policy; may be repeated.")],
    description: str = "",
) -> None:
    """Make or replace a role; it counts from the next request of its users on."""
    current = cli_context(context)
    body = {"policies": policy, "description": description}
    current.print_result(current.client.call("PUT", api_path("roles", name), body))


@app.command()
def delete(context: typer.Context, name: Name) -> None:
    """Delete a role."""
    cli_context(context).client.call("DELETE", api_path("roles", name))
