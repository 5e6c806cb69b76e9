"""Records to the data object: compressed, in sealed chunks, with both Merkle trees."""

from collections.abc import Callable
from struct import Struct as Packing
from typing import Final, NamedTuple

import zstandard

from protocols.merkle import Frontier, leaf_hash
from vault.backup.format import MAX_RECORD
from vault.crypto.backup_keys import stream_key
from vault.crypto.digest import sha256
from vault.crypto.stream import CHUNK_SIZE, StreamSealer
from vault.errors import ValidationError

LENGTH: Final = Packing(">I")
_LEVEL: Final = 3  # of Zstandard: its default; its window is 2 MiB
_STORE_LEVEL: Final = -(2**17)
"""The least of Zstandard: it looks for next to no matches, so most blocks are stored as they are.
The frame is one as any other."""


class Content(NamedTuple):
    """What the manifest says of the data object."""

    header: str
    size: int
    chunks: int
    chunk_root: str
    content: int
    records: int
    row_root: str


class BackupWriter:
    """Writes one data object; `write` takes its next bytes. Without `compress` it is stored."""

    def __init__(
        self,
        write: Callable[[bytes], object],
        header: bytes,
        file_key: bytes,
        *,
        compress: bool = True,
    ) -> None:
        self._write = write
        self._header = sha256(header)
        self._sealer = StreamSealer(stream_key(file_key, self._header), self._header)
        self._compressor = zstandard.ZstdCompressor(
            level=_LEVEL if compress else _STORE_LEVEL
        ).compressobj()
        self._pending = bytearray()
        self._chunks, self._rows = Frontier(sha256), Frontier(sha256)
        self._content = 0
        self._size = len(header)
        write(header)

    def add(self, record: bytes) -> None:
        """The next record. Raises `ValidationError` for one that is too long."""
        if len(record) > MAX_RECORD:
            raise ValidationError("backup_too_large", f"a row has more than {MAX_RECORD} bytes")
        self._rows.append(leaf_hash(sha256, record))
        self._content += LENGTH.size + len(record)
        self._take(self._compressor.compress(LENGTH.pack(len(record)) + record))

    def finish(self) -> Content:
        """Write the last chunk."""
        self._take(self._compressor.flush())
        self._emit(bytes(self._pending), last=True)
        return Content(
            header=self._header.hex(),
            size=self._size,
            chunks=self._chunks.size,
            chunk_root=self._chunks.root().hex(),
            content=self._content,
            records=self._rows.size,
            row_root=self._rows.root().hex(),
        )

    def _take(self, compressed: bytes) -> None:
        self._pending += compressed
        while len(self._pending) > CHUNK_SIZE:  # one byte at least is left for the last chunk
            self._emit(bytes(self._pending[:CHUNK_SIZE]), last=False)
            del self._pending[:CHUNK_SIZE]

    def _emit(self, chunk: bytes, *, last: bool) -> None:
        box = self._sealer.seal(chunk, last=last)
        self._chunks.append(leaf_hash(sha256, box))
        self._size += len(box)
        self._write(box)
