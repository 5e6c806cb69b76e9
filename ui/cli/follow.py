"""Following secrets: a thread that waits for changes, through restarts and outages of the agent."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from actors import SystemWorld
from ui.cli.context import api_path
from ui.cli.errors import CliError, CredentialError, Exit
from ui.cli.output import print_note

if TYPE_CHECKING:
    from ui.cli.client import ApiClient

WAIT: Final = "60s"  # of one request; less than the client's time-out
FIRST_DELAY: Final = 0.5  # seconds until another try after the first failure
LAST_DELAY: Final = 30.0
_KEEPS: Final = "the last values stay in use"


class Follower:
    """Calls `on_change` in its thread after each change of these secrets, until `stop`.

    `connect` makes a client anew after each failure: a token that was renewed in the token file
    counts from then on. `on_change` gets the client; what it raises is tried again.
    """

    def __init__(
        self,
        connect: Callable[[], "ApiClient"],
        names: Callable[[], list[str]],
        on_change: Callable[["ApiClient"], None],
    ) -> None:
        self._world = SystemWorld()
        self._connect = connect
        self._names = names
        self._on_change = on_change
        self._stopped = threading.Event()
        self._is_failing = False
        self._delay = FIRST_DELAY
        self._thread = threading.Thread(target=self._run, daemon=True, name="follower")

    def start(self, cursor: str) -> None:
        """Follow from here on."""
        self._cursor = cursor
        self._thread.start()

    def stop(self) -> None:
        """End with the request that is under way."""
        self._stopped.set()

    def _run(self) -> None:
        client, must_read = self._connect(), False
        while not self._stopped.is_set():
            try:
                if must_read:
                    self._on_change(client)
                    must_read = False
                body = read_changes(client, self._cursor, self._names(), wait=WAIT)
            except CliError as error:
                if (
                    error.exit_code is Exit.CONFLICT and not must_read
                ):  # too much happened since: read all anew
                    self._cursor, must_read = "", True
                    continue
                self._pause(error)
                client = self._connect_again(client)
                continue
            must_read = bool(body["changes"])
            if not self._cursor:  # nothing tells what happened before
                must_read = True
            self._cursor = body["cursor"]
            self._recover()

    def _pause(self, error: CliError) -> None:
        if not self._is_failing:
            print_note(f"freehold: {_KEEPS}: {error}")
        self._is_failing = True
        self._stopped.wait(self._delay * (1 + self._world.jitter()) / 2)
        self._delay = min(2 * self._delay, LAST_DELAY)

    def _recover(self) -> None:
        if self._is_failing:
            print_note("freehold: the agent answers again")
        self._is_failing, self._delay = False, FIRST_DELAY

    def _connect_again(self, client: "ApiClient") -> "ApiClient":
        try:
            return self._connect()
        except CliError:
            return client  # as it was; the next failure says why


def read_changes(
    client: "ApiClient", since: str = "", names: list[str] | None = None, *, wait: str = ""
) -> dict[str, Any]:
    """What changed since the cursor. Raises `CliError`."""
    is_filtered = names is not None and not any("," in name for name in names)
    query = {
        "since": since,
        "wait": wait if since else "",
        "prefix": ",".join(names) if is_filtered and names else "",
    }
    body: dict[str, Any] = client.call("GET", api_path("changes"), query=query)
    return body


def acknowledge(client: "ApiClient", versions: dict[str, int]) -> None:
    """Tell the agent which versions are in use now. A failure is a note: nothing depends on it."""
    for name, version in versions.items():
        try:
            client.call("POST", api_path("changes/ack"), {"path": name, "version": version})
        except CredentialError as error:
            print_note(f"freehold: {name} version {version} is not acknowledged: {error}")
            return
        except CliError as error:
            print_note(f"freehold: {name} version {version} is not acknowledged: {error}")
