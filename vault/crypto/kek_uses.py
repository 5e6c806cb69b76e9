"""How often a KEK has wrapped, counted so that no crash can lose a use. Pure.

AES-GCM with random nonces allows 2^32 uses of a key (`aead`). Persisting a count at each use would
double every write, so uses are reserved in blocks *before* they happen: after a crash the whole
reserved block counts as used. The count is too high by less than a block and never too low. An
orderly stop closes the counter and persists the exact count.
"""

from threading import Lock
from typing import Self

from msgspec import Struct

from vault.crypto.errors import CounterClosed, WrapLimitReached

BLOCK = 2**20
"""Uses a reservation covers: one persisted write a million wraps, 0.1 % of the rotation bound."""

ROTATE_AT = 2**30
"""Rotation is due: a quarter of the ceiling, so a rotation may be years late and still in time."""

HARD_STOP = 2**32
"""NIST SP 800-38D section 8.3: at most 2^32 invocations with random nonces."""

MAX_AGE = 90 * 24 * 3600 * 10**9
"""Nanoseconds after which rotation is due however few the uses."""


class ReservationNeeded(Struct, frozen=True):
    """Persist `reserved` of `generation`, then give this to `KekUseCounter.confirm_reservation`."""

    generation: int
    reserved: int


class KekUseCounter:
    """Counts the wraps of one KEK generation, in any thread.

    `reserved` is what was last persisted, 0 for a new generation; all of it counts as used.
    `created_at` is the generation's date in Unix ns.
    """

    __slots__ = ("_closed", "_lock", "_owed", "_reserved", "_used", "created_at", "generation")

    def __init__(self, generation: int, created_at: int, reserved: int = 0) -> None:
        if not 0 <= reserved <= HARD_STOP:
            raise ValueError("0 to 2^32 uses can be reserved")
        self.generation = generation
        self.created_at = created_at
        self._reserved = reserved
        self._used = reserved
        self._owed = 0  # uses that have happened and are not in a reservation yet
        self._closed = False
        self._lock = Lock()

    @property
    def used(self) -> int:
        """Uses so far, never fewer than really happened."""
        with self._lock:
            return self._used + self._owed

    def reserve_uses(self, count: int = 1) -> ReservationNeeded | None:
        """Count so many uses, and those that are owed, and return None; the caller may wrap.

        Returns the reservation to persist and confirm first when there are not enough left, having
        counted nothing. Raises `WrapLimitReached` where it would be more than 2^32 uses, and
        `CounterClosed`.
        """
        with self._lock:
            self._require_open()
            used = self._used + self._owed + count
            if used <= self._reserved:
                self._used, self._owed = used, 0
                return None
            if used > HARD_STOP:
                raise WrapLimitReached(f"KEK generation {self.generation} has wrapped 2^32 times")
            return ReservationNeeded(self.generation, min(self._reserved + BLOCK, HARD_STOP))

    def add_owed_uses(self, count: int) -> None:
        """Count uses that have happened already: more than were taken before.

        A reservation that this needs is made before the next use. The distance between the rotation
        bound (2^30) and the ceiling (2^32) is there for such uses. Raises `CounterClosed`: called
        before the key is used, it keeps a use from happening that nobody would count.
        """
        with self._lock:
            self._require_open()
            self._owed += count

    def close(self) -> int:
        """Refuse every further use; return how many there were, to persist for `reserved`.

        A use that was taken before may still happen: it is counted. May be called again.
        """
        with self._lock:
            self._closed = True
            return self._used + self._owed

    @property
    def reserved(self) -> int:
        """What was last persisted, as far as this counter knows."""
        with self._lock:
            return self._reserved

    def _require_open(self) -> None:
        if self._closed:
            raise CounterClosed(
                "the key-use counter is closed: the vault is being sealed; unseal it and repeat"
            )

    def confirm_reservation(self, persisted: ReservationNeeded) -> Self:
        """Make a persisted reservation usable. Repeating it changes nothing.

        Raises `ValueError` for another generation, or for more than `reserve_uses` asked for.
        """
        with self._lock:
            most = self._reserved + BLOCK
            if persisted.generation != self.generation or persisted.reserved > most:
                raise ValueError("this reservation was not asked for")
            self._reserved = max(self._reserved, min(persisted.reserved, HARD_STOP))
        return self

    def rotation_due(self, now: int) -> bool:
        """Whether the KEK should be rotated at `now` (Unix ns): 2^30 uses or 90 days."""
        return self.used >= ROTATE_AT or now - self.created_at >= MAX_AGE
