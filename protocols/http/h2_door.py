"""Requests of an overloaded moment, turned away before they cost what a request costs.

h2 spends some 60 us on a request and its refusal: frames as objects, two state machines, events.
A refusal is always the same few bytes, and what h2 has to know of its stream afterwards is that its
number is used up. So whole HEADERS frames that end their stream are taken out of the input and
answered here; every other frame is h2's, in its place. Header blocks are decoded all the same, as
each may change the table that the next ones refer to.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from h2.connection import H2Connection as Engine

from protocols.http.blocks import BlockDecoder
from protocols.http.scope import Headers

Decide = Callable[[Iterable[tuple[bytes, bytes]]], tuple[Headers, bytes] | None]
"""Headers and body of the refusal for a request's fields; None to let it in."""

_HEADER: Final = 9  # RFC 9113 section 4.1
_DATA, _HEADERS = b"\x00", b"\x01"
_WHOLE: Final = b"\x01\x05"  # HEADERS with END_STREAM and END_HEADERS, no padding, no priority
_END_HEADERS, _END_STREAM = b"\x04", b"\x01"
_LARGEST: Final = 16 * 1024  # what every peer takes in one frame


class Door:
    """One connection's; `sift` may be called when a frame begins where `data` begins."""

    __slots__ = ("_answer", "_block", "_decoder", "_engine")

    def __init__(self, engine: Engine, decoder: BlockDecoder) -> None:
        self._engine = engine
        self._decoder = decoder
        self._answer: tuple[Headers, bytes] | None = None
        self._block = b""

    def sift(self, data: bytes, decide: Decide) -> Iterator[tuple[bytes, bytes]]:
        """Pairs of what is left for h2 (to be fed before going on) and the answers to the rest."""
        kept, position = 0, 0
        while len(data) - position >= _HEADER:
            length = int.from_bytes(data[position : position + 3], "big")
            end = position + _HEADER + length
            if end > len(data):
                break
            if data[position + 3 : position + 5] == _WHOLE:
                if kept < position:
                    yield data[kept:position], b""
                    kept = position
                if answer := self._turn_away(data[position:end], decide):
                    yield b"", answer
                    kept = end
            position = end
        if kept < len(data):
            yield data[kept:], b""

    def _turn_away(self, frame: bytes, decide: Decide) -> bytes:
        """The frames that answer; none for a request that is let in, or that h2 must look at."""
        engine, number = self._engine, frame[5:_HEADER]
        stream = int.from_bytes(number, "big")
        if not 0 < engine.highest_inbound_stream_id < stream or not stream % 2:
            return b""
        fields = self._decoder.foresee(frame[_HEADER:])
        answer = None if fields is None else decide(fields)
        if answer is None or not self._fits(len(answer[1])):
            return b""
        self._decoder.forget()
        engine.outbound_flow_control_window -= len(answer[1])
        engine.highest_inbound_stream_id = stream
        return self._frames(number, answer)

    def _fits(self, size: int) -> bool:
        engine = self._engine
        window = min(
            engine.outbound_flow_control_window, engine.remote_settings.initial_window_size
        )
        return size <= min(window, _LARGEST)

    def _frames(self, number: bytes, answer: tuple[Headers, bytes]) -> bytes:
        headers, body = answer
        if answer is not self._answer:
            self._answer = answer
            self._block = self._engine.encoder.encode([(b":status", b"503"), *headers])
        block = self._block
        return b"".join((
            len(block).to_bytes(3, "big"), _HEADERS, _END_HEADERS, number, block,
            len(body).to_bytes(3, "big"), _DATA, _END_STREAM, number, body,
        ))  # fmt: skip
