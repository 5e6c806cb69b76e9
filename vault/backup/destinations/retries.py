"""Another try for faults that pass, and none while a destination is down. For threads.

The retries of the libraries are off: theirs know neither cancellation nor our clock, and they do
not repeat a create whose answer was lost.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

import trio

from actors import World
from actors.breaker import Breaker, Circuit
from actors.errors import CircuitOpen
from vault.backup.destinations.interface import unavailable

T = TypeVar("T")

ATTEMPTS: Final = 6
"""Tries of one call. Their waits add up to at most 15.5 s."""
COOLDOWN: Final = 30.0
"""Seconds without a call after `ATTEMPTS` failures in a row."""
_FIRST, _LONGEST = 0.5, 8.0  # seconds of backoff


class TransientError(Exception):
    """A fault that the next try may not meet. Its text is for people, without credentials."""


class Retries:
    """Tries and breaker of one destination. Held as long as the destination is in use."""

    def __init__(
        self, world: World, location: str, *, sleep: Callable[[float], None] | None = None
    ) -> None:
        """`sleep`: how its threads wait, if not by the world."""
        self._world = world
        self._location = location
        self._sleep = sleep or self._wait
        self._last = ""
        self._breaker = Breaker(
            world.uptime, threshold=ATTEMPTS, cooldown=COOLDOWN, counts=TransientError
        )

    def run(self, call: Callable[[], T]) -> T:
        """What `call` returns, which raises `TransientError` to be called again.

        A cancelled task ends between two tries. Raises `UnavailableError`, and what `call` raises.
        """
        failures = 0
        while True:
            check_cancelled()
            try:
                return self.run_once(call)
            except TransientError as error:
                failures += 1
                if failures == ATTEMPTS or self._breaker.state.circuit is not Circuit.CLOSED:
                    raise unavailable(self._location, f"{error}") from None
            delay = min(_FIRST * 2.0 ** (failures - 1), _LONGEST)
            self._sleep(delay * (1.0 - self._world.jitter() / 2.0))

    def run_once(self, call: Callable[[], T]) -> T:
        """One try, cancelled or not: for what cleans up. Raises `TransientError` as well."""
        try:
            with self._breaker.guard():
                return call()
        except CircuitOpen:
            raise unavailable(
                self._location,
                f"the last {ATTEMPTS} calls failed: {self._last}. It is tried again after "
                f"{COOLDOWN:.0f} s",
            ) from None
        except TransientError as error:
            self._last = f"{error}"
            raise

    def _wait(self, seconds: float) -> None:
        if in_trio_thread():
            trio.from_thread.run(self._world.sleep, seconds)
        else:
            threading.Event().wait(seconds)


def check_cancelled() -> None:
    """Raise `trio.Cancelled` in a thread whose task was cancelled."""
    with suppress(RuntimeError):  # it is none of Trio's
        trio.from_thread.check_cancelled()


def in_trio_thread() -> bool:
    """Whether a task waits for this thread. Raises `trio.Cancelled`."""
    try:
        trio.from_thread.check_cancelled()
    except RuntimeError:
        return False
    return True
