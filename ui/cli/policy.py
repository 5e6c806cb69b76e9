"""`freehold policy …`: write, read and try policies."""

from pathlib import Path
from typing import Annotated, Final

import typer

from ui.cli.api_path import api_path
from ui.cli.arguments import without_empty
from ui.cli.context import cli_context, with_output_option
from ui.cli.errors import Exit
from ui.cli.input import read_value
from ui.cli.output import OutputFormat, print_json, print_note
from ui.cli.policy_replay import replay

app = typer.Typer(help="Who may do what.", no_args_is_help=True)
app.command()(replay)

_SOURCES: Final = ("local", "control_plane")
Name = Annotated[str, typer.Argument(help="Name of the policy.")]


@app.command("list")
@with_output_option
def list_(context: typer.Context) -> None:
    """List the policies, and whose they are: of this agent or of its control plane."""
    current = cli_context(context)
    found = current.client.call("GET", api_path("policies"))
    rows = [
        {"name": name, "source": [each for each in _SOURCES if name in found[each]]}
        for name in found["policies"]
    ]
    if current.output_format is OutputFormat.TABLE:
        rows = [row | {"source": ", ".join(row["source"])} for row in rows]
    current.print_result(rows)


@app.command()
def read(context: typer.Context, name: Name) -> None:
    """Show a policy as JSON, as `write` takes it."""
    found = cli_context(context).client.call("GET", api_path("policies", name))
    if found.pop("source", "") == "control_plane":
        print_note(f"{name} is a policy of the control plane: it is changed there, and not here")
    print_json(found)


@app.command()
@with_output_option
def write(
    context: typer.Context,
    name: Name,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="JSON; else stdin.")] = None,
) -> None:
    """Write a policy (JSON from stdin by default); it is in force at once."""
    current = cli_context(context)
    policy = read_value(file, None, as_json=True)
    current.print_result(current.client.call("PUT", api_path("policies", name), policy))


@app.command()
def delete(context: typer.Context, name: Name) -> None:
    """Delete a policy; it is out of force at once."""
    cli_context(context).client.call("DELETE", api_path("policies", name))
    print_note(f"policy {name} is deleted and out of force")


@app.command()
def effective(context: typer.Context) -> None:
    """Show the policies that count for you, as JSON."""
    print_json(cli_context(context).client.call("GET", api_path("policies-effective")))


@app.command()
@with_output_option
def check(
    context: typer.Context,
    capability: Annotated[str, typer.Argument(help="create, read, update, delete, list …")],
    path: Annotated[str, typer.Argument(help="Such as secret/app/db.")],
    user: Annotated[str, typer.Option(help="For this user, not for you.")] = "",
    policy: Annotated[list[str] | None, typer.Option(help="With these policies.")] = None,
    ip: Annotated[str, typer.Option(help="From this address.")] = "",
    at: Annotated[str, typer.Option(help="At this RFC 3339 time.")] = "",
) -> None:
    """Would this be allowed, by which rule, and what is missing? Exit 4 when it would not."""
    current = cli_context(context)
    body = without_empty(capability=capability, path=path, user=user, policies=policy, ip=ip, at=at)
    decision = current.client.call("POST", api_path("policies-dry-run"), body)
    if current.output_format is OutputFormat.TABLE:
        for name in decision.pop("unknown", ()):
            print_note(f"Warning: there is no policy {name}: it allows and denies nothing")
    current.print_result(decision)
    if not decision["allowed"]:
        raise typer.Exit(Exit.DENIED)
