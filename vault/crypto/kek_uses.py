"""How often a KEK has wrapped, counted so that no crash can lose a use. Pure.

AES-GCM with random nonces allows 2^32 uses of a key (`aead`). Persisting a count at each use would
double every write, so uses are given out in blocks *before* they happen. Several processes may
share a database: each block belongs to one counter, and the stored number is the end of the last
block. After a crash the rest of a block counts as used. So the count is too high by less than a
block for each crash, and never too low. An orderly stop gives back the rest of the last block.
"""

from threading import Lock

from msgspec import Struct

from vault.crypto.errors import CounterClosed, WrapLimitReached

BLOCK = 2**16
"""Uses of a block: one persisted write for 65,536 wraps, and what a crash takes of 2^30."""

ROTATE_AT = 2**30
"""Rotation is due: a quarter of the ceiling, so a rotation may be years late and still in time."""

HARD_STOP = 2**32
"""NIST SP 800-38D section 8.3: at most 2^32 invocations with random nonces."""

MAX_AGE = 90 * 24 * 3600 * 10**9
"""Nanoseconds after which rotation is due however few the uses."""


class UseBlock(Struct, frozen=True):
    """The uses `start` (inclusive) to `end` (exclusive) of a generation: one counter's alone."""

    generation: int
    start: int
    end: int


class BlockNeeded(Struct, frozen=True):
    """Allocate a block of at least `count` uses, and give it to `KekUseCounter.add_block`.

    `after`: where the block may begin at the earliest, whatever is stored.
    """

    generation: int
    after: int
    count: int

    def allocate(self, stored: int) -> UseBlock:
        """The next block behind the `stored` number, which its end is to replace.

        Call it in the transaction that stores the end. Raises `WrapLimitReached` where it would be
        more than 2^32 uses.
        """
        start = max(stored, self.after)
        end = min(start + max(BLOCK, self.count), HARD_STOP)
        if end - start < self.count:
            raise WrapLimitReached(f"KEK generation {self.generation} has wrapped 2^32 times")
        return UseBlock(self.generation, start, end)


class KekUseCounter:
    """Counts the wraps of one KEK generation by one process, in any thread.

    `stored` is the persisted number when it was read, 0 for a new generation; all of these count as
    used. `created_at` is the generation's date in Unix ns.
    """

    __slots__ = ("_closed", "_end", "_lock", "_next", "_owed", "created_at", "generation")

    def __init__(self, generation: int, created_at: int, stored: int = 0) -> None:
        if not 0 <= stored <= HARD_STOP:
            raise ValueError("a key has 0 to 2^32 uses")
        self.generation = generation
        self.created_at = created_at
        self._next = stored  # the first use of the block that is left
        self._end = stored  # of the block
        self._owed = 0  # uses that have happened and are not in a block yet
        self._closed = False
        self._lock = Lock()

    @property
    def used(self) -> int:
        """Uses so far, never fewer than really happened as far as this counter knows."""
        with self._lock:
            return self._next + self._owed

    @property
    def reserved(self) -> int:
        """The end of the last block, as far as this counter knows."""
        with self._lock:
            return self._end

    def reserve_uses(self, count: int = 1) -> BlockNeeded | None:
        """Count so many uses, and those that are owed, and return None; the caller may wrap.

        Returns the block to allocate first when there are not enough left, having counted nothing.
        Raises `CounterClosed`.
        """
        with self._lock:
            self._require_open()
            needed = self._owed + count
            if self._next + needed > self._end:
                return BlockNeeded(self.generation, self._end, needed)
            self._next, self._owed = self._next + needed, 0
            return None

    def add_block(self, block: UseBlock) -> None:
        """Use a block that was allocated for this counter, durably.

        What is left of the one before counts as used, unless this one goes on from it. Raises
        `ValueError` for a block of another generation, or one that it has had.
        """
        with self._lock:
            if block.generation != self.generation or block.start < self._end:
                raise ValueError("this block was not allocated for this counter")
            if block.start != self._end:
                self._next = block.start
            self._end = block.end

    def add_owed_uses(self, count: int) -> None:
        """Count uses that have happened already: more than were taken before.

        They are taken from a block before the next use. The distance between the rotation bound
        (2^30) and the ceiling (2^32) is there for such uses. Raises `CounterClosed`: called before
        the key is used, it keeps a use from happening that nobody would count.
        """
        with self._lock:
            self._require_open()
            self._owed += count

    def close(self) -> bool:
        """Refuse every further use. Returns whether `final_count` is to be stored.

        Only the first call says so: twice could give back the uses of another counter.
        """
        with self._lock:
            is_first, self._closed = not self._closed, True
            return is_first and self._next + self._owed != self._end

    def final_count(self, stored: int) -> int:
        """What to store in place of the `stored` number, with this counter closed.

        The rest of the block is given back where no other block was allocated behind it. Uses that
        are owed are added.
        """
        with self._lock:
            unused = self._end - self._next - self._owed
            if unused > 0 and stored != self._end:
                return stored
            return min(stored - unused, HARD_STOP)

    def rotation_due(self, now: int) -> bool:
        """Whether the KEK should be rotated at `now` (Unix ns): 2^30 uses or 90 days."""
        return self.used >= ROTATE_AT or now - self.created_at >= MAX_AGE

    def _require_open(self) -> None:
        if self._closed:
            raise CounterClosed(
                "the key-use counter is closed: the vault is being sealed; unseal it and repeat"
            )
