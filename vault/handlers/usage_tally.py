"""What was used since it was last asked: by secret and by credential, from what is flushed.

The counters of reads and of uses hand over what they have written; a request costs nothing more.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from vault.model.records import AccessRow

MAX_TALLIED: Final = 100_000
"""Secrets, and credentials, counted at a time; what comes later is not told apart any more."""


class UsageTally:
    """Outlives the sealing of the vault. Nothing of it is stored."""

    def __init__(self) -> None:
        self.reads: dict[str, int] = {}
        self.uses: dict[str, int] = {}

    def add_reads(self, rows: Iterable[AccessRow]) -> None:
        """Reads of values that were just written to the database."""
        for row in rows:
            if row.value_reads:
                _add(self.reads, row.secret_id, row.value_reads)

    def add_uses(self, uses: Mapping[str, tuple[int, int]]) -> None:
        """Uses of credentials, the same: how often, and when last."""
        for credential, (count, _) in uses.items():
            _add(self.uses, credential, count)

    def clear(self) -> None:
        """Begin anew."""
        self.reads, self.uses = {}, {}


def _add(counts: dict[str, int], key: str, count: int) -> None:
    if key in counts or len(counts) < MAX_TALLIED:
        counts[key] = counts.get(key, 0) + count
