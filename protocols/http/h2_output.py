"""The frames of one HTTP/2 connection that wait to be sent."""

from collections.abc import Iterable

from protocols.http.blocks import BlockEncoder
from protocols.http.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    LARGEST,
    frame,
    reset_frame,
    window_frame,
)
from protocols.http.scope import Headers


class Output:
    """Frames go in, in their order; the bytes of all of them come out. Windows are the caller's."""

    __slots__ = ("_encoder", "_frames", "_refusal", "size")

    def __init__(self) -> None:
        self._encoder = BlockEncoder()
        self._frames: list[bytes] = []
        self._refusal: tuple[Headers | None, bytes] = (None, b"")  # the last one, and its block
        self.size = 0  # bytes that wait

    def take(self) -> bytes:
        """All that waits, which then waits no more."""
        data = b"".join(self._frames)
        self._frames.clear()
        self.size = 0
        return data

    def add(self, data: bytes) -> None:
        """One frame, or several."""
        self._frames.append(data)
        self.size += len(data)

    def head(
        self, number: int, status: int, headers: Iterable[tuple[bytes, bytes]], *, end: bool
    ) -> None:
        """The head of a response: HEADERS, and CONTINUATION for what does not fit (6.2, 6.10)."""
        block = self._encoder.encode(status, headers)
        flags = END_STREAM if end else 0
        if len(block) <= LARGEST:
            self.add(frame(HEADERS, flags | END_HEADERS, number, block))
            return
        self.add(frame(HEADERS, flags, number, block[:LARGEST]))
        for begin in range(LARGEST, len(block), LARGEST):
            flags = END_HEADERS if begin + LARGEST >= len(block) else 0
            self.add(frame(CONTINUATION, flags, number, block[begin : begin + LARGEST]))

    def refusal(self, number: int, headers: Headers, body: bytes) -> None:
        """A whole 503. One that is given to many (the same object) is encoded once."""
        if headers is not self._refusal[0]:
            self._refusal = headers, self._encoder.encode(503, headers)
        self.add(frame(HEADERS, END_HEADERS, number, self._refusal[1]))
        self.add(frame(DATA, END_STREAM, number, body))

    def body(self, number: int, data: bytes, *, end: bool) -> None:
        """Part of a response's body: DATA (section 6.1), one frame even if it is empty."""
        size = len(data)
        if size <= LARGEST:
            self.add(frame(DATA, END_STREAM if end else 0, number, data))
            return
        for begin in range(0, size, LARGEST):
            flags = END_STREAM if end and begin + LARGEST >= size else 0
            self.add(frame(DATA, flags, number, data[begin : begin + LARGEST]))

    def reset(self, number: int, code: int) -> None:
        """RST_STREAM."""
        self.add(reset_frame(number, code))

    def window(self, number: int, by: int) -> None:
        """WINDOW_UPDATE, unless it would say nothing."""
        if by:
            self.add(window_frame(number, by))
