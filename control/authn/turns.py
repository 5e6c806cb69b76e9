"""Whose turn it is: so many at once in all, and fewer of one kind, so that none holds all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class Turns:
    """`total` at once, `each` of one key. Who waits, waits in the order of coming."""

    def __init__(self, total: int, each: int) -> None:
        self._total = trio.CapacityLimiter(total)
        self._each = each
        self._of: dict[str, trio.CapacityLimiter] = {}

    @asynccontextmanager
    async def of(self, key: str) -> AsyncIterator[None]:
        """One turn of `key`. Waits for its own first: whoever does so keeps nobody else."""
        own = self._of.setdefault(key, trio.CapacityLimiter(self._each))
        try:
            async with own, self._total:
                yield
        finally:
            now = own.statistics()
            idle = not now.borrowed_tokens and not now.tasks_waiting
            if idle and self._of.get(key) is own:
                del self._of[key]

    @property
    def keys(self) -> frozenset[str]:
        """Those of which somebody has a turn or waits for it."""
        return frozenset(self._of)
