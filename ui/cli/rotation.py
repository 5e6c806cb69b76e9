"""`freehold rotation …`: credentials that are changed at their targets."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from ui.cli.command_group import CommandGroup
from ui.cli.context import (
    CliContext,
    Yes,
    api_path,
    cli_context,
    confirm,
    fetch_pages,
    without_empty,
)
from ui.cli.output import print_note
from ui.cli.times import PAST, duration, past_time

app = CommandGroup("Rotate credentials at their targets.")
COLUMNS = (
    "path", "number", "state", "rotator", "began_at", "next_at", "laggards", "error_code"
)  # fmt: skip

Secret = Annotated[str, typer.Argument(metavar="PATH", help="The secret.")]
Place = Annotated[
    str, typer.Argument(metavar="PATH", help="A secret, or a folder with its closing slash.")
]
Prefix = Annotated[str, typer.Option(help="Only what is in this folder.")]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", help="Only secrets with this tag. Repeatable.")
]
OUTCOMES = ("path", "outcome", "number", "state", "message")


@app.command(
    "freehold rotation status",
    "freehold rotation status --state stuck",
    "freehold rotation status --running --tag env=prod",
)
def status(
    context: typer.Context,
    prefix: Prefix = "",
    tag: Tags = None,
    state: Annotated[str, typer.Option(help="Only rotations in this state.")] = "",
    running: Annotated[
        bool, typer.Option("--running", help="Only rotations that have a next step.")
    ] = False,
) -> None:
    """List the rotations that are kept, running or over, and who has not fetched the new value."""
    current = cli_context(context)
    query = _selection(prefix, tag) | without_empty(state=state, running=running or None)
    found = fetch_pages(current.client, api_path("rotations"), "rotations", query)
    rows = [row | {"laggards": (row["adoption"] or {}).get("laggards", [])} for row in found]
    current.print_result(rows, COLUMNS)


@app.command("freehold rotation plan --days 30", "freehold rotation plan --tag env=prod")
def plan(
    context: typer.Context,
    prefix: Prefix = "",
    tag: Tags = None,
    days: Annotated[int, typer.Option(min=0, max=3650, help="How far to look ahead.")] = 7,
) -> None:
    """List the secrets that are due, when, and by whose policy: their own or that of a folder."""
    from actors.world import SystemWorld
    from protocols.instant import DAY, rfc3339

    current = cli_context(context)
    query = _selection(prefix, tag) | {"before": rfc3339(SystemWorld().now() + days * DAY)}
    found = fetch_pages(current.client, api_path("rotations", "plan"), "secrets", query)
    current.print_result(list(found), ("path", "due_at", "source"))


@app.command("freehold rotation history secret/db/app")
def history(context: typer.Context, secret: Secret) -> None:
    """Show the policy of a secret, and how its last rotations went."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", api_path("rotation", secret)))


@app.command(
    "freehold rotation run secret/db/app",
    "freehold rotation run --tag env=prod --spread 1h",
    "freehold rotation run --prefix secret/db/ --dry-run",
)
def run(
    context: typer.Context,
    secret: Annotated[str, typer.Argument(metavar="[PATH]", help="The secret.")] = "",
    prefix: Prefix = "",
    tag: Tags = None,
    spread: Annotated[
        str, typer.Option(help="Of many secrets: each begins at some time within it, as 1h.")
    ] = "",
    since: Annotated[
        str, typer.Option(help=f"Of many secrets: leave out what was rotated since, as {PAST}.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Of many secrets: say what would be rotated.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Rotate a secret now, or all in a folder or with a tag. Old values work for their grace."""
    current = cli_context(context)
    if secret:
        if prefix or tag or spread or since or dry_run:
            raise typer.BadParameter("give a secret, or --prefix and --tag with their options")
        current.print_result(current.client.call("POST", api_path("rotate", secret)))
        return
    body = {
        "prefix": prefix,
        "tags": tag or [],
        "since": past_time(since, "--since"),
        "spread": duration(spread, "--spread"),
    }
    planned = _run_many(current, body | {"dry_run": True})
    body["since"] = planned.since
    count = sum(item["outcome"] == "ready" for item in planned.secrets)
    if dry_run or not count:
        current.print_result(planned.secrets, OUTCOMES)
        print_note(planned.summary())
        return
    confirm(f"{planned.summary()}\nRotate {count} now?", yes=yes)
    print_note(f"if this is interrupted, go on with --since {planned.since}")
    done = _run_many(current, body)
    current.print_result(done.secrets, OUTCOMES)
    print_note(done.summary())


@dataclass
class _Run:
    """What came of the secrets of all pages."""

    secrets: list[dict[str, Any]] = field(default_factory=list)
    hidden: int = 0
    since: str = ""

    def summary(self) -> str:
        """How many came to what, those that are not shown included."""
        counts = Counter(item["outcome"] for item in self.secrets)
        parts = [f"{counts[name]} {name}" for name in ("ready", "begun", "refused") if counts[name]]
        if self.hidden:
            parts.append(f"{self.hidden} whose tags you may not read")
        return f"secrets: {', '.join(parts) or 'none'}"


def _run_many(current: CliContext, body: dict[str, Any]) -> _Run:
    run, asked = _Run(), dict(body)
    while True:
        page = current.client.call("POST", api_path("rotations", "run"), asked)
        run.secrets += page["secrets"]
        run.hidden += page["hidden"]
        run.since = page["since"]
        if not page["cursor"]:
            return run
        asked |= {"cursor": page["cursor"], "since": page["since"]}


def _selection(prefix: str, tag: list[str] | None) -> dict[str, object]:
    return {"prefix": prefix} | without_empty(tags=",".join(tag or ()))


@app.command("freehold rotation resume secret/db/app")
def resume(context: typer.Context, secret: Secret) -> None:
    """Try the step again that a rotation is stuck at, once its cause is gone."""
    current = cli_context(context)
    current.print_result(current.client.call("POST", api_path("rotation-resume", secret)))


@app.command("freehold rotation abandon secret/db/app")
def abandon(context: typer.Context, secret: Secret, yes: Yes = False) -> None:
    """Give up a rotation that is stuck. Its target is left as it is: the result says what stays."""
    current = cli_context(context)
    confirm(f"Give up the rotation of {secret}, and leave its target as it is?", yes=yes)
    current.print_result(current.client.call("POST", api_path("rotation-abandon", secret)))


@app.command("freehold rotation undo secret/db/app")
def undo(context: typer.Context, secret: Secret) -> None:
    """Undo a rotation whose value is not current yet."""
    current = cli_context(context)
    current.print_result(current.client.call("POST", api_path("rotation-undo", secret)))


@app.command(
    "freehold rotation set secret/db/app policy.json",
    "freehold rotation set secret/db/ policy.json",
    name="set",
)
def set_(
    context: typer.Context,
    place: Place,
    file: Annotated[Path, typer.Argument(help="The policy, as JSON.", dir_okay=False, exists=True)],
) -> None:
    """Set the rotation policy of a secret, or of all secrets in a folder without their own."""
    try:
        policy: Any = json.loads(file.read_text())
    except ValueError as error:
        raise typer.BadParameter(f"{file} is no JSON: {error}") from None
    cli_context(context).client.call("PUT", api_path("rotation", place), policy)
    print_note(f"{place} is rotated by this policy")


@app.command("freehold rotation unset secret/db/app")
def unset(context: typer.Context, place: Place, yes: Yes = False) -> None:
    """Remove the rotation policy of a secret or folder."""
    confirm(f"Rotate {place} no more?", yes=yes)
    cli_context(context).client.call("DELETE", api_path("rotation", place))
    print_note(f"{place} has no rotation policy of its own")


@app.command("freehold rotation overview")
def overview(context: typer.Context) -> None:
    """Show the policies of folders, the kinds of rotators, and whether rotations are paused."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", api_path("rotations", "overview")))


@app.command("freehold rotation pause")
def pause(context: typer.Context) -> None:
    """Have no rotation begin or go on, at all agents, until `rotation continue`."""
    cli_context(context).client.call("PUT", api_path("rotations", "paused"), {"paused": True})
    print_note("rotations are paused")


@app.command("freehold rotation continue", name="continue")
def continue_(context: typer.Context) -> None:
    """Have rotations begin and go on again."""
    cli_context(context).client.call("PUT", api_path("rotations", "paused"), {"paused": False})
    print_note("rotations go on")
