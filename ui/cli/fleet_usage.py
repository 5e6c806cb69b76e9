"""`freehold fleet usage|capacity …`: what is used, and what it will take."""

from typing import Annotated, Any, Final, Literal

import typer

from ui.cli import completion
from ui.cli.command_group import CommandGroup
from ui.cli.context import without_empty
from ui.cli.fleet_compliance import days_of
from ui.cli.fleet_context import fleet

app = CommandGroup("What is used. Secrets appear by opaque ids.")
secrets = CommandGroup("Secrets that need attention.")
keys = CommandGroup("Key-encryption keys of agents.")
capacity = CommandGroup("Forecasts of storage and load.")
app.add_group(secrets, "secret")
app.add_group(keys, "key")

TOP: Final = ("vault", "subject", "count", "failed")
SECRETS: Final = ("vault", "secret", "reads", "last_read", "rotated_at", "expires_at")
KEYS: Final = ("vault", "generation", "since", "exact", "due_since")
FORECAST: Final = ("name", "unit", "now", "per_day", "expected", "low", "high", "full_at", "reason")
Vault = Annotated[
    str, typer.Option(help="Only of this agent.", autocompletion=completion.vault_names)
]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="At most this many.")]


@app.command("freehold fleet usage get", "freehold fleet usage get --vault web-1")
def get(context: typer.Context, vault: Vault = "") -> None:
    """Show the last 30 days: operations, and how secrets are kept."""
    current = fleet(context)
    current.print_result(current.call("GET", "usage", query=without_empty(vault=vault)))


@app.command("freehold fleet usage top", "freehold fleet usage top identity --vault web-1")
def top(
    context: typer.Context,
    of: Annotated[
        Literal["agent", "operation", "secret", "identity"], typer.Argument(help="What to count.")
    ] = "agent",
    vault: Vault = "",
    limit: Limit = 100,
) -> None:
    """List the most used first."""
    current = fleet(context)
    asked = without_empty(of=of, vault=vault, limit=str(limit))
    current.print_result(current.call("GET", "usage", "top", query=asked)["rows"], TOP)


@secrets.command(
    "freehold fleet usage secret list",
    "freehold fleet usage secret list rotation --threshold 180d",
    name="list",
)
def list_secrets(
    context: typer.Context,
    which: Annotated[
        Literal["unused", "overused", "expiring", "rotation", "all"],
        typer.Argument(help="What they have in common."),
    ] = "unused",
    vault: Vault = "",
    threshold: Annotated[
        str, typer.Option(help="Another threshold than the default, such as 180d.")
    ] = "",
    limit: Limit = 100,
) -> None:
    """List secrets that need attention. `agent usage resolve` at their agent names them."""
    current = fleet(context)
    days = str(days_of(threshold, "--threshold"))
    asked = without_empty(which=which, vault=vault, days=days, limit=str(limit))
    current.print_result(current.call("GET", "usage", "secrets", query=asked)["rows"], SECRETS)


@keys.command("freehold fleet usage key list --due", name="list")
def list_keys(
    context: typer.Context,
    vault: Vault = "",
    due: Annotated[bool, typer.Option("--due", help="Only keys whose rotation is due.")] = False,
    limit: Limit = 100,
) -> None:
    """List the key-encryption keys of agents, and since when a rotation is due."""
    current = fleet(context)
    asked = without_empty(vault=vault, due="true" if due else "", limit=str(limit))
    current.print_result(current.call("GET", "usage", "keys", query=asked)["rows"], KEYS)


@capacity.command("freehold fleet capacity get", "freehold fleet capacity get --ahead 180d",
    name="get",
)  # fmt: skip
def get_capacity(
    context: typer.Context,
    vault: Vault = "",
    ahead: Annotated[str, typer.Option(help="How far ahead, up to 730d.")] = "90d",
) -> None:
    """Show the storage and load to expect, with the 90 % band."""
    current = fleet(context)
    asked = without_empty(vault=vault, days=str(days_of(ahead, "--ahead")))
    found = current.call("GET", "capacity", query=asked)
    current.print_result([_forecast(one) for one in found], FORECAST)


def _forecast(one: dict[str, Any]) -> dict[str, Any]:
    history, band = one["history"], one["band"]
    last = band[-1] if band else {}
    return {**one, **last, "now": history[-1]["value"] if history else None}
