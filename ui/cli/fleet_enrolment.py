"""How agents get in: `freehold fleet enrolment-token|pending|approve|refuse`."""

from typing import Annotated, Final

import typer

from ui.cli.context import with_output_option
from ui.cli.fleet_context import fleet
from ui.cli.output import print_note

tokens = typer.Typer(help="Tokens that let an agent in, once.", no_args_is_help=True)

TOKENS: Final = ("id", "vault", "created_by", "expires_at", "used_at")
JOINS: Final = ("id", "fingerprint", "label", "source", "requested_at")
Vault = Annotated[str, typer.Argument(help="Name of the agent's vault.")]
Join = Annotated[str, typer.Argument(help="Id of the request; `pending` lists them.")]
Replace = Annotated[bool, typer.Option("--replace", help="It may take over an agent's name.")]


@tokens.command("create")
@with_output_option
def create(context: typer.Context, vault: Vault, replace: Replace = False) -> None:
    """Make a token for one agent, good for ten minutes. It is shown this once."""
    current = fleet(context)
    body = {"vault": vault, "replace": replace}
    made = current.call("POST", "enrolment-tokens", body=body)
    control = made["control"] or "https://HOST:PORT"
    told = {"token": made["secret"], "pin": made["pin"], "control": made["control"]}
    current.print_result({**told, **made["token"]})
    print_note(
        f"On the agent's machine: freehold agent enrol --control {control} --pin {made['pin']}"
    )
    if not made["control"]:
        print_note("HOST:PORT is where agents reach the control plane: `link` in its settings.")


@tokens.command("list")
@with_output_option
def list_(context: typer.Context) -> None:
    """List the tokens, without their text."""
    current = fleet(context)
    current.print_result(current.call("GET", "enrolment-tokens"), TOKENS)


@tokens.command()
def withdraw(context: typer.Context, token: Annotated[str, typer.Argument(help="Its id.")]) -> None:
    """Make a token worthless."""
    fleet(context).call("DELETE", "enrolment-tokens", token)


@with_output_option
def pending(context: typer.Context) -> None:
    """List the agents that ask to join and wait for a person."""
    current = fleet(context)
    current.print_result(current.call("GET", "joins"), JOINS)


@with_output_option
def approve(
    context: typer.Context,
    join: Join,
    vault: Vault,
    fingerprint: Annotated[str, typer.Option(help="As the agent itself shows it; compare both.")],
    replace: Replace = False,
) -> None:
    """Let an agent in under this name."""
    current = fleet(context)
    body = {"vault": vault, "fingerprint": fingerprint, "replace": replace}
    current.print_result(current.call("POST", "joins", join, "approve", body=body))


@with_output_option
def refuse(context: typer.Context, join: Join) -> None:
    """Turn an agent away."""
    current = fleet(context)
    current.print_result(current.call("POST", "joins", join, "refuse"))
