"""One entry of the egress ledger: what left, when, where to, in a chain of hashes. Pure.

A file of the ledger is JSON lines. Its first is a header that carries the chain on from the file
before; each further line is an entry and names the SHA-256 of the line before it. What was sent is
in it whole, so that the owner can read it and compare it with a packet capture.
Specified in docs/spec/egress.md.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from typing import Final, Literal, Self, TypeAlias

import msgspec
from msgspec import Struct

from protocols import json_text
from protocols.instant import rfc3339
from protocols.link.signing import sha256

FIRST_HASH: Final = bytes(32).hex()
"""The `prev` of the first file's header."""
MAX_LINE: Final = 1024 * 1024
"""Bytes; a frame of 256 KiB in base64 with all that is around it stays well below."""

EntryKind: TypeAlias = Literal["frame", "request"]


class LedgerHeader(Struct, frozen=True, kw_only=True, tag="header", tag_field="type"):
    """The first line of a file. `number`, `entries` and `bytes` count what came before it."""

    number: int
    entries: int
    bytes: int
    prev: str


class LedgerEntry(Struct, frozen=True, kw_only=True, tag="sent", tag_field="type"):
    """Something that was handed to TLS, or was about to be when the agent stopped.

    `frame`: one websocket message of the link. `request`: the body of one HTTPS request to `path`.
    `offset` counts the bytes of these that went before over the same `connection`.
    """

    entry: int
    time: str
    kind: EntryKind
    peer: str
    path: str
    connection: str
    offset: int
    length: int
    sha256: str
    data: str
    prev: str

    @property
    def content(self) -> bytes:
        """The bytes that were sent."""
        return b64decode(self.data)


class BadLedgerError(Exception):
    """The ledger is not whole; says where."""


class LedgerChain:
    """Where the ledger stands: the next entry's number, all bytes so far, the last line's hash."""

    __slots__ = ("bytes", "entries", "head")

    def __init__(self, entries: int = 0, total: int = 0, head: str = FIRST_HASH) -> None:
        self.entries = entries
        self.bytes = total
        self.head = head

    def copy(self) -> Self:
        """An independent chain in the same place."""
        return type(self)(self.entries, self.bytes, self.head)

    def header_line(self, number: int) -> bytes:
        """The first line of file `number`, with its newline."""
        return self._line(
            LedgerHeader(number=number, entries=self.entries, bytes=self.bytes, prev=self.head)
        )

    def entry_line(self, sending: "EgressStream", content: bytes, now: int) -> bytes:
        """The line of the next entry, with its newline. `now`: Unix nanoseconds."""
        self.entries += 1
        self.bytes += len(content)
        return self._line(
            LedgerEntry(
                entry=self.entries,
                time=rfc3339(now),
                kind=sending.kind,
                peer=sending.peer,
                path=sending.path,
                connection=sending.connection,
                offset=sending.offset,
                length=len(content),
                sha256=sha256(content).hex(),
                data=b64encode(content).decode(),
                prev=self.head,
            )
        )

    def verify_next(self, line: bytes) -> LedgerHeader | LedgerEntry:
        """Read the next line (without its newline). Raises `BadLedgerError`."""
        read = decode_line(line)
        if read.prev != self.head:
            raise BadLedgerError("does not follow the line before it")
        if isinstance(read, LedgerHeader):
            self._check_header(read)
        else:
            self._check_entry(read)
        self.head = sha256(line).hex()
        return read

    def _check_header(self, header: LedgerHeader) -> None:
        if (header.entries, header.bytes) != (self.entries, self.bytes):
            raise BadLedgerError("counts other entries than were read")

    def _check_entry(self, entry: LedgerEntry) -> None:
        if entry.entry != self.entries + 1:
            raise BadLedgerError("has another number than the next")
        content = entry.content
        if len(content) != entry.length or sha256(content).hex() != entry.sha256:
            raise BadLedgerError("holds other bytes than it says")
        self.entries += 1
        self.bytes += entry.length

    def _line(self, entry: LedgerHeader | LedgerEntry) -> bytes:
        line = msgspec.json.encode(entry)
        self.head = sha256(line).hex()
        return line + b"\n"


class EgressStream(Struct, kw_only=True):
    """One connection's place in the ledger; `offset` moves on with what is recorded."""

    kind: EntryKind
    peer: str
    path: str
    connection: str
    offset: int = 0


def encode_entries(
    chain: LedgerChain, sending: EgressStream, contents: Iterable[bytes], now: int
) -> bytes:
    """The lines for several contents in their order; moves chain and connection on."""
    made = []
    for content in contents:
        made.append(chain.entry_line(sending, content, now))
        sending.offset += len(content)
    return b"".join(made)


def decode_line(line: bytes) -> LedgerHeader | LedgerEntry:
    """A line as it stands, its place not checked. Raises `BadLedgerError`."""
    try:
        read: LedgerHeader | LedgerEntry = json_text.decode(line, type=LedgerHeader | LedgerEntry)
        if isinstance(read, LedgerEntry):
            b64decode(read.data, validate=True)
    except (msgspec.MsgspecError, UnicodeDecodeError, Base64Error, ValueError):
        raise BadLedgerError("is not a line of an egress ledger") from None
    if msgspec.json.encode(read) != line:
        raise BadLedgerError("is not written in its one form")
    return read


def resume_chain(header: LedgerHeader, line: bytes) -> LedgerChain:
    """The chain behind a header whose predecessor is gone, as rotation lets it go."""
    return LedgerChain(header.entries, header.bytes, sha256(line).hex())
