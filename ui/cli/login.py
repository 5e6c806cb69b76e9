"""`freehold status`, `login` and `logout`."""

from dataclasses import replace
from typing import Annotated

import typer

from ui.cli.connection_settings import (
    AGENT,
    ConnectionSettings,
    ServerKind,
    delete_token,
    save_token,
    token_path,
    token_variable,
)
from ui.cli.context import CliContext, api_path, cli_context
from ui.cli.errors import CliError, Exit
from ui.cli.input import read_secret_line
from ui.cli.output import print_note


def status(context: typer.Context) -> None:
    """Show whether the agent runs, is initialized and unsealed. Exit code 2 while it is sealed."""
    current = cli_context(context)
    state = current.client.call("GET", "/v1/sys/seal-status")
    own = current.client.call("GET", "/health/live")["version"]
    current.print_result({**state, "version": own, "speaks": f"OpenBao {state['version']}"})
    if state["sealed"]:
        raise typer.Exit(Exit.SEALED)


def login(
    context: typer.Context,
    method: Annotated[
        str, typer.Option(help="userpass or another method that asks for a password.")
    ] = "",
    username: Annotated[str, typer.Option(help="Your name there.")] = "",
    path: Annotated[str, typer.Option(help="Where the method is mounted.")] = "",
) -> None:
    """Check a token or API key, or log in by a method; asks without echo or reads stdin."""
    from ui.cli.client import ApiClient

    current = cli_context(context)
    token = _log_in(current, path or method, username) if method else read_secret_line("Token")
    found = ConnectionSettings.from_environment(current.address, use_stored=False)
    client = ApiClient(replace(found, token=token, variable=""))
    told = client.call("GET", api_path("policies-effective"))
    save_token(token)
    print_token_location(AGENT)
    names = [policy["name"] for policy in told["policies"]]
    if told["root"]:
        names.insert(0, "root")
    current.print_result({"root": told["root"], "policies": names})


def _log_in(current: CliContext, path: str, username: str) -> str:
    """The token of a login with a name and a password."""
    if not username:
        raise CliError("say who you are with --username")
    body = {"password": read_secret_line("Password")}
    place = api_path("auth", "login", path, "login", username)
    token: str = current.client.call("POST", place, body)["token"]
    return token


def logout() -> None:
    """Remove the token that `login` stored. It stays valid: `token revoke --self` revokes it."""
    delete_token()


def print_token_location(peer: ServerKind) -> None:
    """Say where the token is kept, and whether anything will use it."""
    print_note(f"stored in {token_path(peer)}")
    if variable := token_variable(peer):
        print_note(f"{variable} is set and wins over it: `unset {variable}`")
