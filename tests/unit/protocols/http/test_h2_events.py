"""What protocols.http.h2_events promises."""

from hpack import Encoder

from protocols.http.h2_events import (
    DataReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowOpened,
)
from protocols.http.h2_frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PREFACE,
    encode_frame,
    reset_frame,
    settings_frame,
    window_frame,
)
from protocols.http.h2_machine import H2Machine
from protocols.http.h2_request import vet_request
from protocols.http.limits import Limits

FIELDS = [(b":method", b"PUT"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a")]


def test_one_of_each() -> None:
    """A connection in events: they are values, and say all that a handler has to know."""
    encoder = Encoder()
    data = PREFACE + settings_frame([])
    data += encode_frame(HEADERS, END_HEADERS, 1, encoder.encode(FIELDS))
    data += encode_frame(HEADERS, END_HEADERS | END_STREAM, 3, encoder.encode(FIELDS))
    data += encode_frame(DATA, PADDED | END_STREAM, 1, b"\x02abc..") + window_frame(0, 9)
    data += reset_frame(3, 8)
    request = vet_request(FIELDS, Limits())
    assert H2Machine(Limits(), 0.0).feed(data, 0.0) == [
        RequestReceived(1, request, ended=False),
        RequestReceived(3, request, ended=True),
        DataReceived(1, b"abc", 6),
        StreamEnded(1),
        WindowOpened(),
        StreamReset(3),
    ]
