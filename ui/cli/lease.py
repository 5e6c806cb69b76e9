"""`freehold lease …`: the leases of dynamic credentials."""

from typing import Annotated, Final

import typer

from ui.cli.command_group import CommandGroup
from ui.cli.context import Yes, api_path, cli_context, confirm, fetch_pages, without_empty
from ui.cli.output import print_note

app = CommandGroup("List, renew and revoke leases of dynamic credentials.")

Lease = Annotated[str, typer.Argument(metavar="LEASE", help="The lease's id.")]
Force = Annotated[
    bool, typer.Option("--force", help="It is over even if its user stays at the server.")
]
COLUMNS: Final = ("id", "state", "username", "owner_name", "expires_at", "error_code")


@app.command(
    "freehold lease list", "freehold lease list --prefix database/creds/readonly", name="list"
)
def list_(
    context: typer.Context,
    prefix: Annotated[str, typer.Option(help="Only leases whose ids begin so.")] = "",
    state: Annotated[
        str, typer.Option(help="Only leases in this state, such as irrevocable.")
    ] = "",
) -> None:
    """List your leases, and those that you may look up."""
    current = cli_context(context)
    query = without_empty(prefix=prefix or None, state=state or None)
    current.print_result(
        list(fetch_pages(current.client, api_path("leases"), "leases", query)), COLUMNS
    )


@app.command("freehold lease show database/creds/readonly/0197c1f0")
def show(context: typer.Context, lease: Lease) -> None:
    """Show a lease."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", api_path("leases", lease)))


@app.command("freehold lease renew database/creds/readonly/0197c1f0 --increment 2h")
def renew(
    context: typer.Context,
    lease: Lease,
    increment: Annotated[str | None, typer.Option(help="From now on, such as 2h.")] = None,
) -> None:
    """Have a lease last longer, as far as its role allows."""
    current = cli_context(context)
    body = without_empty(increment=increment)
    current.print_result(current.client.call("POST", api_path("lease-renew", lease), body))


@app.command(
    "freehold lease revoke database/creds/readonly/0197c1f0",
    "freehold lease revoke database/creds/readonly --prefix",
)
def revoke(
    context: typer.Context,
    lease: Lease,
    prefix: Annotated[
        bool, typer.Option("--prefix", help="Revoke all leases below this folder.")
    ] = False,
    force: Force = False,
    yes: Yes = False,
) -> None:
    """End a lease, and drop its user."""
    client = cli_context(context).client
    if not prefix:
        client.call("POST", api_path("lease-revoke", lease), {"sync": not force, "force": force})
        print_note(f"{lease} is revoked")
        return
    confirm(f"Revoke all leases below {lease}?", yes=yes)
    count, after = 0, ""
    while True:
        body = {"prefix": lease, "after": after, "force": force}
        found = client.call("POST", api_path("leases-revoke"), body)
        count, after = count + found["count"], found["after"]
        if not after:
            break
    print_note("1 lease ends" if count == 1 else f"{count} leases end")
