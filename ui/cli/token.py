"""`freehold token …`: credentials that expire, are renewed, and end with their parent."""

from typing import Annotated, Any

import typer

from ui.cli.api_path import api_path
from ui.cli.arguments import parse_pairs, without_empty
from ui.cli.context import cli_context, with_output_option
from ui.cli.input import read_secret_line
from ui.cli.output import print_note, print_text, print_warnings

app = typer.Typer(help="Credentials that expire.", no_args_is_help=True)

Accessor = Annotated[str, typer.Argument(help="Its accessor; your own token if left out.")]
FromStdin = Annotated[
    bool, typer.Option("--stdin", help="The token itself, from stdin or asked for.")
]


@app.command()
@with_output_option
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
    current = cli_context(context)
    body = without_empty(
        policies=policy,
        ttl=ttl,
        explicit_max_ttl=explicit_max_ttl,
        period=period,
        num_uses=num_uses,
        display_name=display_name,
        metadata=parse_pairs(metadata),
        orphan=orphan,
        renewable=renewable,
        no_default_policy=not default_policy,
    )
    made = current.client.call("POST", api_path("tokens"), body)
    if raw:
        print_text(made["token"])
        print_warnings(made)
        return
    current.print_result(made)
    print_note("Keep the token now; it cannot be shown again.")


@app.command("list")
@with_output_option
def list_(context: typer.Context) -> None:
    """List the accessors of all tokens."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", api_path("tokens"))["accessors"])


@app.command()
@with_output_option
def show(context: typer.Context, accessor: Accessor = "self", stdin: FromStdin = False) -> None:
    """Show a token's policies, age and what is left of it."""
    current = cli_context(context)
    if stdin:
        body = {"token": read_secret_line("Token")}
        current.print_result(current.client.call("POST", api_path("tokens/lookup"), body))
    else:
        current.print_result(current.client.call("GET", api_path("tokens", accessor)))


@app.command()
@with_output_option
def renew(
    context: typer.Context,
    accessor: Accessor = "self",
    increment: Annotated[str, typer.Option(help="Such as 1h; else as at its making.")] = "",
) -> None:
    """Make a token last longer."""
    current = cli_context(context)
    at = api_path("tokens", accessor, "renew")
    current.print_result(current.client.call("POST", at, without_empty(increment=increment)))


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
    client = cli_context(context).client
    if stdin:
        body: dict[str, Any] = {"token": read_secret_line("Token"), "keep_children": keep_children}
        client.call("POST", api_path("tokens/revoke"), body)
    else:
        client.call("DELETE", api_path("tokens", "self" if own else accessor))
