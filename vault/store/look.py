"""The look: asked at the start of a request whether somebody else has committed.

All who ask while a look is under way share the next one, so the database is asked no more often
than it answers. A look that began before the question does not count: what was acknowledged in
between would not be seen. (etcd calls it ReadIndex.)
"""

from collections.abc import Awaitable, Callable

import trio


class _Round:
    """Those who wait for one look."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.error: Exception | None = None
        self.was_cut_off = False  # by the one who took it on, who was cancelled


class Look:
    """Call it: it returns once a look that began after the call is done."""

    def __init__(self, look: Callable[[], Awaitable[None]]) -> None:
        self._look = look
        self._one = trio.Lock()
        self._next: _Round | None = None

    async def __call__(self) -> None:
        """Raises what the look raises, for all who share it."""
        while self._next is not None:
            shared = self._next
            await shared.done.wait()
            if shared.error is not None:
                raise shared.error
            if not shared.was_cut_off:
                return
        await self._take_on()

    async def _take_on(self) -> None:
        mine = self._next = _Round()
        try:
            async with self._one:
                self._next = None  # whoever comes from here on needs another one
                await self._look()
        except Exception as error:
            mine.error = error
            raise
        except BaseException:
            mine.was_cut_off = True
            raise
        finally:
            if self._next is mine:
                self._next = None
            mine.done.set()
