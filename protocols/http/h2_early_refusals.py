"""HTTP/2 requests that are turned away before anything is made of them: no list, no stream.

Possible where the block leaves the tables as they are and is like one that was read before; that is
what a client sends that asks again and again, and those make up an overload.
"""

from protocols.http import h2_frames
from protocols.http.asgi import MakeOverloadResponse
from protocols.http.h2_frames import END_HEADERS, END_STREAM, MAX_FRAME_PAYLOAD, Frame
from protocols.http.h2_output import OutputQueue
from protocols.http.h2_streams import StreamState, StreamTable
from protocols.http.header_blocks import HeaderBlockDecoder

_WHOLE = END_HEADERS | END_STREAM  # flags of a request that is one frame


class EarlyRefusals:
    """Of one connection. Without `turn_away` there are none."""

    __slots__ = ("_blocks", "_output", "_streams", "_turn_away", "count")

    def __init__(
        self,
        blocks: HeaderBlockDecoder,
        streams: StreamTable,
        output: OutputQueue,
        turn_away: MakeOverloadResponse | None,
    ) -> None:
        self._blocks = blocks
        self._streams = streams
        self._output = output
        self._turn_away = turn_away
        self.count = 0

    def refuse(self, frame: Frame, window: int) -> int:
        """Answer HEADERS with 503: how many bytes of the window it took, 0 where it cannot be.

        It has to be a whole request on a new stream, and not urgent. Free to the meter, as all is
        that opens a stream. Raises ProtocolViolationError.
        """
        number, streams = frame.stream, self._streams
        if frame.flags & _WHOLE != _WHOLE or number <= streams.highest or not number % 2:
            return 0
        if self._turn_away is None:
            return 0
        target = self._blocks.peek_target(h2_frames.headers_fragment(frame.flags, frame.payload))
        answer = self._turn_away(target) if target is not None else None
        if answer is None or len(answer[1]) > min(window, MAX_FRAME_PAYLOAD):
            return 0
        streams.highest = number
        streams.close(number, StreamState.ENDED)
        self._output.add_refusal(number, *answer)
        self.count += 1
        return len(answer[1])
