"""`freehold policy replay`: what other policies would have made of the accesses on record."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ui.cli.api_path import api_path
from ui.cli.arguments import without_empty
from ui.cli.context import cli_context, with_output_option
from ui.cli.errors import CliError
from ui.cli.input import read_value
from ui.cli.output import OutputFormat, print_note

COUNTS: Final = (
    *("since", "until", "reached", "records", "accesses", "unchanged", "denied", "allowed"),
    *("undecided", "drifted", "others"),
)
CHANGES: Final = ("allowed", "count", "actor_name", "operation", "path", "rule", "rule_now", "last")
MAX_HOURS: Final = 24 * 366


@with_output_option
def replay(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The policy that would be written.")] = "",
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Its document; else stdin.")
    ] = None,
    delete: Annotated[
        list[str] | None, typer.Option(help="A policy that would be deleted; repeat.")
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="A JSON list of documents, instead of all of the control plane's."),
    ] = None,
    hours: Annotated[int, typer.Option(help="So far back.", min=1, max=MAX_HOURS)] = 24,
    since: Annotated[str, typer.Option(help="From this RFC 3339 time on, instead.")] = "",
    limit: Annotated[int, typer.Option(min=0, max=500, help="Changes to show.")] = 100,
) -> None:
    """Decide the accesses on record again, under other policies. Nothing is changed.

    Shown are what would be denied or allowed from now on, and how many could not be decided again.
    """
    body: dict[str, Any] = {"hours": hours, "limit": limit, **without_empty(since=since)}
    if name:
        body["write"] = [_document(name, file)]
    elif file is not None:
        raise typer.BadParameter("--file is the document of a policy: name it")
    if delete:
        body["delete"] = delete
    if bundle is not None:
        body["bundle"] = _documents(bundle)
    current = cli_context(context)
    found = current.client.call("POST", api_path("policies-replay"), body)
    if current.output_format is OutputFormat.JSON:
        current.print_result(found)
        return
    current.print_result({key: found[key] for key in COUNTS})
    if found["changes"]:
        current.print_result(found["changes"], CHANGES)
    if found["stopped"]:
        print_note(
            f"freehold: not everything was looked at, only what came after {found['reached']}"
        )


def _document(name: str, file: Path | None) -> dict[str, Any]:
    found = read_value(file, None, as_json=True)
    if not isinstance(found, dict):
        raise CliError("a policy is a JSON object and this is none")
    return {**found, "name": name}


def _documents(file: Path) -> list[Any]:
    found = read_value(file, None, as_json=True)
    if not isinstance(found, list):
        raise CliError("a bundle is a JSON list of policies and this is none")
    return found
