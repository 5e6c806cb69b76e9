"""What every command gets: a client and the chosen output, made from the global options."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ui.cli.output import Format, show, warn
from ui.cli.settings import Settings

if TYPE_CHECKING:
    from ui.cli.client import Client

Output = Annotated[Format | None, typer.Option("--output", "-o", help="How to show the result.")]


@dataclass
class Session:
    """Carried in typer's context; the client is made when a command first needs it."""

    address: str | None
    form: Format

    @cached_property
    def client(self) -> "Client":
        """A client for the configured agent. Raises `CliError`."""
        from ui.cli.client import Client

        return Client(Settings.from_environment(self.address))

    def show(self, value: Any, columns: Sequence[str] = ()) -> None:
        """Print a result as the person asked for it; `columns` are those of a list's table.

        Its warnings are told beside it, a line each.
        """
        if isinstance(value, dict) and "warnings" in value:
            warn(value)
            if self.form is Format.TABLE:
                value = {key: item for key, item in value.items() if key != "warnings"}
        show(value, self.form, columns)


def session(context: typer.Context) -> Session:
    """The session of a command."""
    found = context.find_object(Session)
    if found is None:
        raise RuntimeError("the root callback makes the session before any command runs")
    return found


def shown(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the global `--output` as its own too, so that it may stand behind it."""
    signature = inspect.signature(command, eval_str=True)

    @wraps(command)
    def run(context: typer.Context, output: Format | None = None, **given: Any) -> None:
        if output is not None:
            session(context).form = output
        command(context, **given)

    option = inspect.Parameter(
        "output", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Output
    )
    whole = signature.replace(parameters=[*signature.parameters.values(), option])
    run.__signature__ = whole  # type: ignore[attr-defined]  # where typer looks for the options
    return run
