"""`freehold token …`: credentials that expire, are renewed, and end with their parent."""

from typing import Annotated, Any

import typer

from ui.cli.output import plain, tell, warn
from ui.cli.pairs import given, pairs
from ui.cli.route import route
from ui.cli.session import session, shown
from ui.cli.source import read_line

app = typer.Typer(help="Credentials that expire.", no_args_is_help=True)

Accessor = Annotated[str, typer.Argument(help="Its accessor; your own token if left out.")]
FromStdin = Annotated[
    bool, typer.Option("--stdin", help="The token itself, from stdin or asked for.")
]


@app.command()
@shown
def create(
    context: typer.Context,
    policy: Annotated[list[str] | None, typer.Option(help="A policy; else your own.")] = None,
    ttl: Annotated[str, typer.Option(help="Such as 1h30m.")] = "",
    explicit_max_ttl: Annotated[str, typer.Option(help="No renewal beyond this.")] = "",
    period: Annotated[str, typer.Option(help="Renewable for ever, this long each time.")] = "",
    num_uses: Annotated[int, typer.Option(help="0: as many as you like.")] = 0,
    display_name: str = "",
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", "-m", help="key=value")
    ] = None,
    orphan: Annotated[bool, typer.Option("--orphan", help="Not to end with yours.")] = False,
    renewable: bool = True,
    default_policy: bool = True,
    raw: Annotated[bool, typer.Option("--raw", help="The token alone, for scripts.")] = False,
) -> None:
    """Make a token. Its text is shown once."""
    current = session(context)
    body = given(
        policies=policy,
        ttl=ttl,
        explicit_max_ttl=explicit_max_ttl,
        period=period,
        num_uses=num_uses,
        display_name=display_name,
        metadata=pairs(metadata),
        orphan=orphan,
        renewable=renewable,
        no_default_policy=not default_policy,
    )
    made = current.client.call("POST", route("tokens"), body)
    if raw:
        plain(made["token"])
        warn(made)
        return
    current.show(made)
    tell("Keep the token now; it cannot be shown again.")


@app.command("list")
@shown
def list_(context: typer.Context) -> None:
    """List the accessors of all tokens."""
    current = session(context)
    current.show(current.client.call("GET", route("tokens"))["accessors"])


@app.command()
@shown
def show(context: typer.Context, accessor: Accessor = "self", stdin: FromStdin = False) -> None:
    """Show a token's policies, age and what is left of it."""
    current = session(context)
    if stdin:
        body = {"token": read_line("Token")}
        current.show(current.client.call("POST", route("tokens/lookup"), body))
    else:
        current.show(current.client.call("GET", route("tokens", accessor)))


@app.command()
@shown
def renew(
    context: typer.Context,
    accessor: Accessor = "self",
    increment: Annotated[str, typer.Option(help="Such as 1h; else as at its making.")] = "",
) -> None:
    """Make a token last longer."""
    current = session(context)
    at = route("tokens", accessor, "renew")
    current.show(current.client.call("POST", at, given(increment=increment)))


@app.command()
def revoke(
    context: typer.Context,
    accessor: Annotated[str, typer.Argument(help="Its accessor.")] = "",
    stdin: FromStdin = False,
    own: Annotated[bool, typer.Option("--self", help="Your own token.")] = False,
    keep_children: Annotated[
        bool, typer.Option("--keep-children", help="With --stdin: they stay, as orphans.")
    ] = False,
) -> None:
    """End a token, and all that were made with it."""
    if (bool(accessor) + stdin + own) != 1:
        raise typer.BadParameter("give an accessor, --stdin or --self")
    if keep_children and not stdin:
        raise typer.BadParameter("--keep-children goes with --stdin")
    client = session(context).client
    if stdin:
        body: dict[str, Any] = {"token": read_line("Token"), "keep_children": keep_children}
        client.call("POST", route("tokens/revoke"), body)
    else:
        client.call("DELETE", route("tokens", "self" if own else accessor))
