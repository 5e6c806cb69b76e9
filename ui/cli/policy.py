"""`freehold policy …`: write, read and try policies."""

from pathlib import Path
from typing import Annotated, Final

import typer

from ui.cli.errors import Exit
from ui.cli.output import Format, document, tell
from ui.cli.pairs import given
from ui.cli.policy_replay import replay
from ui.cli.route import route
from ui.cli.session import session, shown
from ui.cli.source import read_value

app = typer.Typer(help="Who may do what.", no_args_is_help=True)
app.command()(replay)

_SOURCES: Final = ("local", "control_plane")
Name = Annotated[str, typer.Argument(help="Name of the policy.")]


@app.command("list")
@shown
def list_(context: typer.Context) -> None:
    """List the policies, and whose they are: of this agent or of its control plane."""
    current = session(context)
    found = current.client.call("GET", route("policies"))
    rows = [
        {"name": name, "source": [each for each in _SOURCES if name in found[each]]}
        for name in found["policies"]
    ]
    if current.form is Format.TABLE:
        rows = [row | {"source": ", ".join(row["source"])} for row in rows]
    current.show(rows)


@app.command()
def read(context: typer.Context, name: Name) -> None:
    """Show a policy as JSON, as `write` takes it."""
    found = session(context).client.call("GET", route("policies", name))
    if found.pop("source", "") == "control_plane":
        tell(f"{name} is a policy of the control plane: it is changed there, and not here")
    document(found)


@app.command()
@shown
def write(
    context: typer.Context,
    name: Name,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="JSON; else stdin.")] = None,
) -> None:
    """Write a policy (JSON from stdin by default); it is in force at once."""
    current = session(context)
    policy = read_value(file, None, as_json=True)
    current.show(current.client.call("PUT", route("policies", name), policy))


@app.command()
def delete(context: typer.Context, name: Name) -> None:
    """Delete a policy; it is out of force at once."""
    session(context).client.call("DELETE", route("policies", name))
    tell(f"policy {name} is deleted and out of force")


@app.command()
def effective(context: typer.Context) -> None:
    """Show the policies that count for you, as JSON."""
    document(session(context).client.call("GET", route("policies-effective")))


@app.command()
@shown
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
    current = session(context)
    body = given(capability=capability, path=path, user=user, policies=policy, ip=ip, at=at)
    decision = current.client.call("POST", route("policies-dry-run"), body)
    if current.form is Format.TABLE:
        for name in decision.pop("unknown", ()):
            tell(f"Warning: there is no policy {name}: it allows and denies nothing")
    current.show(decision)
    if not decision["allowed"]:
        raise typer.Exit(Exit.DENIED)
