"""A lock for changes in several steps, with a bound on how long a task waits for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from vault.errors import UnavailableError
from vault.store.interface import NOTHING_STORED

DEFAULT_TIMEOUT: Final = 10.0  # a commit takes milliseconds, and one that is stuck up to 30 s


class TimedLock:
    """For a change that is made in steps: what is read, committed and taken over together."""

    def __init__(self, seconds: float = DEFAULT_TIMEOUT) -> None:
        self._seconds = seconds
        self._lock = trio.Lock()

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Wait for the others, then have it for the block.

        Raises `UnavailableError` (`store_busy`) when they take too long; nothing is done then.
        """
        with trio.move_on_after(self._seconds) as waiting:
            await self._lock.acquire()
        if waiting.cancelled_caught:
            raise UnavailableError(
                "store_busy",
                "changes of the same kind wait for the database; try again",
                outcome=NOTHING_STORED,
            )
        try:
            yield
        finally:
            self._lock.release()
