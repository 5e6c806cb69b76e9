"""`freehold status`, `login` and `logout`."""

from dataclasses import replace

import typer

from ui.cli.errors import Exit
from ui.cli.output import tell
from ui.cli.route import route
from ui.cli.session import session
from ui.cli.settings import AGENT, Peer, Settings, forget_token, save_token, token_path, variable_of
from ui.cli.source import read_line


def status(context: typer.Context) -> None:
    """Show whether the agent is up, initialised and unsealed. Exit 2 while it is sealed."""
    current = session(context)
    state = current.client.call("GET", "/v1/sys/seal-status")
    own = current.client.call("GET", "/health/live")["version"]
    current.show({**state, "version": own, "speaks": f"OpenBao {state['version']}"})
    if state["sealed"]:
        raise typer.Exit(Exit.SEALED)


def login(context: typer.Context) -> None:
    """Check a token or API key (asked for without echo, or from stdin) and keep it."""
    from ui.cli.client import Client

    current = session(context)
    token = read_line("Token")
    found = Settings.from_environment(current.address, saved=False)
    client = Client(replace(found, token=token, variable=""))
    told = client.call("GET", route("policies-effective"))
    save_token(token)
    tell_kept(AGENT)
    names = [policy["name"] for policy in told["policies"]]
    if told["root"]:
        names.insert(0, "root")
    current.show({"root": told["root"], "policies": names})


def logout() -> None:
    """Remove the token that `login` kept. It stays valid: `token revoke --self` ends it."""
    forget_token()


def tell_kept(peer: Peer) -> None:
    """Say where the token is kept, and whether anything will use it."""
    tell(f"kept in {token_path(peer)}")
    if variable := variable_of(peer):
        tell(f"{variable} is set and wins over it: `unset {variable}`")
