"""Connections out of packets: each byte once, in order, whatever the network did to them."""

import io
import random

import pytest

from protocols.capture.pcap import CaptureError, SocketAddress, read_capture
from tests.unit.protocols.capture.made import (
    FIN,
    FIRST,
    HERE,
    RST,
    SYN,
    THERE,
    Talk,
    carried,
    packet,
    pcap,
)

TALK = Talk(bytes(range(256)) * 20, b"answer" * 300, "")


@pytest.mark.parametrize("seed", range(5))
def test_packets_that_were_lost_repeated_and_out_of_order(seed: int) -> None:
    """As TCP does: with other cuts when they are sent again, over the turn of the numbers."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    first, *rest = carried(TALK, 300)
    more = carried(TALK, 170)[2:]
    mixed = rest + chance.sample(more, len(more) // 2)
    chance.shuffle(mixed)
    again = [packet(THERE, HERE, FIRST, flags=SYN, acknowledged=FIRST + 1), first]
    [stream] = read_capture(pcap([first, again[0], *mixed, *again])).streams
    assert (stream.client, stream.server) == (HERE, THERE)
    assert bytes(stream.sent.data) == TALK.sent
    assert bytes(stream.received.data) == TALK.received
    assert (stream.sent.missing_bytes, stream.received.missing_bytes) == (0, 0)


def test_what_comes_behind_a_hole_is_not_taken() -> None:
    """Nobody knows what was in it."""
    packets = carried(TALK, 1000)
    del packets[-2]
    [stream] = read_capture(pcap(packets)).streams
    assert bytes(stream.sent.data) == TALK.sent[:4000]
    assert stream.sent.missing_bytes == len(TALK.sent) - 4000


def test_a_hole_is_told_by_whatever_came_after_it() -> None:
    """The client's next packet, though empty; its end; what the server has. An end is no hole."""
    last = FIRST + 1 + len(TALK.sent)
    whole, cut = carried(TALK, 1000), carried(TALK, 1000)[:-1]
    size = len(TALK.sent) % 1000
    for packets, lacking in (
        (cut, 0),  # nobody knows of it
        ([*cut, packet(HERE, THERE, last)], size),
        ([*cut, packet(HERE, THERE, last, flags=FIN)], size),
        ([*cut, packet(THERE, HERE, 1, acknowledged=last)], size),
        ([*cut, packet(HERE, THERE, last, flags=RST)], 0),
        ([*whole, packet(HERE, THERE, last - 1, b"x")], 0),  # "are you there?"
        ([*whole, packet(HERE, THERE, last, flags=FIN)], 0),
        ([*whole, packet(THERE, HERE, 1, acknowledged=last + 1)], 1),
        (
            [
                *whole,
                packet(HERE, THERE, last, flags=FIN),
                packet(THERE, HERE, 1, acknowledged=last + 1),
            ],
            0,
        ),
    ):
        [stream] = read_capture(pcap(packets)).streams
        assert stream.sent.missing_bytes == lacking


def test_connections_are_kept_apart_and_told_when_they_began_before() -> None:
    """Two over IPv6 on the same ports after one another; one whose beginning nobody saw."""
    here, there = SocketAddress("fd00::2", 5), SocketAddress("fd00::1", 8301)
    other = Talk(b"second", b"", "")
    packets = carried(TALK, here=here, there=there) + carried(
        other, here=here, there=there, first=77
    )
    found = read_capture(pcap([packet(HERE, THERE, 7, b"midway"), *packets]))
    assert [bytes(stream.sent.data) for stream in found.streams] == [TALK.sent, other.sent]
    assert found.incomplete_streams == {(THERE, HERE)}


@pytest.mark.parametrize(
    ("link", "head"),
    [(1, bytes(12) + b"\x08\x00"), (1, bytes(12) + b"\x81\x00\0\1\x08\x00"), (113, bytes(16))],
)
def test_the_links_headers(link: int, head: bytes) -> None:
    """Ethernet with and without a VLAN, and Linux's own for `any`."""
    [stream] = read_capture(pcap([head + one for one in carried(TALK)], link)).streams
    assert bytes(stream.sent.data) == TALK.sent


def test_what_cannot_be_read_is_told() -> None:
    """Another format, a link nobody knows, packets cut short; others' packets are passed over."""
    cut = pcap([packet(HERE, THERE, 1, b"x")]).getvalue()
    cut = cut[:32] + bytes([20]) + cut[33:44] + cut[40:60]
    for file, told in (
        (io.BytesIO(b"\x0a\x0d\x0d\x0a" + bytes(40)), "pcapng"),
        (io.BytesIO(b""), "no pcap"),
        (pcap([], link=147), "147"),
        (io.BytesIO(cut), "cut off"),
    ):
        with pytest.raises(CaptureError, match=told):
            read_capture(file)
    udp = bytearray(packet(HERE, THERE, 1))
    udp[9] = 17
    assert read_capture(pcap([bytes(udp), b"", b"\xff" * 30])).streams == []
