"""What protocols.http.h2_frames promises."""

import pytest
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given
from hypothesis import strategies as st

from protocols.http import h2_frames
from protocols.http.errors import ProtocolViolationError
from protocols.http.h2_frames import PREFACE, FrameReader

FRAMES = st.lists(
    st.builds(
        h2_frames.Frame,
        st.integers(0, 255),
        st.integers(0, 255),
        st.integers(0, 2**31 - 1),
        st.binary(max_size=60),
    ),
    max_size=8,
)


def reader() -> FrameReader:
    """A reader after the preface."""
    fresh = FrameReader()
    assert fresh.feed(PREFACE) == []
    return fresh


@given(FRAMES, st.integers(1, 50))
def test_frames_come_out_as_they_went_in(sent: list[h2_frames.Frame], step: int) -> None:
    """Any kind, any flags, cut anywhere, preface included."""
    data = PREFACE + b"".join([h2_frames.encode_frame(*each) for each in sent])
    fresh, got = FrameReader(), []
    for begin in range(0, len(data), step):
        got += fresh.feed(data[begin : begin + step])
    assert got == sent


def test_reserved_bit_is_ignored() -> None:
    """RFC 9113 section 4.1."""
    assert reader().feed(b"\0\0\0\x06\0\xff\xff\xff\xff")[0].stream == 2**31 - 1


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"PRI * HTTP/1.1\r\n\r\n", PREFACE[:-1] + b"x"]
)
def test_another_preface_is_a_violation_at_its_first_byte(data: bytes) -> None:
    """RFC 9113 section 3.4: no more is read of what is no HTTP/2."""
    with pytest.raises(ProtocolViolationError) as violated:
        FrameReader().feed(data)
    assert (violated.value.code, violated.value.reason) == (h2_frames.PROTOCOL_ERROR, "preface")


def test_large_frame_is_refused_by_its_head() -> None:
    """Its 16 MiB are never collected: the length alone is a violation (RFC 9113 section 4.2)."""
    reader().feed(b"\x00\x40\x00\x00\x00\x00\x00\x00\x01")
    with pytest.raises(ProtocolViolationError) as violated:
        reader().feed(b"\x00\x40\x01\x00\x00\x00\x00\x00\x01")
    assert violated.value.code == h2_frames.FRAME_SIZE_ERROR


def test_begun_header_frames_are_seen() -> None:
    """So that they can be made to end in time."""
    fresh = reader()
    data = HeadersFrame(1, b"\x82" * 10).serialize()
    states = []
    for begin in range(0, len(data), 5):
        fresh.feed(data[begin : begin + 5])
        states.append(fresh.is_in_headers)
    assert states == [True, True, True, False]
    fresh.feed(DataFrame(1, b"x" * 20).serialize()[:15])
    assert not fresh.is_in_headers


@pytest.mark.parametrize(
    ("flags", "payload", "inside"),
    [
        (0, b"\x02ab", b"\x02ab"),
        (h2_frames.PADDED, b"\x00ab", b"ab"),
        (h2_frames.PADDED, b"\x01ab", b"a"),
        (h2_frames.PADDED, b"\x02ab", b""),
    ],
)
def test_padding_is_taken_off(flags: int, payload: bytes, inside: bytes) -> None:
    """RFC 9113 section 6.1."""
    assert h2_frames.unpad(flags, payload) == inside


@pytest.mark.parametrize(
    ("payload", "code"),
    [(b"", h2_frames.FRAME_SIZE_ERROR), (b"\x03ab", h2_frames.PROTOCOL_ERROR), (b"\x01", 1)],
)
def test_more_padding_than_there_is_room_for(payload: bytes, code: int) -> None:
    """Section 6.1: as long as the payload or longer."""
    with pytest.raises(ProtocolViolationError) as violated:
        h2_frames.unpad(h2_frames.PADDED, payload)
    assert violated.value.code == code


def test_priority_of_headers_is_skipped() -> None:
    """Section 6.2: five bytes after the pad length."""
    both = h2_frames.PADDED | h2_frames.HAS_PRIORITY
    assert h2_frames.headers_fragment(both, b"\x02" + bytes(5) + b"\x82\x84" + b"zz") == b"\x82\x84"
    with pytest.raises(ProtocolViolationError):
        h2_frames.headers_fragment(h2_frames.HAS_PRIORITY, bytes(4))


def test_numbers_and_settings_have_their_size() -> None:
    """Sections 6.4, 6.5 and 6.9."""
    assert h2_frames.parse_number(b"\0\0\x01\0") == 256
    assert h2_frames.parse_settings(b"\0\x04\0\0\0\x07" * 2) == [(4, 7), (4, 7)]
    for read, payload in (
        (h2_frames.parse_number, b"\0" * 5),
        (h2_frames.parse_settings, b"\0" * 7),
    ):
        with pytest.raises(ProtocolViolationError) as violated:
            read(payload)
        assert violated.value.code == h2_frames.FRAME_SIZE_ERROR


def test_what_we_send_is_what_others_read() -> None:
    """Our frames are those that the hyperframe library makes."""
    reset, goaway = RstStreamFrame(3, 8), GoAwayFrame(0, 5, 0xB)
    window, ping = WindowUpdateFrame(7, 99), PingFrame(0, b"12345678", flags=["ACK"])
    pairs: list[tuple[bytes, Frame]] = [
        (h2_frames.reset_frame(3, 8), reset),
        (h2_frames.goaway_frame(5, 0xB), goaway),
        (h2_frames.window_frame(7, 99), window),
        (h2_frames.settings_frame([(3, 100)]), SettingsFrame(0, {3: 100})),
        (h2_frames.encode_frame(h2_frames.PING, h2_frames.ACK, 0, b"12345678"), ping),
    ]
    for ours, theirs in pairs:
        assert ours == theirs.serialize()
