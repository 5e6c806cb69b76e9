"""`freehold fleet channel …`: where alerts are sent."""

from typing import Annotated, Any, Final, Literal

import typer

from ui.cli.command_group import CommandGroup
from ui.cli.context import Yes, confirm, without_empty
from ui.cli.fleet_context import FleetContext, fleet
from ui.cli.input import read_secret_line
from ui.cli.output import print_note
from ui.cli.times import duration

app = CommandGroup("Where alerts are sent: email, webhooks, Slack.")
creation = CommandGroup("Create a channel.")
app.add_group(creation, "create")

COLUMNS: Final = (
    *("name", "type", "enabled", "host", "severity", "failures", "waiting", "dead", "owner"),
    *("suspended", "id"),
)
DELIVERIES: Final = ("created_at", "state", "attempts", "reason", "id")
NewName = Annotated[str, typer.Argument(help="Name of the channel.")]
Channel = Annotated[str, typer.Argument(help="Name or id of the channel.")]
Severity = Annotated[
    Literal["info", "warning", "critical"], typer.Option(help="The least severity that is sent.")
]
Tag = Annotated[
    list[str] | None, typer.Option(help="Only alerts of agents with this tag; may be repeated.")
]
Digest = Annotated[
    str, typer.Option(help="Collect alerts for this time, such as 15m; 0s: send at once.")
]


@app.command("freehold fleet channel list", name="list")
def list_(context: typer.Context) -> None:
    """List the channels and the state of each."""
    current = fleet(context)
    current.print_result(current.call("GET", "channels"), COLUMNS)


@creation.command("freehold fleet channel create webhook pager --severity critical < url.txt")
def webhook(
    context: typer.Context,
    name: NewName,
    severity: Severity = "warning",
    tag: Tag = None,
    digest: Digest = "0s",
) -> None:
    """Create a webhook. Its URL is asked for without echo; its signing key is shown once."""
    _create(
        context, name, "webhook", severity, tags=tag, digest=duration(digest, "--digest"),
        url=read_secret_line("URL"),
    )  # fmt: skip


@creation.command("freehold fleet channel create slack operations --tag eu < url.txt")
def slack(
    context: typer.Context,
    name: NewName,
    severity: Severity = "warning",
    tag: Tag = None,
    digest: Digest = "0s",
) -> None:
    """Create a Slack channel. The URL of its incoming webhook is asked for without echo."""
    _create(
        context, name, "slack", severity, tags=tag, digest=duration(digest, "--digest"),
        url=read_secret_line("URL"),
    )  # fmt: skip


@creation.command("freehold fleet channel create email team ops@acme.example --digest 15m")
def email(
    context: typer.Context,
    name: NewName,
    to: Annotated[list[str], typer.Argument(help="Email addresses.")],
    severity: Severity = "warning",
    tag: Tag = None,
    digest: Digest = "0s",
) -> None:
    """Create a channel of email addresses, sent by the control plane's own mail server."""
    _create(context, name, "email", severity, tags=tag, digest=duration(digest, "--digest"), to=to)


@app.command("freehold fleet channel test pager")
def test(context: typer.Context, channel: Channel) -> None:
    """Send one message now and show the result."""
    current = fleet(context)
    current.print_result(current.call("POST", "channels", _id(current, channel), "test"))


@app.command("freehold fleet channel adopt pager")
def adopt(context: typer.Context, channel: Channel) -> None:
    """Become the owner of a channel. A suspended one sends again, also what waited for it.

    Check first where it sends: its previous owner, who was removed or has fewer rights now, chose
    that.
    """
    current = fleet(context)
    current.print_result(current.call("POST", "channels", _id(current, channel), "adopt"), COLUMNS)


@app.command("freehold fleet channel delete pager", "freehold fleet channel delete pager --yes")
def delete(context: typer.Context, channel: Channel, yes: Yes = False) -> None:
    """Delete a channel and the messages that wait for it."""
    confirm(f"Delete the channel {channel} and the messages that wait for it?", yes=yes)
    current = fleet(context)
    current.call("DELETE", "channels", _id(current, channel))
    print_note(f"channel {channel} is deleted")


@app.command("freehold fleet channel failed pager")
def failed(context: typer.Context, channel: Channel) -> None:
    """List the messages that could not be delivered."""
    current = fleet(context)
    query = {"channel": _id(current, channel), "state": "dead"}
    current.print_result(current.call("GET", "deliveries", query=query), DELIVERIES)


@app.command("freehold fleet channel retry pager")
def retry(context: typer.Context, channel: Channel) -> None:
    """Send all messages again that could not be delivered."""
    current = fleet(context)
    current.print_result(current.call("POST", "channels", _id(current, channel), "replay"))


def _create(context: typer.Context, name: str, kind: str, severity: str, **more: Any) -> None:
    current = fleet(context)
    body = without_empty(name=name, type=kind, severity=severity, **more)
    made = current.call("POST", "channels", body=body)
    key = {"key": made["key"]} if made["key"] else {}
    current.print_result({**key, **made["channel"]})


def _id(current: FleetContext, channel: str) -> str:
    """By name, else as it was given."""
    found = {row["name"]: row["id"] for row in current.call("GET", "channels")}
    return str(found.get(channel, channel))
