"""What every command gets: a client and the chosen output, made from the global options."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import typer

from ui.cli.client import Client
from ui.cli.output import Format, show
from ui.cli.settings import Settings


@dataclass
class Session:
    """Carried in typer's context; the client is made when a command first needs it."""

    address: str | None
    form: Format

    @cached_property
    def client(self) -> Client:
        """A client for the configured agent. Raises `CliError`."""
        return Client(Settings.from_environment(self.address))

    def show(self, value: Any) -> None:
        """Print a result as the person asked for it."""
        show(value, self.form)


def session(context: typer.Context) -> Session:
    """The session of a command."""
    found = context.find_object(Session)
    if found is None:
        raise RuntimeError("the root callback makes the session before any command runs")
    return found
