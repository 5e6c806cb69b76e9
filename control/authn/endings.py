"""Who wants to know that a session ended, told at once by this process.

What another process ended is found by asking the store (`Sessions.ended`).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import trio


class Endings:
    """Waiting parties by the credential's id."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[trio.Event]] = {}

    def tell(self, tokens: Iterable[str]) -> None:
        """These have ended; only after that is durable."""
        for token in tokens:
            for event in self._waiting.get(token, ()):
                event.set()

    @contextmanager
    def awaited(self, token: str) -> Iterator[trio.Event]:
        """An event that is set when this one ends, for the length of the block."""
        event = trio.Event()
        waiting = self._waiting.setdefault(token, set())
        waiting.add(event)
        try:
            yield event
        finally:
            waiting.discard(event)
            if not waiting:
                self._waiting.pop(token, None)
