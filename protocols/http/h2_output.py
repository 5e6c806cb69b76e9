"""The frames of one HTTP/2 connection that wait to be sent."""

from collections.abc import Iterable

from protocols.http.asgi import Headers
from protocols.http.h2_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    MAX_FRAME_PAYLOAD,
    NUMBER_BEGINS,
    NUMBER_ENDS,
    encode_frame,
    reset_frame,
    window_frame,
)
from protocols.http.header_blocks import HeaderBlockEncoder


class OutputQueue:
    """Frames go in, in their order; the bytes of all of them come out. Windows are the caller's."""

    __slots__ = ("_encoder", "_frames", "_refusal", "_refused", "size")

    def __init__(self) -> None:
        self._encoder = HeaderBlockEncoder()
        self._frames: list[bytes] = []
        self._refused: tuple[Headers | None, bytes] = (None, b"")  # the last one, and its body
        self._refusal: tuple[bytes, bytes, bytes] = (b"", b"", b"")  # between its streams' numbers
        self.size = 0  # bytes that wait

    def take_bytes(self) -> bytes:
        """All that waits, which then waits no more."""
        data = b"".join(self._frames)
        self._frames.clear()
        self.size = 0
        return data

    def add_frames(self, data: bytes) -> None:
        """One frame, or several."""
        self._frames.append(data)
        self.size += len(data)

    def add_headers(
        self, number: int, status: int, headers: Iterable[tuple[bytes, bytes]], *, end: bool
    ) -> None:
        """The head of a response: HEADERS, and CONTINUATION for what does not fit (6.2, 6.10)."""
        block = self._encoder.encode(status, headers)
        flags = END_STREAM if end else 0
        if len(block) <= MAX_FRAME_PAYLOAD:
            self.add_frames(encode_frame(HEADERS, flags | END_HEADERS, number, block))
            return
        self.add_frames(encode_frame(HEADERS, flags, number, block[:MAX_FRAME_PAYLOAD]))
        for begin in range(MAX_FRAME_PAYLOAD, len(block), MAX_FRAME_PAYLOAD):
            flags = END_HEADERS if begin + MAX_FRAME_PAYLOAD >= len(block) else 0
            self.add_frames(
                encode_frame(CONTINUATION, flags, number, block[begin : begin + MAX_FRAME_PAYLOAD])
            )

    def add_refusal(self, number: int, headers: Headers, body: bytes) -> None:
        """A whole 503, which is measured here.

        One that is given to many (the same object) is encoded once.
        """
        if headers is not self._refused[0] or body is not self._refused[1]:
            measured = [*headers, (b"content-length", b"%d" % len(body))]
            head = encode_frame(HEADERS, END_HEADERS, 0, self._encoder.encode(503, measured))
            data = encode_frame(DATA, END_STREAM, 0, body)
            middle = head[NUMBER_ENDS:] + data[:NUMBER_BEGINS]
            self._refusal = head[:NUMBER_BEGINS], middle, data[NUMBER_ENDS:]
            self._refused = headers, body
        self.add_frames(number.to_bytes(4).join(self._refusal))

    def add_data(self, number: int, data: bytes, *, end: bool) -> None:
        """Part of a response's body: DATA (section 6.1), one frame even if it is empty."""
        size = len(data)
        if size <= MAX_FRAME_PAYLOAD:
            self.add_frames(encode_frame(DATA, END_STREAM if end else 0, number, data))
            return
        for begin in range(0, size, MAX_FRAME_PAYLOAD):
            flags = END_STREAM if end and begin + MAX_FRAME_PAYLOAD >= size else 0
            self.add_frames(
                encode_frame(DATA, flags, number, data[begin : begin + MAX_FRAME_PAYLOAD])
            )

    def add_reset(self, number: int, code: int) -> None:
        """RST_STREAM."""
        self.add_frames(reset_frame(number, code))

    def add_window_update(self, number: int, by: int) -> None:
        """WINDOW_UPDATE, unless it would say nothing."""
        if by:
            self.add_frames(window_frame(number, by))
