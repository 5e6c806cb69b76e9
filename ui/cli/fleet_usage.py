"""`freehold fleet usage …`, `freehold fleet capacity`: what is used, and what it will take."""

from typing import Annotated, Any, Final

import typer

from ui.cli.arguments import without_empty
from ui.cli.context import with_output_option
from ui.cli.fleet_context import fleet

app = typer.Typer(help="What is used; secrets by opaque ids.", no_args_is_help=True)

TOP: Final = ("vault", "subject", "count", "failed")
SECRETS: Final = ("vault", "secret", "reads", "last_read", "rotated_at", "expires_at")
KEYS: Final = ("vault", "generation", "since", "exact", "due_since")
FORECAST: Final = ("name", "unit", "now", "per_day", "expected", "low", "high", "full_at", "reason")
Vault = Annotated[str, typer.Option(help="Of one agent alone.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")]


@app.command()
@with_output_option
def show(context: typer.Context, vault: Vault = "") -> None:
    """Show the last 30 days: operations, and how secrets are kept."""
    current = fleet(context)
    current.print_result(current.call("GET", "usage", query=without_empty(vault=vault)))


@app.command()
@with_output_option
def top(
    context: typer.Context,
    of: Annotated[str, typer.Argument(help="agent, operation, secret, identity")] = "agent",
    vault: Vault = "",
    limit: Limit = 100,
) -> None:
    """List the most used first."""
    current = fleet(context)
    asked = without_empty(of=of, vault=vault, limit=str(limit))
    current.print_result(current.call("GET", "usage", "top", query=asked)["rows"], TOP)


@app.command()
@with_output_option
def secrets(
    context: typer.Context,
    which: Annotated[
        str, typer.Argument(help="unused, overused, expiring, rotation, all")
    ] = "unused",
    vault: Vault = "",
    days: Annotated[int, typer.Option(min=0, help="Another number than the usual.")] = 0,
    limit: Limit = 100,
) -> None:
    """List secrets that need a look; `freehold agent usage who` at their agent names them."""
    current = fleet(context)
    asked = without_empty(which=which, vault=vault, days=str(days), limit=str(limit))
    current.print_result(current.call("GET", "usage", "secrets", query=asked)["rows"], SECRETS)


@app.command()
@with_output_option
def keys(
    context: typer.Context,
    vault: Vault = "",
    due: Annotated[bool, typer.Option(help="Only those that owe a change.")] = False,
    limit: Limit = 100,
) -> None:
    """List the key-encryption keys of agents, and since when a change of one is due."""
    current = fleet(context)
    asked = without_empty(vault=vault, due="true" if due else "", limit=str(limit))
    current.print_result(current.call("GET", "usage", "keys", query=asked)["rows"], KEYS)


@with_output_option
def capacity(
    context: typer.Context,
    vault: Vault = "",
    days: Annotated[int, typer.Option(min=1, max=730, help="How far ahead.")] = 90,
) -> None:
    """Show what storage and load are expected to be, with the 90 % band."""
    current = fleet(context)
    found = current.call("GET", "capacity", query=without_empty(vault=vault, days=str(days)))
    current.print_result([_told(one) for one in found], FORECAST)


def _told(one: dict[str, Any]) -> dict[str, Any]:
    history, band = one["history"], one["band"]
    last = band[-1] if band else {}
    return {**one, **last, "now": history[-1]["value"] if history else None}
