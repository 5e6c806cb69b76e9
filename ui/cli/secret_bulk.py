"""`freehold secret export` and `import`: many secrets as one JSON object, name → value."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from ui.cli.api_path import api_path
from ui.cli.context import cli_context
from ui.cli.errors import CliError, exit_code_for
from ui.cli.input import read_value
from ui.cli.output import print_json, print_note

BATCH_SIZE: Final = 200  # items a request, of the thousand that the agent takes: bodies stay small
_FULL: Final = "answer_full"  # an answer has a bound; such items are asked for again

RequestBatch: TypeAlias = Callable[[list[str]], list[dict[str, Any]]]


def export(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(help="Names of secrets, such as secret/app/db.")],
) -> None:
    """Read many secrets; prints one JSON object, name to value, that `import` takes.

    Prints what could be read, tells on stderr what could not, and then ends with its exit code.
    """
    client = cli_context(context).client
    values: dict[str, Any] = {}
    failed: list[dict[str, Any]] = []

    def ask(some: list[str]) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = client.call(
            "POST", api_path("batch/read"), {"names": some}
        )["results"]
        return results

    for item in _request_all(list(dict.fromkeys(names)), ask):
        if "error" in item:
            failed.append(item)
        else:
            values[item["name"]] = item["secret"]["value"]
    print_json(values)
    _report_failures(failed, len(values) + len(failed), "read")


def import_(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Else stdin.", dir_okay=False)] = None,
    create: Annotated[
        bool, typer.Option("--create", help="Write only those that are not there yet.")
    ] = False,
) -> None:
    """Write many secrets: a JSON object, name to value, as `export` prints it.

    Each is written by itself: what fails is told on stderr, and the others are written all the
    same.
    """
    values = read_value(file, None, as_json=True, option="FILE")
    if not isinstance(values, dict):
        raise CliError('a JSON object is expected, such as {"secret/app/db": "value"}')
    client = cli_context(context).client
    terms = {"cas": 0} if create else {}

    def ask(some: list[str]) -> list[dict[str, Any]]:
        items = [{"name": name, "value": values[name], **terms} for name in some]
        results: list[dict[str, Any]] = client.call(
            "POST", api_path("batch/write"), {"secrets": items}
        )["results"]
        return results

    failed = [item for item in _request_all(list(values), ask) if "error" in item]
    print_note(f"{len(values) - len(failed)} of {len(values)} written")
    _report_failures(failed, len(values), "written")


def _request_all(wanted: list[str], ask: RequestBatch) -> Iterator[dict[str, Any]]:
    """What came of each, some at a time; what had no room in an answer is asked for again."""
    while wanted:
        asked, wanted = wanted[:BATCH_SIZE], wanted[BATCH_SIZE:]
        results = ask(asked)
        full = [item["name"] for item in results if item.get("error", {}).get("code") == _FULL]
        if len(full) == len(asked):
            raise CliError("the agent has room for none of these in a batch; take them one by one")
        wanted = full + wanted
        yield from (item for item in results if item["name"] not in full)


def _report_failures(failed: list[dict[str, Any]], count: int, done: str) -> None:
    """Tell of each that failed; raises `CliError` with the exit code of the first."""
    for item in failed:
        print_note(f"{item['name']}: {item['error']['message']}")
    if failed:
        raise CliError(f"{len(failed)} of {count} not {done}", exit_code_for(failed[0]["status"]))
