"""`freehold node …`: the machines whose agents share the database."""

from typing import Annotated

import typer

from ui.cli.command_group import CommandGroup
from ui.cli.context import Yes, api_path, cli_context, confirm
from ui.cli.output import print_note

app = CommandGroup("The machines whose agents share the database.")
COLUMNS = ("id", "name", "running", "version", "last_seen", "audit_log")


@app.command("freehold node list", name="list")
def list_(context: typer.Context) -> None:
    """List the nodes, running or not."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", api_path("system", "nodes"))["nodes"], COLUMNS)


@app.command("freehold node forget 8c1f0a6e5d3b2947", "freehold node forget 8c1f0a6e5d3b2947 --yes")
def forget(
    context: typer.Context,
    node: Annotated[str, typer.Argument(help="Id of the node.")],
    yes: Yes = False,
) -> None:
    """Forget a node whose machine is gone for good. Keep its audit log first.

    `freehold audit verify` asks for its log no more. The end of it goes on the audit log.
    """
    confirm(f"Forget the node {node}?", yes=yes)
    cli_context(context).client.call("DELETE", api_path("system", "nodes", node))
    print_note(f"node {node} is forgotten")
