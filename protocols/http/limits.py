"""Every bound of the HTTP server, in one place."""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client may cost us: sizes in bytes, times in seconds, counts in units.

    Times are kept by one clock for all connections, so each may run over by up to a quarter of
    the shortest of them (at most one second); none ever fires early.
    """

    # Sizes of a request.
    request_line: int = 16 * KIB
    """HTTP/2: the target. RFC 9112 section 3 recommends support for at least 8000 octets."""
    header_bytes: int = 32 * KIB
    """Request line and header section together; HTTP/2: the decoded list as RFC 9113 section
    6.5.2 counts it. Four times Apache's default for one field, to leave room for long tokens."""
    header_count: int = 100
    """Apache's LimitRequestFields default; real clients send fewer than 30."""
    body_bytes: int = 32 * MIB
    """HashiCorp Vault's documented default of max_request_size."""
    discard_bytes: int = 64 * KIB
    """An unread request body up to this is read away to keep the connection; beyond, it closes."""

    # Times.
    handshake_seconds: float = 10.0
    """Three round trips on a slow link and one slow signature, with an order of magnitude over. A
    PROXY protocol header has as long before."""
    header_seconds: float = 10.0
    """From the first byte of a request to the end of its header section (slowloris)."""
    idle_seconds: float = 75.0
    """Between requests; nginx's keepalive_timeout default, above common client pools' 60."""
    body_seconds: float = 10.0
    """A body is given this long to bring each next `body_progress` bytes, or to end."""
    body_progress: int = 8 * KIB
    """With `body_seconds`: slower than about 0.8 KiB/s is an attack, not a modem."""
    write_seconds: float = 30.0
    """A slow reader has this long for any write, plus what `write_rate` grants its length."""
    write_rate: int = 4 * KIB
    """Bytes a second that a reader must at least take."""
    linger_seconds: float = 30.0
    """How long a handler may go on after its client left: long enough to finish a commit."""
    close_seconds: float = 2.0
    """How long a refused client may go on sending before the connection is reset, so that the
    refusal itself is not lost to a TCP reset (RFC 9112 section 9.6)."""

    # Overload; see `admission`.
    in_hand: int = 400
    """Requests that are in hand at once whatever they cost; 50 ms of the loop at 125 us each. Three
    quarters of it: 256 connections that only write are not refused on a slow machine either."""
    delay_seconds: float = 0.1
    """More are let in while they do not have to wait longer than this for one another."""
    urgent_in_hand: int = 64
    """Requests of operators that still get through when others are turned away."""
    handshakes: int = 8
    """TLS handshakes computed in one turn of the loop, so that a flood of new connections leaves
    time for those that are open; measured: 0.4 ms each with an ECDSA certificate."""
    bodies_bytes: int = 128 * MIB
    """Request bodies of all connections together; see `body_budget`."""
    answers_bytes: int = 128 * MIB
    """Answers that wait for their readers, of all connections together; see `response_budget`."""

    # Counts.
    connections: int = 10_000
    """Measured: 40 KiB an idle TLS connection, 60 with HTTP/2, so at most some 600 MiB. Above it,
    new connections are closed at once."""
    connections_each: int = 5_000
    """Of one client address (an IPv6 client's network counts as one), so that none closes the
    server to the others. Trusted proxies are exempt: their connections are of many clients. Of a
    client that a PROXY protocol header names they count."""
    backlog: int = 1_024
    """Connections the kernel may hold for us; Linux caps it at net.core.somaxconn (4096)."""
    streams: int = 100
    """Concurrent HTTP/2 streams a connection; RFC 9113 section 6.5.2 advises no less than 100.
    A stream counts until its handler has ended, whatever the client did (rapid reset)."""
    stream_window: int = 256 * KIB
    """HTTP/2 bytes a stream may send ahead of its handler."""
    connection_window: int = 1 * MIB
    """HTTP/2 bytes all streams of a connection may send ahead of their handlers."""
    output_bytes: int = 256 * KIB
    """HTTP/2 output waiting for the socket; above it handlers wait and nothing more is read."""
    frame_burst: int = 1_000
    """HTTP/2 frames without use (SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty DATA, unknown) a
    client may send at once; a reset of a running stream costs ten. Finished requests and data
    sent or received earn it back."""
    frame_rate: int = 100
    """How many of those it earns back each second by waiting."""

    # Websockets.
    websockets: int = 1_000
    """Open at once: people at browsers, each with a task and a queue of its own. They count among
    `connections` too."""
    socket_message: int = 64 * KIB
    """Of a message from a client; what a page asks for is some hundred bytes."""
    socket_queue: int = 16
    """Messages that wait for the application; beyond, the client is not read."""
    socket_ping_seconds: float = 20.0
    """After so long without a byte we ask, after as long again the peer is gone: below the 30 s
    and 60 s after which home routers and proxies forget a silent connection."""
