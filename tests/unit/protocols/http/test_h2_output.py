"""What protocols.http.h2_output promises."""

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded

from protocols.http.h2_frames import MAX_FRAME_PAYLOAD, settings_frame
from protocols.http.h2_output import OutputQueue


def client() -> H2Connection:
    """A client that has asked on stream 1, and takes anything."""
    made = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    made.initiate_connection()
    made.increment_flow_control_window(1 << 20)
    pseudo = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/")]
    made.send_headers(1, [*pseudo, (b":authority", b"a")], end_stream=True)
    made.increment_flow_control_window(1 << 20, 1)
    made.decoder.max_header_list_size = 1 << 20
    made.receive_data(settings_frame([]))
    return made


@pytest.mark.parametrize(
    "size",
    [0, 1, MAX_FRAME_PAYLOAD - 1, MAX_FRAME_PAYLOAD, MAX_FRAME_PAYLOAD + 1, 3 * MAX_FRAME_PAYLOAD],
)
def test_heads_and_bodies_of_any_size(size: int) -> None:
    """No frame is above what every peer takes; the end is said once, at the end."""
    output = OutputQueue()
    output.add_headers(1, 200, [(b"x", b"y" * size)], end=False)
    output.add_data(1, b"z" * size, end=True)
    assert output.size > 2 * size
    size_said, data = output.size, output.take_bytes()
    assert (size_said, output.size, output.take_bytes()) == (len(data), 0, b"")
    events = client().receive_data(data)
    response = next(e for e in events if isinstance(e, ResponseReceived))
    assert [tuple(f) for f in response.headers] == [(b":status", b"200"), (b"x", b"y" * size)]
    bodies = [e.data for e in events if isinstance(e, DataReceived)]
    assert b"".join(bodies) == b"z" * size
    assert max(map(len, bodies)) <= MAX_FRAME_PAYLOAD
    assert sum(isinstance(e, StreamEnded) for e in events) == 1


def test_a_window_is_not_opened_by_nothing() -> None:
    """RFC 9113 section 6.9: an increment of 0 is an error."""
    output = OutputQueue()
    output.add_window_update(1, 0)
    assert output.take_bytes() == b""
    output.add_window_update(1, 7)
    assert output.size == 13
