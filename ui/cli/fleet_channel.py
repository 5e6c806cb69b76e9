"""`freehold fleet channel …`: how people are told of alerts."""

from typing import Annotated, Any, Final

import typer

from ui.cli.arguments import without_empty
from ui.cli.context import with_output_option
from ui.cli.fleet_context import FleetContext, fleet
from ui.cli.input import read_secret_line

app = typer.Typer(help="How people are told: email, webhooks, Slack.", no_args_is_help=True)

COLUMNS: Final = (
    "name",
    "type",
    "enabled",
    "host",
    "severity",
    "failures",
    "waiting",
    "dead",
    "owner",
    "suspended",
    "id",
)
LETTERS: Final = ("created_at", "state", "attempts", "reason", "id")
Channel = Annotated[str, typer.Argument(help="Name or id of the channel.")]
Severity = Annotated[str, typer.Option(help="The least that is told: info, warning, critical.")]
Tag = Annotated[list[str] | None, typer.Option(help="Only of agents with it; repeat it.")]
Digest = Annotated[int, typer.Option(help="Seconds to collect for; 0: at once.")]


@app.command("list")
@with_output_option
def list_(context: typer.Context) -> None:
    """List the channels, and how they fare."""
    current = fleet(context)
    current.print_result(current.call("GET", "channels"), COLUMNS)


@app.command("add-webhook")
@with_output_option
def add_webhook(
    context: typer.Context,
    name: str,
    severity: Severity = "warning",
    tag: Tag = None,
    digest: Digest = 0,
) -> None:
    """Add a webhook; its address is asked for without echo. Its signing key is shown this once."""
    _add(
        context, name, "webhook", severity, tags=tag, digest=digest, url=read_secret_line("Address")
    )


@app.command("add-slack")
@with_output_option
def add_slack(
    context: typer.Context,
    name: str,
    severity: Severity = "warning",
    tag: Tag = None,
    digest: Digest = 0,
) -> None:
    """Add a Slack channel; the address of its incoming webhook is asked for without echo."""
    _add(context, name, "slack", severity, tags=tag, digest=digest, url=read_secret_line("Address"))


@app.command("add-email")
@with_output_option
def add_email(
    context: typer.Context,
    name: str,
    to: Annotated[list[str], typer.Argument(help="Addresses.")],
    severity: Severity = "warning",
    tag: Tag = None,
    digest: Digest = 0,
) -> None:
    """Add addresses that get mail by the control plane's own mail server."""
    _add(context, name, "email", severity, tags=tag, digest=digest, to=to)


@app.command()
@with_output_option
def test(context: typer.Context, channel: Channel) -> None:
    """Send one message now, and say what came of it."""
    current = fleet(context)
    current.print_result(current.call("POST", "channels", _id(current, channel), "test"))


@app.command()
@with_output_option
def adopt(context: typer.Context, channel: Channel) -> None:
    """Take a channel over: you own it, and a suspended one sends again, what waited for it too.

    Check first where it sends: its owner, who was removed or may less now, chose that.
    """
    current = fleet(context)
    current.print_result(current.call("POST", "channels", _id(current, channel), "adopt"), COLUMNS)


@app.command()
@with_output_option
def remove(context: typer.Context, channel: Channel) -> None:
    """Remove a channel and what waits for it."""
    current = fleet(context)
    current.call("DELETE", "channels", _id(current, channel))


@app.command()
@with_output_option
def dead(context: typer.Context, channel: Channel) -> None:
    """List what could not be delivered."""
    current = fleet(context)
    query = {"channel": _id(current, channel), "state": "dead"}
    current.print_result(current.call("GET", "deliveries", query=query), LETTERS)


@app.command()
@with_output_option
def replay(context: typer.Context, channel: Channel) -> None:
    """Try all that could not be delivered anew."""
    current = fleet(context)
    current.print_result(current.call("POST", "channels", _id(current, channel), "replay"))


def _add(context: typer.Context, name: str, kind: str, severity: str, **more: Any) -> None:
    current = fleet(context)
    body = without_empty(name=name, type=kind, severity=severity, **more)
    made = current.call("POST", "channels", body=body)
    key = {"key": made["key"]} if made["key"] else {}
    current.print_result({**key, **made["channel"]})


def _id(current: FleetContext, channel: str) -> str:
    """By name, else as it was given."""
    found = {row["name"]: row["id"] for row in current.call("GET", "channels")}
    return str(found.get(channel, channel))
