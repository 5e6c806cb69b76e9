"""What every command gets: a client and the chosen output, made from the global options."""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn
from urllib.parse import quote

import typer

from ui.cli.connection_settings import ConnectionSettings
from ui.cli.errors import CliError, Exit
from ui.cli.output import OutputFormat, print_note, print_value, print_warnings
from ui.cli.wrapped import WrappedAnswerError

if TYPE_CHECKING:
    from ui.cli.client import ApiClient

API_PREFIX: Final = "/api/v1/"
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


@dataclass
class CliContext:
    """Carried in typer's context; the client is made when a command first needs it."""

    address: str | None
    output_format: OutputFormat
    wrap_ttl: str = ""

    @cached_property
    def client(self) -> "ApiClient":
        """A client for the configured agent. Raises `CliError`."""
        return self.client_of(self.address)

    def client_of(self, address: str | None) -> "ApiClient":
        """A client for another agent, with the same credentials. Raises `CliError`."""
        from ui.cli.client import ApiClient

        if not self.wrap_ttl:
            return ApiClient(ConnectionSettings.from_environment(address))
        return ApiClient(
            ConnectionSettings.from_environment(address),
            wrap_ttl=self.wrap_ttl,
            on_wrapped=self._end_wrapped,
        )

    def _end_wrapped(self, wrap: dict[str, Any]) -> NoReturn:
        raise WrappedAnswerError(wrap, self.print_result)

    def print_result(self, value: Any, columns: Sequence[str] = ()) -> None:
        """Print a result in the chosen format; `columns` are those of a list's table.

        Each warning of the result is a line on stderr.
        """
        if isinstance(value, dict) and "warnings" in value:
            print_warnings(value)
            if self.output_format is OutputFormat.TABLE:
                value = {key: item for key, item in value.items() if key != "warnings"}
        print_value(value, self.output_format, columns)

    def print_document(self, value: Any) -> None:
        """Print what is a document for people too, such as a policy: JSON unless YAML is chosen."""
        as_yaml = self.output_format is OutputFormat.YAML
        print_value(value, OutputFormat.YAML if as_yaml else OutputFormat.JSON)


def cli_context(context: typer.Context) -> CliContext:
    """The context of a command."""
    found = context.find_object(CliContext)
    if found is None:
        raise RuntimeError("the root callback makes the context before any command runs")
    return found


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone, unless `--yes` is given.

    Lines before the last one of `question` say what it is about.

    Raises `typer.Abort` for a no, and `CliError` where nobody can answer.
    """
    if yes:
        return
    *facts, question = question.splitlines()
    for fact in facts:
        print_note(fact)
    if not sys.stdin.isatty():
        raise CliError(f"{question} Pass --yes to confirm: stdin is not a terminal", Exit.USAGE)
    typer.confirm(question, abort=True, err=True)


def is_id(text: str) -> bool:
    """Whether this has the form of an id, a UUID in lower case, and so is no name."""
    return _UUID.fullmatch(text) is not None


def api_path(resource: str, *names: str) -> str:
    """The native API's path of a resource, or of one named thing in it.

    Names are escaped and their slashes kept: a secret's name is several segments.
    """
    return API_PREFIX + "/".join((resource, *(quote(name, safe="/") for name in names)))


def fetch_pages(
    client: "ApiClient",
    path: str,
    field: str,
    query: dict[str, Any] | None = None,
    *,
    most: int = 0,
) -> Iterator[dict[str, Any]]:
    """The items under `field` of each page until there is no more, or `most` (0: all of them)."""
    asked, left = dict(query or {}), most
    while True:
        page = client.call("GET", path, query=asked)
        items = page[field]
        yield from items[:left] if most else items
        left -= len(items)
        if not page["cursor"] or (most and left <= 0):
            return
        asked["cursor"] = page["cursor"]


def parse_pairs(items: list[str] | None) -> dict[str, str]:
    """`key=value` arguments as a dict, a later one winning. Raises `typer.BadParameter`."""
    split = [item.partition("=") for item in items or []]
    if any(not sign or not key for key, sign, _ in split):
        raise typer.BadParameter("must look like key=value")
    return {key: value for key, _, value in split}


def without_empty(**fields: object) -> dict[str, object]:
    """The fields that were given on the command line: neither None nor empty text."""
    return {name: value for name, value in fields.items() if value not in (None, "")}
