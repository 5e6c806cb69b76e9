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
    NUMBER_BEGINS,
    NUMBER_ENDS,
    frame,
    reset_frame,
    window_frame,
)
from protocols.http.scope import Headers


class Output:
    """Frames go in, in their order; the bytes of all of them come out. Windows are the caller's."""

    __slots__ = ("_encoder", "_frames", "_refusal", "_refused", "size")

    def __init__(self) -> None:
        self._encoder = BlockEncoder()
        self._frames: list[bytes] = []
        self._refused: tuple[Headers | None, bytes] = (None, b"")  # the last one, and its body
        self._refusal: tuple[bytes, bytes, bytes] = (b"", b"", b"")  # between its streams' numbers
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
        """A whole 503, which is measured here.

        One that is given to many (the same object) is encoded once.
        """
        if headers is not self._refused[0] or body is not self._refused[1]:
            measured = [*headers, (b"content-length", b"%d" % len(body))]
            head = frame(HEADERS, END_HEADERS, 0, self._encoder.encode(503, measured))
            data = frame(DATA, END_STREAM, 0, body)
            middle = head[NUMBER_ENDS:] + data[:NUMBER_BEGINS]
            self._refusal = head[:NUMBER_BEGINS], middle, data[NUMBER_ENDS:]
            self._refused = headers, body
        self.add(number.to_bytes(4).join(self._refusal))

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
