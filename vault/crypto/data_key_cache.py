"""Data keys that were unwrapped already: who reads a value again need not do it again.

Which key opens a value follows from its wrapped DEK, its commitment, its place and the keyring, and
from nothing else; those are what a key is found by, and the keyring's owner clears all when it
changes. So nothing that opening checks is left out (decision 3). Values are never kept.
"""

from collections import OrderedDict
from typing import Final, TypeAlias

DataKeyId: TypeAlias = tuple[bytes, bytes, str, int]
"""Wrapped DEK, commitment, secret id, version."""

KEY_BYTES: Final = 500  # that a key takes with what it is found by (measured by the test)
MIN_KEYS: Final = 4_096
MAX_KEYS: Final = 131_072
SHARD_KEYS: Final = 2_048  # keys at most; a dict that is built anew has everybody wait for so many
ADMIT_ONE_IN: Final = 8
"""As with `vault.model.memo`: of more values than there is room for in turn some are found."""
_SHARE: Final = 8


def capacity_for(cache_bytes: int) -> int:
    """How many keys to keep where a cache of so many bytes holds the rows of their values.

    They take an eighth as much at most. Parts fill unevenly: of seven eighths all are found.
    """
    return min(max(cache_bytes // (_SHARE * KEY_BYTES), MIN_KEYS), MAX_KEYS)


class DataKeyCache:
    """Parts by the hash of a wrapped DEK, each in the order of use. For one thread.

    An `OrderedDict` is built anew as a whole now and then: of one with 46,603 keys that took the
    event loop 4 ms again and again (decision 3). In how many places a key is looked for does
    not depend on how many there are (decision 3).
    """

    def __init__(self, most: int = MIN_KEYS) -> None:
        count = -(-most // SHARD_KEYS)  # rounded up
        self._most = most // count  # of one part
        self._passed = 0
        self._shards: list[OrderedDict[DataKeyId, bytes]] = [OrderedDict() for _ in range(count)]

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def get(self, origin: DataKeyId) -> bytes | None:
        """The key that was kept for exactly this."""
        part = self._shard_for(origin)
        key = part.get(origin)
        if key is not None and len(part) >= self._most:  # else nobody makes room
            part.move_to_end(origin)
        return key

    def put(self, origin: DataKeyId, key: bytes) -> None:
        """Remember it; where others have to make room, one in `ADMIT_ONE_IN`.

        At the expense of what was not used for long.
        """
        part = self._shard_for(origin)
        if len(part) >= self._most and origin not in part:
            self._passed += 1
            if self._passed % ADMIT_ONE_IN:
                return
            part.popitem(last=False)
        part[origin] = key

    def clear(self) -> None:
        """Forget all."""
        for part in self._shards:
            part.clear()

    def _shard_for(self, origin: DataKeyId) -> OrderedDict[DataKeyId, bytes]:
        return self._shards[hash(origin[0]) % len(self._shards)]
