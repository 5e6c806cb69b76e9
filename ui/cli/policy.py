"""`freehold policy …`: write, read and try policies."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ui.cli.client import path_of
from ui.cli.session import session
from ui.cli.source import read_value

app = typer.Typer(help="Who may do what.", no_args_is_help=True)

PREFIX = "/api/v1/policies/"


@app.command("list")
def list_(context: typer.Context) -> None:
    """List the policies' names."""
    current = session(context)
    current.show(current.client.call("GET", "/api/v1/policies")["policies"])


@app.command()
def read(context: typer.Context, name: str) -> None:
    """Show a policy as JSON."""
    found = session(context).client.call("GET", path_of(PREFIX, name))
    typer.echo(json.dumps(found, indent=2, ensure_ascii=False))


@app.command()
def write(
    context: typer.Context,
    name: str,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="JSON; else stdin.")] = None,
) -> None:
    """Write a policy (JSON from stdin by default); it is in force at once."""
    current = session(context)
    document = read_value(file, None, as_json=True)
    current.show(current.client.call("PUT", path_of(PREFIX, name), document))


@app.command()
def delete(context: typer.Context, name: str) -> None:
    """Delete a policy; it is out of force at once."""
    session(context).client.call("DELETE", path_of(PREFIX, name))


@app.command()
def effective(context: typer.Context) -> None:
    """Show the policies that count for you."""
    current = session(context)
    current.show(current.client.call("GET", "/api/v1/policies-effective"))


@app.command()
def check(
    context: typer.Context,
    capability: str,
    path: str,
    user: Annotated[str | None, typer.Option(help="For this user, not for you.")] = None,
    policy: Annotated[list[str] | None, typer.Option(help="With these policies.")] = None,
    ip: Annotated[str | None, typer.Option(help="From this address.")] = None,
) -> None:
    """Would this be allowed, by which rule, and what is missing? Exit 4 when it would not."""
    current = session(context)
    body: dict[str, Any] = {"capability": capability, "path": path}
    body |= {"user": user} if user else {}
    body |= {"policies": policy} if policy else {}
    body |= {"ip": ip} if ip else {}
    decision = current.client.call("POST", "/api/v1/policies-dry-run", body)
    current.show(decision)
    if not decision["allowed"]:
        raise typer.Exit(4)
