"""Captures that are made: a real TLS 1.3 conversation in memory, packets around it by hand."""

import io
import socket
import ssl
import struct
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from protocols.capture.pcap import SocketAddress

HERE, THERE = SocketAddress("10.0.0.2", 40_000), SocketAddress("10.0.0.1", 8301)
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
FIRST = 2**32 - 10  # sequence numbers turn over early


class Talk(NamedTuple):
    """The bytes of both directions, and the client's key log."""

    sent: bytes
    received: bytes
    keylog: str


def talk(folder: Path, context: ssl.SSLContext, parts: Iterable[bytes]) -> Talk:
    """A client says these parts, each in records of its own."""
    log = folder / "tls.log"
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ours.check_hostname, ours.verify_mode = False, ssl.CERT_NONE
    ours.minimum_version = ssl.TLSVersion.TLSv1_3
    ours.keylog_filename = str(log)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ours.wrap_bio(down, up)
    server_in, server_out = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(server_in, server_out, server_side=True)
    sent, received = b"", b""
    for _ in range(4):
        for end in (client, server):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
            said = up.read()
            sent += said
            server_in.write(said)
            heard = server_out.read()
            received += heard
            down.write(heard)
    for part in parts:
        client.write(part)
        sent += up.read()
    return Talk(sent, received, log.read_text())


def pcap(packets: Iterable[bytes], link: int = 101) -> io.BytesIO:
    """A file of these packets."""
    file = io.BytesIO()
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, link))
    for number, packet in enumerate(packets):
        file.write(struct.pack("<IIII", 1_000 + number, 0, len(packet), len(packet)) + packet)
    file.seek(0)
    return file


def packet(
    source: SocketAddress,
    target: SocketAddress,
    number: int,
    data: bytes = b"",
    flags: int = 0,
    acknowledged: int | None = None,
) -> bytes:
    """A TCP segment over IP of the addresses' version."""
    flags |= 0 if acknowledged is None else ACK
    numbers = number % 2**32, (acknowledged or 0) % 2**32
    head = struct.pack(">HHIIBBHHH", source.port, target.port, *numbers, 5 << 4, flags, 0, 0, 0)
    tcp = head + data
    hosts = ip_address(source.host).packed + ip_address(target.host).packed
    if len(hosts) == 32:
        return struct.pack(">IHBB", 6 << 28, len(tcp), socket.IPPROTO_TCP, 64) + hosts + tcp
    start = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, socket.IPPROTO_TCP, 0)
    return start + hosts + tcp


def carried(
    made: Talk,
    size: int = 700,
    here: SocketAddress = HERE,
    there: SocketAddress = THERE,
    first: int = FIRST,
) -> list[bytes]:
    """The packets of a conversation, each direction in its order."""
    packets = [
        packet(here, there, first, flags=SYN),
        packet(there, here, first, flags=SYN, acknowledged=first + 1),
    ]
    for source, target, data in ((there, here, made.received), (here, there, made.sent)):
        packets += [
            packet(source, target, first + 1 + at, data[at : at + size])
            for at in range(0, len(data), size)
        ]
    return packets
