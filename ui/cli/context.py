"""What every command gets: a client and the chosen output, made from the global options."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ui.cli.connection_settings import ConnectionSettings
from ui.cli.output import OutputFormat, print_value, print_warnings

if TYPE_CHECKING:
    from ui.cli.client import ApiClient

Output = Annotated[
    OutputFormat | None, typer.Option("--output", "-o", help="How to show the result.")
]


@dataclass
class CliContext:
    """Carried in typer's context; the client is made when a command first needs it."""

    address: str | None
    output_format: OutputFormat

    @cached_property
    def client(self) -> "ApiClient":
        """A client for the configured agent. Raises `CliError`."""
        from ui.cli.client import ApiClient

        return ApiClient(ConnectionSettings.from_environment(self.address))

    def print_result(self, value: Any, columns: Sequence[str] = ()) -> None:
        """Print a result as the person asked for it; `columns` are those of a list's table.

        Its warnings are told beside it, a line each.
        """
        if isinstance(value, dict) and "warnings" in value:
            print_warnings(value)
            if self.output_format is OutputFormat.TABLE:
                value = {key: item for key, item in value.items() if key != "warnings"}
        print_value(value, self.output_format, columns)


def cli_context(context: typer.Context) -> CliContext:
    """The session of a command."""
    found = context.find_object(CliContext)
    if found is None:
        raise RuntimeError("the root callback makes the session before any command runs")
    return found


def with_output_option(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the global `--output` as its own too, so that it may stand behind it."""
    signature = inspect.signature(command, eval_str=True)

    @wraps(command)
    def run(context: typer.Context, output: OutputFormat | None = None, **given: Any) -> None:
        if output is not None:
            cli_context(context).output_format = output
        command(context, **given)

    option = inspect.Parameter(
        "output", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Output
    )
    whole = signature.replace(parameters=[*signature.parameters.values(), option])
    run.__signature__ = whole  # type: ignore[attr-defined]  # where typer looks for the options
    return run
