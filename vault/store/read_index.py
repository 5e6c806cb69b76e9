"""A coalesced check, at the start of a request, for commits of other processes and machines.

Callers that arrive while a check runs share the next one, so the number of checks is bounded by the
speed of the database. A check that began before the call does not count: it would miss what was
acknowledged in between. etcd calls this mechanism ReadIndex.
"""

from collections.abc import Awaitable, Callable

import trio


class _Round:
    """One check, and the callers that wait for it."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.error: Exception | None = None
        self.was_cancelled = False  # the caller that ran the check was cancelled


class ReadIndex:
    """Runs `check` for all callers, one check at a time."""

    def __init__(self, check: Callable[[], Awaitable[None]]) -> None:
        self._check = check
        self._lock = trio.Lock()
        self._next: _Round | None = None

    async def catch_up(self) -> None:
        """Return once a check that began after this call has ended.

        Raises what the check raises, for all callers that share it.
        """
        while self._next is not None:
            shared = self._next
            await shared.done.wait()
            if shared.error is not None:
                raise shared.error
            if not shared.was_cancelled:
                return
        await self._run_check()

    async def _run_check(self) -> None:
        mine = self._next = _Round()
        try:
            async with self._lock:
                self._next = None  # callers from here on need another check
                await self._check()
        except Exception as error:
            mine.error = error
            raise
        except BaseException:
            mine.was_cancelled = True
            raise
        finally:
            if self._next is mine:
                self._next = None
            mine.done.set()
