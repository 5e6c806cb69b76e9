"""`freehold fleet alert …`: conditions that a person should know of."""

from typing import Annotated, Final, Literal

import typer

from ui.cli import completion
from ui.cli.command_group import CommandGroup
from ui.cli.context import without_empty
from ui.cli.fleet_context import fleet

app = CommandGroup("Alerts about agents and the control plane.")

ALERTS: Final = ("at", "state", "severity", "vault", "code", "count", "message", "id")
State = Literal["open", "firing", "acknowledged", "resolved", "all"]


@app.command("freehold fleet alert list", "freehold fleet alert list --state all", name="list")
def list_(
    context: typer.Context,
    vault: Annotated[
        str,
        typer.Option(help="Only of this agent.", autocompletion=completion.vault_names),
    ] = "",
    state: Annotated[
        State, typer.Option(help="Only in this state; open: every alert that is not resolved.")
    ] = "open",
) -> None:
    """List the newest alerts, by default those that are not resolved."""
    current = fleet(context)
    query = without_empty(vault=vault, state="" if state == "all" else state)
    current.print_result(current.call("GET", "alerts", query=query), ALERTS)


@app.command('freehold fleet alert ack 0192f1c4-5d0e-7c3a-9b7e-3f2a1c5d8e90 --note "disk replaced"')
def ack(
    context: typer.Context,
    alert: Annotated[str, typer.Argument(help="Id of the alert.")],
    note: Annotated[str, typer.Option(help="What happened and what was done; kept with it.")] = "",
) -> None:
    """Acknowledge an alert. An alert without an end of its own, such as a lockout, is resolved."""
    current = fleet(context)
    body = without_empty(note=note)
    current.print_result(current.call("POST", "alerts", alert, "acknowledge", body=body or None))
