"""Many shelves as one, so that none has many entries.

A dict that grows, or whose oldest entries leave, is built anew as a whole, with the interpreter's
lock held: 56 ms for 600,000 entries, which is how long everybody would stand still. Of one shelf's
entries that is a millisecond or two. Each makes room by itself, so what goes first is exact within
one and nearly so among all.
"""

from collections.abc import Callable, Iterable
from typing import Final

from vault.store.shelf import Kept, Missing, Policy, Shelf, Slot, Weigh

SHELF_BYTES: Final = 16 << 20
"""Some 25,000 entries, and twice the largest row (`vault.store.table.ROW_BYTES`)."""


class Shelves:
    """Not thread-safe, as a shelf."""

    def __init__(
        self, max_bytes: int, policy: Policy, ttl: int, clock: Callable[[], int], weigh: Weigh
    ) -> None:
        """As a `Shelf`; `max_bytes` is of all of them."""
        count = max(max_bytes // SHELF_BYTES, 1)
        self._all = [Shelf(max_bytes // count, policy, ttl, clock, weigh) for _ in range(count)]

    def of(self, slot: Slot) -> Shelf:
        """The one where this place is."""
        return self._all[hash(slot) % len(self._all)]

    def peek(self, slots: Iterable[Slot]) -> list[Kept | Missing]:
        """What lies on each of these places, as `Shelf.peek`."""
        shelves, count = self._all, len(self._all)
        return [shelves[hash(slot) % count].peek(slot) for slot in slots]

    def __len__(self) -> int:
        return sum(map(len, self._all))

    @property
    def bytes(self) -> int:
        """What all entries weigh."""
        return sum(shelf.bytes for shelf in self._all)

    @property
    def evictions(self) -> int:
        """How many entries made room or were found to have expired."""
        return sum(shelf.evictions for shelf in self._all)
