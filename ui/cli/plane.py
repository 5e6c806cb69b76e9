"""What the commands of `freehold fleet` get: a client of the control plane, and an organization."""

import os
import sys
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import typer

from ui.cli.errors import CliError, Exit
from ui.cli.output import Format
from ui.cli.route import route
from ui.cli.session import Session, session
from ui.cli.settings import Settings
from ui.cli.source import read_line

if TYPE_CHECKING:
    from ui.cli.client import Client

PAGE: Final = 500
"""Of a list; the most that the control plane gives at once."""
VARIABLE: Final = "FREEHOLD_ORG"


class Fleet:
    """One organization's fleet, as this person sees it."""

    def __init__(self, current: Session) -> None:
        self._current = current

    @cached_property
    def client(self) -> "Client":
        """A client for the control plane. Raises `CliError`."""
        from ui.cli.client import Client

        return Client(Settings.for_plane(self._current.address), prove=prove)

    @cached_property
    def org(self) -> str:
        """`FREEHOLD_ORG`, else the organization one is signed in to. Raises `CliError`."""
        chosen = os.environ.get(VARIABLE)
        if chosen:
            return chosen
        own: str = self.client.call("GET", route("whoami"))["organization"]
        if own == "platform":
            raise CliError(f"which organization? set {VARIABLE}", Exit.USAGE)
        return own

    def call(
        self, method: str, *names: str, body: object = None, query: dict[str, Any] | None = None
    ) -> Any:
        """The answer for something of the organization."""
        at = route("organizations", self.org, *names)
        return self.client.call(method, at, body, query=query)

    def download(self, *names: str, query: dict[str, Any]) -> bytes:
        """A file of the organization, as it is."""
        return self.client.download(route("organizations", self.org, *names), query=query)

    def pages(self, *names: str, **wanted: object) -> Iterator[dict[str, Any]]:
        """All rows of a list that is read page by page, in the order of the agents' names."""
        after = ""
        while True:
            page = self.call("GET", *names, query={**wanted, "after": after, "limit": PAGE})
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1]["vault"]

    @property
    def form(self) -> Format:
        """How to show results."""
        return self._current.form

    def show(self, value: Any, columns: tuple[str, ...] = ()) -> None:
        """Print a result."""
        self._current.show(value, columns)


def fleet(context: typer.Context) -> Fleet:
    """The fleet of a command."""
    return Fleet(session(context))


def prove(client: "Client") -> bool:
    """Ask the person at the terminal for a code, or the password of whoever has no second factor.

    False where nobody is there (what a script pipes in is for the command), and for who has
    neither: the identity provider shows who that is, at a new login. Raises `CliError`.
    """
    if not _at_terminal():
        return False
    one = client.call("GET", route("sessions", "current"))
    if not (one["second_factor"] or one["password"]):
        return False
    what = "code" if one["second_factor"] else "password"
    shown = {what: read_line(f"{what.capitalize()}, again")}
    client.call("POST", route("sessions", "current", "confirm"), shown)
    return True


def _at_terminal() -> bool:
    return sys.stdin.isatty()
