"""`freehold key …`: API keys of users."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from ui.cli import completion
from ui.cli.command_group import CommandGroup
from ui.cli.context import api_path, cli_context, without_empty
from ui.cli.errors import CliError, Exit
from ui.cli.output import print_note, print_text, print_warnings
from ui.cli.times import FUTURE, future_time

app = CommandGroup("API keys.")

KeyId = Annotated[str, typer.Argument(help="Id of the key.")]
User = Annotated[
    str, typer.Argument(help="Name of the user.", autocompletion=completion.user_names)
]


@app.command(
    "freehold key create ann laptop --expires-at 90d",
    "freehold key create ci build --allow read,list:secret/ci/* --raw > key",
)
def create(
    context: typer.Context,
    user: User,
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    expires_at: Annotated[str, typer.Option(help=f"Expiry: {FUTURE}.")] = "",
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Restrict it to capability,capability:path; may be repeated."),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Print the key alone, for scripts.")] = False,
) -> None:
    """Create an API key. It is shown once."""
    body = without_empty(
        user=user,
        name=name,
        expires_at=future_time(expires_at, "--expires-at"),
        permissions=[_permission(text) for text in allow or []],
    )
    current = cli_context(context)
    made = current.client.call("POST", api_path("keys"), body)
    if raw:
        print_text(made["key"])
        print_warnings(made)
        return
    current.print_result(made)
    print_note("Store the key now; it cannot be shown again.")


@app.command("freehold key list ann", name="list")
def list_(context: typer.Context, user: User) -> None:
    """List a user's API keys, and when each was last used."""
    current = cli_context(context)
    columns = ("id", "name", "status", "expires_at", "last_used", "uses")
    found = current.client.call("GET", api_path("keys"), query={"user": user})["keys"]
    current.print_result(found, columns)


@app.command("freehold key get 0192f1c4-5d0e-7c3a-9b7e-3f2a1c5d8e90")
def get(context: typer.Context, key_id: KeyId) -> None:
    """Show everything of an API key but the key itself."""
    current = cli_context(context)
    with _explain_ids():
        found = current.client.call("GET", api_path("keys", key_id))
    current.print_result(found)


@app.command("freehold key revoke 0192f1c4-5d0e-7c3a-9b7e-3f2a1c5d8e90")
def revoke(context: typer.Context, key_id: KeyId) -> None:
    """Revoke an API key: its next request is refused."""
    with _explain_ids():
        cli_context(context).client.call("DELETE", api_path("keys", key_id))
    print_note(f"API key {key_id} is revoked")


@contextmanager
def _explain_ids() -> Iterator[None]:
    """Whoever gives the name that `create` took is told where the id is."""
    try:
        yield
    except CliError as error:
        if error.exit_code is not Exit.NOT_FOUND:
            raise
        why = f"{error}; give the key's id: `freehold key list USER` shows it"
        raise CliError(why, error.exit_code) from None


def _permission(text: str) -> dict[str, list[str]]:
    capabilities, colon, path = text.partition(":")
    if not colon:
        raise typer.BadParameter("--allow must look like read,list:secret/app/*")
    return {"capabilities": capabilities.split(","), "paths": [path]}
