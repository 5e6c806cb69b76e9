"""What a PROXY protocol header says, and what is none."""

import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.http.errors import ProxyHeaderError
from protocols.http.proxy_protocol import MAX_BLOCK, MAX_TEXT, ProxyHeader, parse_proxy_header

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
BOUND = len(SIGNATURE) + 4 + MAX_BLOCK
LONGEST = f"PROXY UNKNOWN {'f' * 4}{':ffff' * 7} {'f' * 4}{':ffff' * 7} 65535 65535\r\n".encode()
ports = st.integers(0, 0xFFFF)


def binary(command: int, family: int, block: bytes, *, version: int = 2) -> bytes:
    """A version 2 header."""
    return SIGNATURE + bytes([version << 4 | command, family]) + len(block).to_bytes(2) + block


def of_ip(client: str, port: int, more: bytes = b"") -> bytes:
    """A version 2 header that names a client, with these TLVs."""
    kind, family = (socket.AF_INET6, 0x21) if ":" in client else (socket.AF_INET, 0x11)
    ours = socket.inet_pton(kind, "::1" if ":" in client else "10.0.0.1")
    ends = port.to_bytes(2) + (8200).to_bytes(2)
    return binary(1, family, socket.inet_pton(kind, client) + ours + ends + more)


@pytest.mark.parametrize(
    ("header", "client"),
    [
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 8200\r\n", ("192.0.2.7", 56324)),
        (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", ("255.255.255.255", 65535)),
        (b"PROXY TCP6 2001:db8::7 ::1 56324 0\r\n", ("2001:db8::7", 56324)),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:10.0.0.1 1 2\r\n", ("192.0.2.7", 1)),
        (b"PROXY UNKNOWN\r\n", None),
        (LONGEST, None),
        (of_ip("192.0.2.7", 56324), ("192.0.2.7", 56324)),
        (of_ip("2001:db8::7", 0), ("2001:db8::7", 0)),
        (of_ip("::ffff:192.0.2.7", 1), ("192.0.2.7", 1)),
        (of_ip("192.0.2.7", 1, b"\x04\x00\x01\x00"), ("192.0.2.7", 1)),
        (of_ip("192.0.2.7", 1, bytes(MAX_BLOCK - 12)), ("192.0.2.7", 1)),
        (binary(0, 0x00, b""), None),
        (binary(0, 0x11, of_ip("192.0.2.7", 1)[16:]), None),  # LOCAL: the addresses do not count
        (binary(0, 0xFF, b"?"), None),
        (binary(1, 0x00, b""), None),
        (binary(1, 0x00, b"\x04\x00\x00"), None),
        (binary(1, 0x31, b"/run/client".ljust(216, b"\0")), None),
    ],
)
def test_valid_headers(header: bytes, client: tuple[str, int] | None) -> None:
    """The client and where the header ends; each part of it is merely incomplete."""
    assert parse_proxy_header(header) == ProxyHeader(len(header), client)
    assert parse_proxy_header(header + b"\x16\x03\x01") == ProxyHeader(len(header), client)
    assert {parse_proxy_header(header[:size]) for size in range(len(header))} == {None}


def test_the_longest_text() -> None:
    """As the specification counts it."""
    assert len(LONGEST) == MAX_TEXT


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"proxy TCP4 192.0.2.7 10.0.0.1 1 2\r\n",
        b"PROXY\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n",
        b"PROXY TCP4  192.0.2.7 10.0.0.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.07 10.0.0.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.256 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.7 10.0.0.1 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        b"PROXY TCP6 ::1 fe80::1%eth0 1 2\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 2\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1 -2\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 01 2\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 ¹ 2\r\n".encode("latin-1"),
        b"PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\n".ljust(MAX_TEXT, b"x"),
        LONGEST[:-2] + b"0\r\n",
        SIGNATURE[:4] + b"GET",
        binary(1, 0x11, of_ip("192.0.2.7", 1)[16:], version=1),
        binary(2, 0x11, of_ip("192.0.2.7", 1)[16:]),
        binary(1, 0x12, of_ip("192.0.2.7", 1)[16:]),  # datagrams
        binary(1, 0x32, bytes(216)),
        binary(1, 0x41, bytes(216)),
        binary(1, 0x11, bytes(11)),
        binary(1, 0x21, bytes(35)),
        binary(1, 0x31, bytes(215)),
        SIGNATURE + b"\x21\x11" + (MAX_BLOCK + 1).to_bytes(2),  # before any of it has come
        SIGNATURE + b"\x20\x00\xff\xff",
    ],
)
def test_what_is_no_header(data: bytes) -> None:
    """Is refused, whatever may follow."""
    for more in (b"", b"\r\n", bytes(BOUND)):
        with pytest.raises(ProxyHeaderError):
            parse_proxy_header(data + more)


@given(st.ip_addresses(), ports, ports, st.binary(max_size=200), st.binary(max_size=50))
def test_every_client_is_named(
    client: IPv4Address | IPv6Address, port: int, other: int, tlvs: bytes, rest: bytes
) -> None:
    """By both versions alike, whatever is behind its address."""
    mapped = client.ipv4_mapped if isinstance(client, IPv6Address) else None
    known = (str(mapped or client), port)
    text = f"PROXY TCP{client.version} {client} {client} {port} {other}\r\n".encode()
    assert parse_proxy_header(text + rest) == ProxyHeader(len(text), known)
    packed = of_ip(str(client), port, tlvs)
    assert parse_proxy_header(packed + rest) == ProxyHeader(len(packed), known)


near = st.one_of(
    st.binary(max_size=64),
    st.builds(lambda more: b"PROXY " + more, st.binary(max_size=2 * MAX_TEXT)),
    st.builds(
        lambda words, end: b"PROXY " + b" ".join(words) + end,
        st.lists(st.sampled_from([b"TCP4", b"TCP6", b"UNKNOWN", b"1.2.3.4", b"::1", b"1", b""])),
        st.sampled_from([b"\r\n", b"\n", b""]),
    ),
    st.builds(
        lambda head, size, more: SIGNATURE + head + size.to_bytes(2) + more,
        st.binary(min_size=2, max_size=2),
        st.one_of(st.integers(0, 300), ports),
        st.binary(max_size=300),
    ),
)


@given(near, st.binary(max_size=64))
def test_any_bytes(data: bytes, more: bytes) -> None:
    """A header, a refusal, or a wait that has a bound; what was decided stays so."""
    try:
        found = parse_proxy_header(data)
    except ProxyHeaderError:
        with pytest.raises(ProxyHeaderError):
            parse_proxy_header(data + more)
        return
    if found is None:
        assert len(data) < BOUND
        assert is_decided(data.ljust(BOUND, b"\xff"))
    else:
        assert 0 < found.size <= len(data)
        assert parse_proxy_header(data + more) == found


def is_decided(data: bytes) -> bool:
    """Whether no more bytes are waited for."""
    try:
        return parse_proxy_header(data) is not None
    except ProxyHeaderError:
        return True
