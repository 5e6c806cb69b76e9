"""Data keys that were unwrapped already: who reads a value again need not do it again.

Which key opens a value follows from its wrapped DEK, its commitment, its place and the keyring, and
from nothing else; those are what a key is found by, and the keyring's owner clears all when it
changes. So nothing that opening checks is left out (decision 0040). Values are never kept.
"""

from collections import deque
from typing import Final, TypeAlias

Origin: TypeAlias = tuple[bytes, bytes, str, int]
"""Wrapped DEK, commitment, secret id, version."""

KEY_BYTES: Final = 400  # that a key takes with what it is found by (measured by the test)
LEAST: Final = 4_096
MOST: Final = 131_072
_SHARE: Final = 8
_PARTS: Final = 16  # one is being filled, one is leaving


def room_beside(cache_bytes: int) -> int:
    """How many keys to keep where a cache of so many bytes holds the rows of their values.

    They take an eighth as much at most. Seven eighths of them are found (`DataKeys`).
    """
    return min(max(cache_bytes // (_SHARE * KEY_BYTES), LEAST), MOST)


class DataKeys:
    """Generations: one is filled, and what is not used while fourteen more are goes with its own.

    As good as an order of use for this, and a look that finds costs one look. What goes does so
    one by one, and is found no more: to free 65,536 at once took the event loop 11 ms (decision
    0048), and an `OrderedDict` of 46,603 is built anew in 4 ms again and again (0052). For one
    thread.
    """

    def __init__(self, most: int = LEAST) -> None:
        self._part = max(most // _PARTS, 1)
        self._young: dict[Origin, bytes] = {}
        self._old: deque[dict[Origin, bytes]] = deque()  # the youngest first
        self._leaving: dict[Origin, bytes] = {}

    def __len__(self) -> int:
        return len(self._young) + sum(map(len, self._old)) + len(self._leaving)

    def find(self, origin: Origin) -> bytes | None:
        """The key that was kept for exactly this."""
        key = self._young.get(origin)
        if key is None:
            for part in self._old:
                if (key := part.pop(origin, None)) is not None:
                    self.keep(origin, key)
                    break
        return key

    def keep(self, origin: Origin, key: bytes) -> None:
        """Remember it, at the expense of what was not used for long."""
        if self._leaving:
            self._leaving.popitem()
        if len(self._young) >= self._part:
            self._old.appendleft(self._young)
            self._young = {}
            if len(self._old) > _PARTS - 2:
                self._leaving = self._old.pop()
        self._young[origin] = key

    def clear(self) -> None:
        """Forget all."""
        self._young, self._old, self._leaving = {}, deque(), {}
