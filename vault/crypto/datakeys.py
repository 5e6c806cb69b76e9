"""Data keys that were unwrapped already: who reads a value again need not do it again.

Which key opens a value follows from its wrapped DEK, its commitment, its place and the keyring, and
from nothing else; those are what a key is found by, and the keyring's owner clears all when it
changes. So nothing that opening checks is left out (decision 0040). Values are never kept.
"""

from collections import OrderedDict
from typing import Final, TypeAlias

Origin: TypeAlias = tuple[bytes, bytes, str, int]
"""Wrapped DEK, commitment, secret id, version."""

KEY_BYTES: Final = 450  # that a key takes with what it is found by (measured by the test)
LEAST: Final = 4_096
MOST: Final = 131_072
_SHARE: Final = 8


def room_beside(cache_bytes: int) -> int:
    """How many keys to keep where a cache of so many bytes holds the rows of their values.

    They take an eighth as much at most.
    """
    return min(max(cache_bytes // (_SHARE * KEY_BYTES), LEAST), MOST)


class DataKeys:
    """The least recently used makes room. For one thread."""

    def __init__(self, most: int = LEAST) -> None:
        self._most = max(most, 1)
        self._keys: OrderedDict[Origin, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, origin: Origin) -> bytes | None:
        """The key that was kept for exactly this."""
        key = self._keys.get(origin)
        if key is not None:
            self._keys.move_to_end(origin)
        return key

    def keep(self, origin: Origin, key: bytes) -> None:
        """Remember it, at the expense of what was not used for longest."""
        self._keys[origin] = key
        if len(self._keys) > self._most:
            self._keys.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        self._keys = OrderedDict()
