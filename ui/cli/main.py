"""The `freehold` command: its groups, its global options, and how it ends."""

import sys
from typing import Annotated

import typer

from ui.cli import agent, audit, key, operator, policy, secret
from ui.cli.errors import CliError, Exit
from ui.cli.output import Format, tell
from ui.cli.run import run
from ui.cli.session import Session, session
from ui.cli.settings import save_token

app = typer.Typer(
    help="Freehold: secrets on the ground of whoever owns them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with locals could show a secret
)
app.add_typer(agent.app, name="agent")
app.add_typer(operator.app, name="operator")
app.add_typer(secret.app, name="secret")
app.add_typer(policy.app, name="policy")
app.add_typer(key.app, name="key")
app.add_typer(audit.app, name="audit")
app.command(context_settings={"allow_interspersed_args": False})(run)


@app.callback()
def options(
    context: typer.Context,
    address: Annotated[str | None, typer.Option(help="The agent; else FREEHOLD_ADDR.")] = None,
    output: Annotated[Format, typer.Option("--output", "-o")] = Format.TABLE,
) -> None:
    """Secrets on the ground of whoever owns them."""
    context.obj = Session(address, output)


@app.command()
def status(context: typer.Context) -> None:
    """Show whether the agent is up, initialised and unsealed. Exit 2 while it is sealed."""
    current = session(context)
    state = current.client.call("GET", "/v1/sys/seal-status")
    current.show(state)
    if state["sealed"]:
        raise typer.Exit(Exit.SEALED)


@app.command()
def login(context: typer.Context) -> None:
    """Check a token (asked for without echo, or from stdin) and keep it for later commands."""
    from ui.cli.client import Client
    from ui.cli.settings import Settings

    current = session(context)
    token = (
        typer.prompt("Token", hide_input=True, err=True)
        if sys.stdin.isatty()
        else sys.stdin.readline().strip()
    )
    found = Settings.from_environment(current.address)
    client = Client(
        Settings(found.address, token, found.ca_file, found.client_cert, found.client_key)
    )
    told = client.call("GET", "/v1/auth/token/lookup-self")
    save_token(token)
    current.show({"accessor": told["data"]["accessor"], "policies": told["data"]["policies"]})


def main() -> None:
    """Run the command; a `CliError` becomes one line and its exit code."""
    try:
        app()
    except CliError as error:
        tell(f"freehold: {error}")
        sys.exit(error.exit_code)
