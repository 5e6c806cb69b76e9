"""Request bodies on HTTP/1.1: how many bytes belong to this message, and which.

A server that reads past the end hands the rest to the wrong request, so all of it is strict.
"""

import re

from protocols.http.errors import RefusedError

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# RFC 9112 section 7.1: chunk-size is hex digits, extensions are ignored but bounded. Eight digits
# are 4 GiB, far above any body limit. Nothing here may hold CR or LF. An extension is a name and a
# value without the blanks that the grammar calls bad: other readers disagree on what else ends one.
_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"'
_EXTENSION = rb";" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?+"
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8}+)(?:" + _EXTENSION + rb")*+")
_TRAILER = re.compile(_TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+")
_LINE = 1024  # longest size line or trailer
_TRAILERS = 8 * 1024  # all trailers together; they are read and dropped
_FREE_CHUNKS = 1024  # chunks may be small up to here; beyond, at least _MEAN_CHUNK on average,
_MEAN_CHUNK = 64  # because one-byte chunks cost us hundreds of times what they cost the sender


class FixedLengthBody:
    """A body of a declared length."""

    __slots__ = ("done", "remaining")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.done = length == 0

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """Split `data` into what is body and what comes after the message."""
        size = len(data)
        if size <= self.remaining:
            self.remaining -= size
            self.done = self.remaining == 0
            return data, b""
        cut = self.remaining
        self.remaining = 0
        self.done = True
        return data[:cut], data[cut:]


class ChunkedBody:
    """A body in chunks (RFC 9112 section 7.1), at most `limit` bytes of it."""

    __slots__ = ("_chunks", "_left", "_limit", "_line", "_part", "_total", "_trailers", "done")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._part = "size"  # size → data → after → size … → trailers
        self._line = b""
        self._left = 0
        self._total = 0
        self._chunks = 0
        self._trailers = 0
        self.done = False

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """Split `data` into decoded body and what comes after the message.

        Raises RefusedError: 400 for anything but the exact grammar, 413 above the limit.
        """
        body: list[bytes] = []
        position = 0
        while position < len(data) and not self.done:
            if self._part == "data":
                piece = data[position : position + self._left]
                position += len(piece)
                self._left -= len(piece)
                body.append(piece)
                if self._left == 0:
                    self._part = "after"
            else:
                position = self._read_line(data, position)
        return b"".join(body), data[position:]

    def _read_line(self, data: bytes, position: int) -> int:
        """Consume up to and including the next LF; act on the line once it is whole."""
        end = data.find(b"\n", position)
        stop = len(data) if end < 0 else end + 1
        self._line += data[position:stop]
        if len(self._line) > _LINE:
            raise _bad("chunk line is too long")
        if end >= 0:
            if not self._line.endswith(b"\r\n"):
                raise _bad("line ends without CR LF")
            line, self._line = self._line[:-2], b""
            self._on_line(line)
        return stop

    def _on_line(self, line: bytes) -> None:
        if self._part == "size":
            self._on_size(line)
        elif self._part == "after":
            if line:
                raise _bad("chunk is longer than its size")
            self._part = "size"
        else:
            self._on_trailer(line)

    def _on_size(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise _bad("chunk size is not a number")
        self._left = int(match[1], 16)
        self._total += self._left
        self._chunks += 1
        if self._total > self._limit:
            raise RefusedError(413, "body_too_large", "request body is too large")
        if self._chunks > _FREE_CHUNKS + self._total // _MEAN_CHUNK:
            raise _bad("chunks are too small")
        self._part = "data" if self._left else "trailers"

    def _on_trailer(self, line: bytes) -> None:
        if not line:
            self.done = True
            return
        self._trailers += len(line)
        if self._trailers > _TRAILERS:
            raise RefusedError(431, "trailers_too_large", "trailer section is too large")
        if _TRAILER.fullmatch(line) is None:
            raise _bad("trailer is not a header line")


def _bad(message: str) -> RefusedError:
    return RefusedError(400, "bad_chunk", message)


BodyDecoder = FixedLengthBody | ChunkedBody
