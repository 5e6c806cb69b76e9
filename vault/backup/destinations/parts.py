"""Objects in parts: how an object store, which has no appending, takes one that is long.

Each part is an object of its own, written once like any other. The object's name is written last:
it holds an index. See docs/spec/backup.md, "Parts".
"""

import io
from collections.abc import Callable
from typing import Annotated, Any, BinaryIO, Final, cast

import msgspec

from protocols import json_text

MAGIC: Final = b"freehold-parts-v1\n"
MAX_INDEX: Final = 512
"""Bytes of an index; longer objects are none."""
PART_SIZE: Final = 8 * 2**20
FOLDER: Final = ".parts"

_FETCH: Final = 2 * 2**20
"""Bytes that are read at a time: a restore has up to 64 objects open, and so many for each."""
Count = Annotated[int, msgspec.Meta(ge=1, le=2**48)]


class PartIndex(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All parts have `part_size` bytes, but for the last one."""

    upload: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f-]{1,64}$")]
    parts: Count
    part_size: Count
    size: Count

    def encode(self) -> bytes:
        """The index as it is stored."""
        return MAGIC + msgspec.json.encode(self) + b"\n"

    def part_name(self, name: str, number: int) -> str:
        """Of a part of the object `name`; they are numbered from 0."""
        return part_name(name, self.upload, number)


def part_name(name: str, upload: str, number: int) -> str:
    """Where a part of an upload is."""
    return f"{FOLDER}/{name}/{upload}/{number:06}"


def decode_index(data: bytes) -> PartIndex | None:
    """The index, or None if these bytes are an object's own. Raises `ValueError`."""
    if not data.startswith(MAGIC):
        return None
    try:
        index = json_text.decode(data[len(MAGIC) :], type=PartIndex)
    except msgspec.MsgspecError:
        raise ValueError("its index of parts is damaged") from None
    if not (index.parts - 1) * index.part_size < index.size <= index.parts * index.part_size:
        raise ValueError("the sizes in its index of parts do not fit together")
    return index


Fetch = Callable[[str, int, int], bytes]
"""Name, first byte and count to bytes: all of them, or fewer at the end of what is there."""


def reader(name: str, size: int, index: PartIndex | None, fetch: Fetch) -> BinaryIO:
    """A whole object, or one in parts, to be read from its beginning in bounded memory."""
    return cast("BinaryIO", io.BufferedReader(_Reader(name, size, index, fetch), _FETCH))


class _Reader(io.RawIOBase):
    """Fetches what is read next."""

    def __init__(self, name: str, size: int, index: PartIndex | None, fetch: Fetch) -> None:
        self._name, self._size, self._index, self._fetch = name, size, index, fetch
        self._at = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """The next bytes; 0 at the end, be it too early."""
        count = min(len(buffer), self._size - self._at, _FETCH)
        if count <= 0:
            return 0
        name, first = self._name, self._at
        if self._index is not None:
            number, first = divmod(self._at, self._index.part_size)
            name = self._index.part_name(name, number)
            count = min(count, self._index.part_size - first)
        data = self._fetch(name, first, count)[:count]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
