"""`freehold role …`: named sets of policies, given to users."""

from typing import Annotated

import typer

from ui.cli import completion
from ui.cli.command_group import CommandGroup
from ui.cli.context import Yes, api_path, cli_context, confirm
from ui.cli.output import print_note

app = CommandGroup("Named sets of policies.")

Name = Annotated[
    str, typer.Argument(help="Name of the role.", autocompletion=completion.role_names)
]


@app.command("freehold role list", name="list")
def list_(context: typer.Context) -> None:
    """List the roles."""
    current = cli_context(context)
    columns = ("name", "policies", "description")
    current.print_result(current.client.call("GET", api_path("roles"))["roles"], columns)


@app.command("freehold role get developers")
def get(context: typer.Context, name: Name) -> None:
    """Show a role."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", api_path("roles", name)))


@app.command("freehold role put developers --policy app-read --policy app-write")
def put(
    context: typer.Context,
    name: Name,
    policy: Annotated[
        list[str],
        typer.Option(help="A policy; may be repeated.", autocompletion=completion.policy_names),
    ],
    description: Annotated[str, typer.Option(help="What the role is for.")] = "",
) -> None:
    """Create or replace a role; it applies from its users' next request on."""
    current = cli_context(context)
    body = {"policies": policy, "description": description}
    current.print_result(current.client.call("PUT", api_path("roles", name), body))


@app.command("freehold role delete developers", "freehold role delete developers --yes")
def delete(context: typer.Context, name: Name, yes: Yes = False) -> None:
    """Delete a role."""
    confirm(f"Delete the role {name}?", yes=yes)
    cli_context(context).client.call("DELETE", api_path("roles", name))
    print_note(f"role {name} is deleted")
