"""Data keys that were unwrapped already: who reads a value again need not do it again.

Which key opens a value follows from its wrapped DEK, its commitment, its place and the keyring, and
from nothing else; those are what a key is found by, and the keyring's owner clears all when it
changes. So nothing that opening checks is left out (decision 0040). Values are never kept.
"""

from typing import Final, TypeAlias

Origin: TypeAlias = tuple[bytes, bytes, str, int]
"""Wrapped DEK, commitment, secret id, version."""

KEY_BYTES: Final = 400  # that a key takes with what it is found by (measured by the test)
LEAST: Final = 4_096
MOST: Final = 131_072
_SHARE: Final = 8


def room_beside(cache_bytes: int) -> int:
    """How many keys to keep where a cache of so many bytes holds the rows of their values.

    They take an eighth as much at most. Two thirds of them are found (`DataKeys`).
    """
    return min(max(cache_bytes // (_SHARE * KEY_BYTES), LEAST), MOST)


class DataKeys:
    """Generations: one is filled, and what is not used while that lasts goes with the one before.

    As good as an order of use for this, and a look that finds costs one look. What goes does so
    one by one, and is found no more: to free 65,536 at once took the event loop 11 ms (decision
    0048). For one thread.
    """

    def __init__(self, most: int = LEAST) -> None:
        self._part = max(most // 3, 1)
        self._young: dict[Origin, bytes] = {}
        self._old: dict[Origin, bytes] = {}
        self._leaving: dict[Origin, bytes] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old) + len(self._leaving)

    def find(self, origin: Origin) -> bytes | None:
        """The key that was kept for exactly this."""
        key = self._young.get(origin)
        if key is None and (key := self._old.pop(origin, None)) is not None:
            self.keep(origin, key)
        return key

    def keep(self, origin: Origin, key: bytes) -> None:
        """Remember it, at the expense of what was not used for long."""
        if self._leaving:
            self._leaving.popitem()
        if len(self._young) >= self._part:
            self._young, self._old, self._leaving = {}, self._young, self._old
        self._young[origin] = key

    def clear(self) -> None:
        """Forget all."""
        self._young, self._old, self._leaving = {}, {}, {}
