"""A capture file as TCP connections: what each side sent, in order, each byte once.

The classic pcap format (draft-ietf-opsawg-pcap), as `tcpdump -w` writes it; IPv4 and IPv6 without
fragments. Only connections whose beginning was captured are read: of others nobody knows which
bytes came first.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import BinaryIO, Final, NamedTuple

MAX_PACKET: Final = 256 * 1024
_ORDERS: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", 10**6),
    b"\xa1\xb2\xc3\xd4": (">", 10**6),
    b"\x4d\x3c\xb2\xa1": ("<", 10**9),
    b"\xa1\xb2\x3c\x4d": (">", 10**9),
}
_LINK_HEADER: Final = {0: 4, 1: 14, 101: 0, 113: 16, 276: 20}
"""Bytes before the IP header, by link type (tcpdump.org/linktypes.html); 1 may have VLAN tags."""
_ETHERNET: Final = 1
_VLAN: Final = frozenset({b"\x81\x00", b"\x88\xa8"})
_TCP: Final = 6
_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10


class CaptureError(Exception):
    """The file, or what it shows, is not what can be read; says why."""


class SocketAddress(NamedTuple):
    """An address and a port."""

    host: str
    port: int


class Segment(NamedTuple):
    """One TCP segment. `at`: seconds since 1970."""

    at: float
    source: SocketAddress
    target: SocketAddress
    number: int
    acknowledged: int
    flags: int
    data: bytes


@dataclass
class HalfStream:
    """What one end sent, as far as it was captured without a hole.

    `reached`: how far it had come by any packet's word, its own or an acknowledgement of the other
    end's; `closed`: the number behind its last byte, once it said so.
    """

    next: int | None = None
    data: bytearray = field(default_factory=bytearray)
    out_of_order: dict[int, bytes] = field(default_factory=dict)
    reached: int | None = None
    closed: int | None = None

    @property
    def missing_bytes(self) -> int:
        """Bytes from the first hole on, the hole's own among them; 0: all of it was captured."""
        if self.next is None or self.reached is None:
            return 0
        behind = _past(self.next, self.reached)
        return 0 if behind == 1 and self.closed == self.next else behind  # an end has a number

    def start_at(self, number: int) -> None:
        """Its first byte has this number; said again, it begins nothing."""
        if self.next is None:
            self.next = number % 2**32
            self.extend_to(number)

    def extend_to(self, number: int) -> None:
        """It has come as far as this, whatever was captured of it."""
        if self.reached is None or _past(self.reached, number):
            self.reached = number % 2**32

    def close_at(self, number: int) -> None:
        """There is nothing behind this."""
        self.closed = number % 2**32
        self.extend_to(number)

    def add_segment(self, number: int, data: bytes) -> None:
        """A segment's bytes; what was seen already is not taken again."""
        if self.next is None or not data:
            return
        self.out_of_order[number] = max(self.out_of_order.get(number, b""), data, key=len)
        while found := self._following():
            self.data += found
            self.next = (self.next + len(found)) % 2**32

    def _following(self) -> bytes:
        for number, data in list(self.out_of_order.items()):
            behind = ((self.next or 0) - number) % 2**32
            if behind < 2**31:  # it begins at or before what comes next
                del self.out_of_order[number]
                if behind < len(data):
                    return data[behind:]
        return b""


def _past(number: int, other: int) -> int:
    """How far the other is behind this one in the stream; 0 when it comes before it."""
    far = (other - number) % 2**32
    return far if far < 2**31 else 0


@dataclass
class TcpStream:
    """A connection. `first`: its number; `began`, `ended`: seconds since 1970."""

    client: SocketAddress
    server: SocketAddress
    first: int
    began: float
    ended: float
    sent: HalfStream = field(default_factory=HalfStream)
    received: HalfStream = field(default_factory=HalfStream)


class Capture(NamedTuple):
    """What a file shows. `midway`: connections whose beginning it does not have."""

    streams: list[TcpStream]
    incomplete_streams: frozenset[tuple[SocketAddress, SocketAddress]]
    began: float
    ended: float


def read_capture(file: BinaryIO) -> Capture:
    """The connections of a capture. Raises `CaptureError`."""
    streams: list[TcpStream] = []
    live: dict[tuple[SocketAddress, SocketAddress], TcpStream] = {}
    midway: set[tuple[SocketAddress, SocketAddress]] = set()
    began = ended = 0.0
    for segment in _segments(file):
        began, ended = began or segment.at, segment.at
        way = segment.source, segment.target
        if segment.flags & (_SYN | _ACK) == _SYN:
            known = live.get(way)
            if known is None or known.first != segment.number:  # else it was sent again
                live[way] = TcpStream(*way, segment.number, segment.at, segment.at)
                live[way].sent.start_at(segment.number + 1)
                streams.append(live[way])
            continue
        stream = live.get(way) or live.get(way[::-1])
        if stream is None:
            midway.add(min(way, way[::-1]))
            continue
        stream.ended = segment.at
        sides = stream.sent, stream.received
        _take(segment, *(sides if segment.source == stream.client else sides[::-1]))
    return Capture(streams, frozenset(midway), began, ended)


def _take(segment: Segment, side: HalfStream, other: HalfStream) -> None:
    """What a segment says: its bytes, where its sender is, and what that has of the other end."""
    if segment.flags & _RST:  # its numbers are those of what it refuses
        return
    if segment.flags & _ACK:
        other.extend_to(segment.acknowledged)
    if segment.flags & _SYN:
        side.start_at(segment.number + 1)
        return
    end = segment.number + len(segment.data)
    (side.close_at if segment.flags & _FIN else side.extend_to)(end)
    side.add_segment(segment.number, segment.data)


def _segments(file: BinaryIO) -> Iterator[Segment]:
    for at, link, packet in _packets(file):
        segment = _segment(at, _ip(link, packet))
        if segment is not None:
            yield segment


def _packets(file: BinaryIO) -> Iterator[tuple[float, int, bytes]]:
    head = file.read(24)
    if len(head) < 24 or head[:4] not in _ORDERS:  # noqa: PLR2004  # the format's own
        raise CaptureError("this is no pcap file (for pcapng: editcap -F pcap IN OUT)")
    order, unit = _ORDERS[head[:4]]
    link = struct.unpack(order + "I", head[20:])[0] & 0xFFFF
    if link not in _LINK_HEADER:
        raise CaptureError(f"packets of link type {link} are not read: capture on one interface")
    while len(record := file.read(16)) == 16:  # noqa: PLR2004  # the format's own
        seconds, part, kept, length = struct.unpack(order + "IIII", record)
        if kept > MAX_PACKET:
            raise CaptureError("the pcap file is damaged: capture anew")
        packet = file.read(kept)
        if kept < length:
            raise CaptureError("packets were cut off: capture them whole (tcpdump -s 0)")
        if len(packet) == kept:  # else the capture ended in it
            yield seconds + part / unit, link, packet


def _ip(link: int, packet: bytes) -> bytes:
    start = _LINK_HEADER[link]
    while link == _ETHERNET and packet[start - 2 : start] in _VLAN:
        start += 4
    return packet[start:]


def _segment(at: float, packet: bytes) -> Segment | None:
    """The TCP segment in an IP packet; None for anything else."""
    version = packet[0] >> 4 if packet else 0
    if version == 4:  # noqa: PLR2004  # IPv4
        head, size = (packet[0] & 15) * 4, int.from_bytes(packet[2:4])
        kind, hosts = packet[9:10], (packet[12:16], packet[16:20])
        if int.from_bytes(packet[6:8]) & 0x3FFF and kind == bytes([_TCP]):
            raise CaptureError("fragmented packets are not read: capture where they are whole")
    elif version == 6:  # noqa: PLR2004  # IPv6
        head, size = 40, 40 + int.from_bytes(packet[4:6])
        kind, hosts = packet[6:7], (packet[8:24], packet[24:40])
    else:
        return None
    tcp = packet[head:size]
    if kind != bytes([_TCP]) or len(tcp) < 20:  # noqa: PLR2004  # RFC 9293, 3.1
        return None
    source, target, number, acknowledged, offset, flags = struct.unpack(">HHIIBB", tcp[:14])
    here, there = (str(ip_address(host)) for host in hosts)
    data = tcp[(offset >> 4) * 4 :]
    ends = SocketAddress(here, source), SocketAddress(there, target)
    return Segment(at, *ends, number, acknowledged, flags, data)
