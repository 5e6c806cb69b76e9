"""`freehold key …`: API keys of users."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from ui.cli.api_path import api_path
from ui.cli.arguments import without_empty
from ui.cli.context import cli_context, with_output_option
from ui.cli.errors import CliError, Exit
from ui.cli.output import print_note, print_text, print_warnings

app = typer.Typer(help="API keys.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(help="Id of the key.")]


@app.command()
@with_output_option
def create(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="Name of the user whose key it is.")],
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    expires_at: Annotated[str, typer.Option(help="RFC 3339 time.")] = "",
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Cut it down: capability,capability:path; may be repeated."),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="The key alone, for scripts.")] = False,
) -> None:
    """Make a key. It is shown once."""
    current = cli_context(context)
    permissions = [_permission(text) for text in allow or []]
    body = without_empty(user=user, name=name, expires_at=expires_at, permissions=permissions)
    made = current.client.call("POST", api_path("keys"), body)
    if raw:
        print_text(made["key"])
        print_warnings(made)
        return
    current.print_result(made)
    print_note("Keep the key now; it cannot be shown again.")


@app.command("list")
@with_output_option
def list_(
    context: typer.Context, user: Annotated[str, typer.Argument(help="Name of the user.")]
) -> None:
    """List a user's keys, with when each was last used."""
    current = cli_context(context)
    columns = ("id", "name", "status", "expires_at", "last_used", "uses")
    found = current.client.call("GET", api_path("keys"), query={"user": user})["keys"]
    current.print_result(found, columns)


@app.command()
@with_output_option
def show(context: typer.Context, key_id: KeyId) -> None:
    """Show everything but the key itself."""
    current = cli_context(context)
    with _by_id():
        found = current.client.call("GET", api_path("keys", key_id))
    current.print_result(found)


@app.command()
def revoke(context: typer.Context, key_id: KeyId) -> None:
    """Revoke a key: its next request is refused."""
    with _by_id():
        cli_context(context).client.call("DELETE", api_path("keys", key_id))


@contextmanager
def _by_id() -> Iterator[None]:
    """Whoever gives the name that `create` took is told where the id is."""
    try:
        yield
    except CliError as error:
        if error.exit_code is not Exit.NOT_FOUND:
            raise
        why = f"{error}; a key is named by its id here: `freehold key list USER` shows it"
        raise CliError(why, error.exit_code) from None


def _permission(text: str) -> dict[str, list[str]]:
    capabilities, colon, path = text.partition(":")
    if not colon:
        raise typer.BadParameter("must look like read,list:secret/app/*")
    return {"capabilities": capabilities.split(","), "paths": [path]}
