"""`freehold token …`: credentials that expire, are renewed, and end with their parent."""

from typing import Annotated, Any

import typer

from ui.cli import completion
from ui.cli.command_group import CommandGroup
from ui.cli.context import api_path, cli_context, parse_pairs, without_empty
from ui.cli.input import read_secret_line
from ui.cli.output import print_note, print_text, print_warnings

app = CommandGroup("Credentials that expire.")

Accessor = Annotated[str, typer.Argument(help="Accessor; without it your own token.")]
FromStdin = Annotated[
    bool, typer.Option("--stdin", help="Read the token itself from stdin, or ask for it.")
]


@app.command(
    "freehold token create --policy app-read --ttl 1h",
    "freehold token create --policy app-read --period 24h --raw > token",
)
def create(
    context: typer.Context,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="A policy, else your own; may be repeated.",
            autocompletion=completion.policy_names,
        ),
    ] = None,
    ttl: Annotated[str, typer.Option(help="Such as 1h30m.")] = "",
    explicit_max_ttl: Annotated[
        str, typer.Option(help="No renewal beyond this, such as 24h.")
    ] = "",
    period: Annotated[str, typer.Option(help="Renewable without end, this long each time.")] = "",
    num_uses: Annotated[int, typer.Option(help="Requests it is good for; 0: no limit.")] = 0,
    display_name: Annotated[str, typer.Option(help="Name in the audit log.")] = "",
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", "-m", help="key=value")
    ] = None,
    orphan: Annotated[
        bool, typer.Option("--orphan", help="Not revoked with your own token.")
    ] = False,
    renewable: Annotated[bool, typer.Option(help="Whether it can be renewed.")] = True,
    default_policy: Annotated[
        bool, typer.Option(help="Whether the policy `default` applies too.")
    ] = True,
    raw: Annotated[bool, typer.Option("--raw", help="Print the token alone, for scripts.")] = False,
) -> None:
    """Create a token. It is shown once."""
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
    print_note("Store the token now; it cannot be shown again.")


@app.command("freehold token list", name="list")
def list_(context: typer.Context) -> None:
    """List the accessors of all tokens."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", api_path("tokens"))["accessors"])


@app.command("freehold token get", "freehold token get --stdin < token")
def get(context: typer.Context, accessor: Accessor = "self", stdin: FromStdin = False) -> None:
    """Show a token's policies, its age and the time left."""
    current = cli_context(context)
    if stdin:
        body = {"token": read_secret_line("Token")}
        current.print_result(current.client.call("POST", api_path("tokens/lookup"), body))
    else:
        current.print_result(current.client.call("GET", api_path("tokens", accessor)))


@app.command("freehold token renew", "freehold token renew --increment 1h")
def renew(
    context: typer.Context,
    accessor: Accessor = "self",
    increment: Annotated[str, typer.Option(help="Such as 1h; else as at its creation.")] = "",
) -> None:
    """Extend the life of a token."""
    current = cli_context(context)
    at = api_path("tokens", accessor, "renew")
    current.print_result(current.client.call("POST", at, without_empty(increment=increment)))


@app.command("freehold token revoke --self", "freehold token revoke --stdin < token")
def revoke(
    context: typer.Context,
    accessor: Annotated[str, typer.Argument(help="Accessor.")] = "",
    stdin: FromStdin = False,
    own: Annotated[bool, typer.Option("--self", help="Your own token.")] = False,
    keep_children: Annotated[
        bool,
        typer.Option(
            "--keep-children", help="With --stdin: tokens created with it stay, as orphans."
        ),
    ] = False,
) -> None:
    """Revoke a token and every token created with it: the next request is refused."""
    if (bool(accessor) + stdin + own) != 1:
        raise typer.BadParameter("give an accessor, --stdin or --self")
    if keep_children and not stdin:
        raise typer.BadParameter("--keep-children needs --stdin")
    client = cli_context(context).client
    if stdin:
        body: dict[str, Any] = {"token": read_secret_line("Token"), "keep_children": keep_children}
        client.call("POST", api_path("tokens/revoke"), body)
    else:
        client.call("DELETE", api_path("tokens", "self" if own else accessor))
    print_note("the token is revoked")
