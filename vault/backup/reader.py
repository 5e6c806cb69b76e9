"""The data object to records. Everything that is read is bounded, and compared with the manifest.

The manifest has been verified before. What it says cannot be checked until the end, so nothing that
is read here may be relied on before `entries` has come to its end.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO, Final, NamedTuple, TypeAlias

import msgspec
import zstandard

from protocols.merkle import Frontier, leaf_hash
from vault.backup.format import (
    MAGIC,
    MAX_HEADER,
    MAX_RECORD,
    TABLES,
    Header,
    Manifest,
    TableCount,
    damaged,
    decode_header,
    memory_short,
)
from vault.backup.writer import LENGTH
from vault.crypto.aead import TAG_SIZE
from vault.crypto.backup_keys import stream_key
from vault.crypto.digest import sha256
from vault.crypto.errors import CryptoError
from vault.crypto.stream import SEALED_CHUNK_SIZE, StreamOpener
from vault.store.bulk import encode_row
from vault.store.table import Key, Table

_WINDOW: Final = 8 * 2**20
"""Bytes of a Zstandard window: what every decompressor has to accept (RFC 8878, 3.1.1.1.2)."""
_PIECE: Final = 512
"""Compressed bytes that are decompressed at a time. 4 of them become at most 128 KiB (RFC 8878,
3.1.1.2), so what comes of a piece is at most 16 MiB, whoever made it."""
_MAPS: Final = (*range(0x80, 0x90), 0xDE, 0xDF)  # first bytes of a MessagePack map

_NO_MEMORY: Final = "not enough memory"
"""In the error of Zstandard when it gets no memory, which says nothing of the data."""

Place: TypeAlias = tuple[int, Key]
"""Of a row in a vault: the position of its table in `TABLES`, and its key."""
_decode: Final = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw]).decode
_decode_key: Final = msgspec.msgpack.Decoder(tuple[str | int, ...]).decode
_POSITIONS: Final = {table.name: number for number, table in enumerate(TABLES)}


class Entry(NamedTuple):
    """A row, or None for one that was removed since the base."""

    place: Place
    row: Any
    record: bytes

    @property
    def table(self) -> Table[Any]:
        """Whose row it is."""
        return TABLES[self.place[0]]


def read_header(source: BinaryIO, manifest: Manifest) -> tuple[Header, bytes]:
    """The header and its bytes. Raises `TamperedError` unless it is the manifest's."""
    encoded = source.read(len(MAGIC))
    if encoded == MAGIC:
        encoded += source.readline(MAX_HEADER)
    if sha256(encoded).hex() != manifest.header:
        raise damaged(f"the data of {manifest.id} is not what its manifest says")
    header = decode_header(encoded)
    mine = (header.org, header.vault, header.id, header.base, header.excluded)
    if mine != (manifest.org, manifest.vault, manifest.id, manifest.base, manifest.excluded):
        raise damaged(f"the header of {manifest.id} is of another backup")
    return header, encoded


class ChunkReader:
    """The sealed chunks behind the header, in their order.

    They are those of the manifest, or it raises `TamperedError`: at the last one at the latest.
    """

    def __init__(self, source: BinaryIO, manifest: Manifest, header_size: int) -> None:
        self._source = source
        self._manifest = manifest
        self._last_size = manifest.size - header_size - (manifest.chunks - 1) * SEALED_CHUNK_SIZE
        if manifest.chunks < 1 or not TAG_SIZE < self._last_size <= SEALED_CHUNK_SIZE:
            raise damaged(f"the sizes in the manifest of {manifest.id} do not fit together")

    def chunks(self) -> Iterator[tuple[bytes, bool]]:
        """Each with whether it is the last."""
        tree = Frontier(sha256)
        for number in range(1, self._manifest.chunks + 1):
            is_last = number == self._manifest.chunks
            size = self._last_size if is_last else SEALED_CHUNK_SIZE
            box = _read_exactly(self._source, size)
            if len(box) != size:
                raise damaged(f"the data of {self._manifest.id} is cut short in chunk {number}")
            tree.append(leaf_hash(sha256, box))
            if is_last and (self._source.read(1) or tree.root().hex() != self._manifest.chunk_root):
                raise damaged(f"the chunks of {self._manifest.id} are not those of its manifest")
            yield box, is_last


class BackupReader:
    """Reads one data object whose header was read."""

    def __init__(
        self, source: BinaryIO, manifest: Manifest, header: bytes, file_key: bytes
    ) -> None:
        self._manifest = manifest
        self._chunks = ChunkReader(source, manifest, len(header))
        hash_ = sha256(header)
        self._opener = StreamOpener(stream_key(file_key, hash_), hash_)

    def entries(self) -> Iterator[Entry]:
        """All of it, by ascending places. Raises `TamperedError`."""
        before: Place = (-1, ())
        counts = [[0, 0] for _ in TABLES]
        rows = Frontier(sha256)
        for record in self._records():
            rows.append(leaf_hash(sha256, record))
            entry = self._entry(record)
            if entry.place <= before:
                raise self._damaged("has rows twice, or out of order")
            before = entry.place
            counts[before[0]][entry.row is None] += 1
            yield entry
        tables = tuple(
            TableCount(table.name, *count)
            for table, count in zip(TABLES, counts, strict=True)
            if any(count)
        )
        told = tuple(count for count in self._manifest.tables if count.rows or count.removed)
        if (rows.size, rows.root().hex()) != (
            self._manifest.records,
            self._manifest.row_root,
        ) or tables != told:
            raise self._damaged("has other rows than its manifest says")

    def _entry(self, record: bytes) -> Entry:
        try:
            name, raw = _decode(record)
            position = _POSITIONS[name]
            table, data = TABLES[position], bytes(raw)
            if data[0] in _MAPS:
                row = table.unpack(data)
                key, again = table.key_of(row), encode_row(table, row)
            else:
                row, key = None, _decode_key(data)
                again = encode_removal(table, key)
                _require_key(table, key)
        except (msgspec.MsgspecError, KeyError, ValueError, RecursionError):
            raise self._damaged("has a record that is not a row") from None
        if again != record:
            raise self._damaged("has a record in another form")
        return Entry((position, key), row, record)

    def _records(self) -> Iterator[bytes]:
        buffer, seen = bytearray(), 0
        for piece in self._decompress():
            seen += len(piece)
            if seen > self._manifest.content:
                raise self._damaged("has more than its manifest says")
            buffer += piece
            start = 0
            while len(buffer) - start >= LENGTH.size:
                (length,) = LENGTH.unpack_from(buffer, start)
                if length > MAX_RECORD:
                    raise self._damaged("has a record that is too long")
                end = start + LENGTH.size + length
                if end > len(buffer):
                    break
                yield bytes(buffer[start + LENGTH.size : end])
                start = end
            del buffer[:start]
        if buffer or seen != self._manifest.content:
            raise self._damaged("has less than its manifest says")

    def _decompress(self) -> Iterator[bytes]:
        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
        for box, is_last in self._chunks.chunks():
            try:
                chunk = self._opener.open_(box, last=is_last)
            except CryptoError:
                raise self._damaged("has a chunk that does not open") from None
            for start in range(0, len(chunk), _PIECE):
                if decompressor.eof:
                    raise self._damaged("goes on behind its end")
                try:
                    piece = decompressor.decompress(chunk[start : start + _PIECE])
                except zstandard.ZstdError as error:
                    if _NO_MEMORY in str(error):
                        raise memory_short(self._manifest.id) from None
                    raise self._damaged("does not decompress") from None
                if piece:
                    yield piece
        if not decompressor.eof or decompressor.unused_data:
            raise self._damaged("does not end where it should")

    def _damaged(self, what: str) -> Exception:
        return damaged(f"the data of {self._manifest.id} {what}")


def encode_removal(table: Table[Any], key: Key) -> bytes:
    """The record of a row that was removed: the table's name and the key."""
    return msgspec.msgpack.encode((table.name, list(key)))


def _require_key(table: Table[Any], key: Key) -> None:
    types = [column.type for name in table.key for column in table.columns if column.name == name]
    if [type(part) for part in key] != types:
        raise ValueError("not a key of this table")


def _read_exactly(source: BinaryIO, size: int) -> bytes:
    """So many bytes, or fewer at the end."""
    parts: list[bytes] = []
    while size and (part := source.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
