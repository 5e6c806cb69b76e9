"""What the commands of `freehold fleet` get: a client of the control plane, and an organization."""

import os
import sys
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import typer

from ui.cli.connection_settings import ConnectionSettings
from ui.cli.context import CliContext, api_path, cli_context
from ui.cli.errors import CliError, Exit
from ui.cli.input import read_secret_line
from ui.cli.output import OutputFormat

if TYPE_CHECKING:
    from ui.cli.client import ApiClient

PAGE_SIZE: Final = 500
"""Of a list; the most that the control plane gives at once."""
ORG_VARIABLE: Final = "FREEHOLD_ORG"


class FleetContext:
    """One organization's fleet, as this person sees it."""

    def __init__(self, current: CliContext) -> None:
        self._current = current

    @cached_property
    def client(self) -> "ApiClient":
        """A client for the control plane. Raises `CliError`."""
        from ui.cli.client import ApiClient

        return ApiClient(
            ConnectionSettings.for_control_plane(self._current.address),
            prove_identity=prove_identity,
        )

    @cached_property
    def org(self) -> str:
        """`FREEHOLD_ORG`, else the organization one is signed in to. Raises `CliError`."""
        return organization_of(self.client)

    def call(
        self, method: str, *names: str, body: object = None, query: dict[str, Any] | None = None
    ) -> Any:
        """The answer for something of the organization."""
        at = api_path("organizations", self.org, *names)
        return self.client.call(method, at, body, query=query)

    def download(self, *names: str, query: dict[str, Any]) -> bytes:
        """A file of the organization, as it is."""
        return self.client.download(api_path("organizations", self.org, *names), query=query)

    def fetch_rows(self, *names: str, **wanted: object) -> Iterator[dict[str, Any]]:
        """All rows of a list that is read page by page, in the order of the agents' names."""
        after = ""
        while True:
            page = self.call("GET", *names, query={**wanted, "after": after, "limit": PAGE_SIZE})
            yield from page
            if len(page) < PAGE_SIZE:
                return
            after = page[-1]["vault"]

    def print_document(self, value: Any) -> None:
        """Print what is a document for people too."""
        self._current.print_document(value)

    @property
    def output_format(self) -> OutputFormat:
        """How to show results."""
        return self._current.output_format

    def print_result(self, value: Any, columns: tuple[str, ...] = ()) -> None:
        """Print a result."""
        self._current.print_result(value, columns)


def fleet(context: typer.Context) -> FleetContext:
    """The fleet of a command."""
    return FleetContext(cli_context(context))


def organization_of(client: "ApiClient") -> str:
    """`FREEHOLD_ORG`, else the organization of this session. Raises `CliError`."""
    chosen = os.environ.get(ORG_VARIABLE)
    if chosen:
        return chosen
    own: str = client.call("GET", api_path("whoami"))["organization"]
    if own == "platform":
        raise CliError(f"no organization is chosen: set {ORG_VARIABLE}", Exit.USAGE)
    return own


def prove_identity(client: "ApiClient") -> bool:
    """Ask the person at the terminal for a code, or the password of whoever has no second factor.

    False where nobody is there (what a script pipes in is for the command), and for who has
    neither: the identity provider shows who that is, at a new login. Raises `CliError`.
    """
    if not _at_terminal():
        return False
    one = client.call("GET", api_path("sessions", "current"))
    if not (one["second_factor"] or one["password"]):
        return False
    what = "code" if one["second_factor"] else "password"
    shown = {what: read_secret_line(f"{what.capitalize()}, again")}
    client.call("POST", api_path("sessions", "current", "confirm"), shown)
    return True


def _at_terminal() -> bool:
    return sys.stdin.isatty()
