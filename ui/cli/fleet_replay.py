"""`freehold fleet policy replay`: what a version or a draft would have changed at each agent."""

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ui.cli.arguments import without_empty
from ui.cli.context import cli_context, with_output_option
from ui.cli.errors import CliError, Exit
from ui.cli.fleet_context import fleet
from ui.cli.input import read_value
from ui.cli.output import OutputFormat, print_note

AGENTS: Final = ("vault", "state", "denied", "allowed", "unchanged", "undecided", "drifted")
TOTALS: Final = ("id", "states", "accesses", "denied", "allowed", "unchanged", "undecided")
EVERY: Final = 1.0  # seconds between two looks
MAX_HOURS: Final = 24 * 366


@with_output_option
def replay(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the policy.")],
    file: Annotated[Path | None, typer.Option("--file", "-f", help="JSON; else stdin.")] = None,
    version: Annotated[int, typer.Option(help="A version that is stored, instead.", min=0)] = 0,
    everybody: Annotated[bool, typer.Option("--all", help="Ask every agent.")] = False,
    tag: Annotated[list[str] | None, typer.Option(help="Ask agents with this tag.")] = None,
    vault: Annotated[list[str] | None, typer.Option(help="Ask this agent.")] = None,
    hours: Annotated[int, typer.Option(help="So far back.", min=1, max=MAX_HOURS)] = 24,
    wait: Annotated[int, typer.Option(help="Seconds to wait for answers.", min=0)] = 60,
) -> None:
    """Ask agents what a policy would have changed, before it is rolled out. Nothing is changed.

    Without --all, --tag or --vault those are asked that the policy is for. Agents that are offline,
    too old or refuse are shown as such.
    """
    current = fleet(context)
    if not version and file is None and sys.stdin.isatty():
        raise CliError("what is to be tried? give --file FILE, --version or stdin", Exit.USAGE)
    document = (
        None
        if version
        else read_value(file, None, as_json=True, otherwise="--version N for a stored one")
    )
    if not version and not isinstance(document, dict):
        raise CliError("a policy is a JSON object and this is none")
    targets: list[dict[str, Any]] = [{"tag": one} for one in tag or []]
    targets += [{"vault": one} for one in vault or []] + ([{"all": True}] if everybody else [])
    body = {"hours": hours, "targets": targets, **without_empty(document=document)}
    if version:
        body["version"] = version
    found = current.call("POST", "policies", name, "replays", body=body)
    for _ in range(wait):
        if not found["open"]:
            break
        _pause()
        found = current.call("GET", "replays", found["id"])
    if cli_context(context).output_format is OutputFormat.JSON:
        current.print_result(found)
        return
    current.print_result({key: found[key] for key in TOTALS})
    current.print_result(found["agents"], AGENTS)
    if found["open"]:
        print_note(
            "freehold: not every agent has answered; ask with a longer --wait, or look later"
        )


def _pause() -> None:
    import trio

    trio.run(trio.sleep, EVERY)
