"""Data keys that were unwrapped already: who reads a value again need not do it again.

Which key opens a value follows from its wrapped DEK, its commitment, its place and the keyring, and
from nothing else; those are what a key is found by, and the keyring's owner clears all when it
changes. So nothing that opening checks is left out (decision 0040). Values are never kept.
"""

from typing import Final, TypeAlias

Origin: TypeAlias = tuple[bytes, bytes, str, int]
"""Wrapped DEK, commitment, secret id, version."""

MOST: Final = 131_072
"""Keys; 400 bytes each with what they are found by (measured by the test), so 50 MiB where so many
values are read: less than their rows in the cache. Only who may read a value brings one here."""


class DataKeys:
    """Two generations: one is filled, and what is not used while that lasts goes with the other.

    As good as an order of use for this, and a look that finds costs one look. For one thread.
    """

    def __init__(self, most: int = MOST) -> None:
        self._half = most // 2
        self._young: dict[Origin, bytes] = {}
        self._old: dict[Origin, bytes] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def find(self, origin: Origin) -> bytes | None:
        """The key that was kept for exactly this."""
        key = self._young.get(origin)
        if key is None and (key := self._old.pop(origin, None)) is not None:
            self.keep(origin, key)
        return key

    def keep(self, origin: Origin, key: bytes) -> None:
        """Remember it, at the expense of what was not used for long."""
        if len(self._young) >= self._half:
            self._young, self._old = {}, self._young
        self._young[origin] = key

    def clear(self) -> None:
        """Forget all."""
        self._young, self._old = {}, {}
