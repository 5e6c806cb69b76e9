"""The egress ledger held against a capture of its owner's own (docs/spec/egress.md).

Every message on the wire must be in the ledger: the same bytes, in the same order within its
connection. The ledger may have more: what came before the capture, went another way, or was
written down and never sent because the connection broke. Around the messages there may be what the
agent's own clients send, and nothing else.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httpx2
from msgspec import Struct

from protocols.capture.messages import CapturedMessage, parse_messages
from protocols.capture.pcap import Capture, CaptureError, TcpStream
from protocols.capture.tls import KeyLogSecrets, decrypt_client
from protocols.link.errors import Fault
from protocols.link.limits import MAX_FRAME, PATH, SUBPROTOCOL
from protocols.link.transport import REFUSED
from protocols.link_transport.websocket import NORMAL, POLICY, TEXT
from vault.control_link.egress_chain import LedgerEntry

_IN_LEDGER: Final = frozenset({"request", "frame"})
_CLOSES: Final = frozenset(
    {
        b"",  # in answer to one that says nothing
        NORMAL.to_bytes(2),
        *(POLICY.to_bytes(2) + word.encode() for word in (*Fault, TEXT, REFUSED)),
        (1009).to_bytes(2) + b"Exceeded maximum message size: %d bytes" % MAX_FRAME,
    }
)
"""What the agent closes a websocket with, or repeats of the control plane's close. The last one is
trio-websocket's own."""
_CONTROL: Final = 6  # bytes around what a ping, a pong or a close holds


# What the agent's own requests say in their heads, and what one says beyond that.
#
# A head is in no ledger, so whatever could be told in one must be known: these are all the lines
# that the agent's websocket client and its HTTP client send, in their order and spelling, and
# what their values can be. Both clients are taken as they are installed here.


_END: Final = b"\r\n"
_HOST: Final = b"Host: "
_LINK: Final = (
    rb"Upgrade: websocket",
    rb"Connection: Upgrade",
    rb"Sec-WebSocket-Key: [A-Za-z0-9+/]{21}[AQgw]==",
    rb"Sec-WebSocket-Version: 13",
    rb"Sec-WebSocket-Protocol: " + re.escape(SUBPROTOCOL.encode()),
)
"""Of the key the last character has two bits: it is 16 random bytes (RFC 6455, 4.1)."""
_POST: Final = (
    rb"Accept: \*/\*",
    rb"Connection: keep-alive",
    rb"User-Agent: " + re.escape(f"python-httpx2/{httpx2.__version__}".encode()),
    rb"Content-Type: application/json",
    rb"Accept-Encoding: identity",
    rb"Content-Length: [1-9]\d{0,6}",
)
_GET_LINE: Final = rf"GET {re.escape(PATH)} HTTP/1\.1".encode()
_POST_LINE: Final = rf"POST {re.escape(PATH)}/(enrol|join|renew|rejoin) HTTP/1\.1".encode()


class HostHeaders(NamedTuple):
    """What `Host` says to the control planes that there are."""

    link: frozenset[bytes]
    """By the websocket client: the name alone."""
    post: frozenset[bytes]
    """By the HTTP client: with the port, unless it is HTTPS' own."""


def expected_hosts(peers: Iterable[str]) -> HostHeaders:
    """Of the control planes at these addresses."""
    known = set(peers)
    return HostHeaders(
        link=frozenset((urlsplit(peer).hostname or "").encode() for peer in known),
        post=frozenset(httpx2.URL(peer).netloc for peer in known),
    )


def excess(head: bytes, hosts: HostHeaders) -> int:
    """Bytes of lines that the agent's own requests do not have; 0 for a head of theirs.

    All of them when one of theirs is lacking, which says something, too.
    """
    first, *lines = head.removesuffix(_END + _END).split(_END)
    if re.fullmatch(_GET_LINE, first):
        left = _expected(hosts.link, _LINK)
    elif re.fullmatch(_POST_LINE, first):
        left = _expected(hosts.post, _POST)
    else:
        return len(head)
    size, lacking = 0, False
    for line in lines:
        place = next((n for n, known in enumerate(left) if re.fullmatch(known, line)), None)
        if place is None:
            size += len(line + _END)
        else:
            lacking |= place > 0
            del left[: place + 1]
    return size or (len(head) if lacking or left else 0)


def _expected(hosts: Iterable[bytes], lines: Sequence[bytes]) -> list[bytes]:
    """Patterns of all lines behind the first, in their order."""
    return [_HOST + b"(" + b"|".join(re.escape(host) for host in hosts) + b")", *lines]


class CaptureComparison(Struct, frozen=True, kw_only=True):
    """Counts, which account for every byte that the agent sent over the connections that were read.

    `wire_bytes` is the sum of the other `…_bytes`.
    """

    connections: int
    messages: int
    """On the wire."""
    matched: int
    missing: int
    """On the wire and not in the ledger: 0, or something was sent that it does not tell."""
    unread: tuple[str, ...]
    """Connections that could not be read, or not to their end, and why."""
    foreign: tuple[str, ...]
    """What was said around the messages that the agent's own clients do not say, and where."""
    midway: int
    """Connections whose beginning was not captured: of these nothing is known either."""
    wire_bytes: int
    """TCP payload from the agent, each byte once."""
    message_bytes: int
    protocol_bytes: int
    """HTTP heads as the agent's clients send them, websocket headers and masks."""
    other_bytes: int
    """What is in pings, pongs and closes; beyond that only what `foreign` names."""
    handshake_bytes: int
    sealing_bytes: int
    """What TLS adds to each record."""

    @property
    def is_accounted_for(self) -> bool:
        """Whether the capture could be read and says nothing that the ledger does not."""
        return not (self.missing or self.unread or self.midway or self.foreign)


def compare_capture(
    entries: Iterable[LedgerEntry], capture: Capture, secrets: KeyLogSecrets, ports: Sequence[int]
) -> CaptureComparison:
    """Hold the connections to these server ports against the ledger."""
    ledger: dict[str, list[bytes]] = defaultdict(list)
    peers = set()
    for entry in entries:
        ledger[entry.connection].append(entry.content)
        peers.add(entry.peer)
    hosts = expected_hosts(peers)
    found = [stream for stream in capture.streams if stream.server.port in ports]
    counts: dict[str, int] = defaultdict(int)
    unread: list[str] = []
    foreign: list[str] = []
    for stream in found:
        where = f"{stream.client.host}:{stream.client.port}"
        try:
            told = _account(stream, secrets, ledger, hosts, counts)
            foreign += [f"{where}: {one}" for one in told]
        except CaptureError as error:
            unread.append(f"{where}: {error}")
    return CaptureComparison(
        connections=len(found),
        unread=tuple(unread),
        foreign=tuple(foreign),
        midway=sum(place.port in ports for way in capture.incomplete_streams for place in way),
        **{name: counts[name] for name in _COUNTED},
    )


_COUNTED = (
    *("messages", "matched", "missing", "wire_bytes", "message_bytes", "protocol_bytes"),
    *("other_bytes", "handshake_bytes", "sealing_bytes"),
)


def _account(
    stream: TcpStream,
    secrets: KeyLogSecrets,
    ledger: dict[str, list[bytes]],
    hosts: HostHeaders,
    counts: dict[str, int],
) -> list[str]:
    """Count what one connection said; returns what is foreign in it. Raises `CaptureError`."""
    if stream.sent.missing_bytes:
        raise CaptureError(
            f"packets are missing: {stream.sent.missing_bytes} bytes from the first hole on"
        )
    if not stream.sent.data:
        return []
    spoken = decrypt_client(stream, secrets)
    if spoken.rest:
        raise CaptureError("its last record is not whole: capture until the connection has ended")
    pieces = list(parse_messages(spoken.data))
    sent = [piece for piece in pieces if piece.kind in _IN_LEDGER]
    size = sum(len(message.content) for message in sent)
    matched = _matched(sent, ledger)
    other, foreign = _around(pieces, len(spoken.data), hosts)
    counts["messages"] += len(sent)
    counts["matched"] += matched
    counts["missing"] += len(sent) - matched
    counts["wire_bytes"] += len(stream.sent.data)
    counts["message_bytes"] += size
    counts["other_bytes"] += other
    counts["protocol_bytes"] += len(spoken.data) - size - other
    counts["handshake_bytes"] += spoken.handshake
    counts["sealing_bytes"] += spoken.sealing
    return foreign


def _around(
    pieces: Sequence[CapturedMessage], size: int, hosts: HostHeaders
) -> tuple[int, list[str]]:
    """What is said around the messages, in bytes, and in words what of it is foreign."""
    other = 0
    foreign: dict[str, int] = defaultdict(int)
    for piece in pieces:
        size -= len(piece.content)
        match piece.kind:
            case "frame":
                size -= _header(piece)
            case "head":
                beyond = excess(piece.content, hosts)
                other += beyond
                foreign["an HTTP head"] += beyond
            case "ping" | "pong" | "close" as kind:
                size -= _CONTROL
                other += len(piece.content)
                if kind != "close" or piece.content not in _CLOSES:
                    foreign[f"websocket {kind}"] += len(piece.content)
    if size not in _SPARE[pieces[-1].whole if pieces else True]:
        other += size
        foreign["what is no whole message"] += size
    told = [f"{count} bytes in {kind}, none of the agent's own"
            for kind, count in foreign.items() if count]  # fmt: skip
    return other, told


_SPARE: Final = {True: {0}, False: {0, 2, 6, 8}}
"""Bytes that may be left: what was cut off was longer, so its header may have been, too."""


def _header(frame: CapturedMessage) -> int:
    """Bytes of the header with which the agent sends a message: whole, never in fragments."""
    length = len(frame.content)
    return 6 if length < 126 else 8 if length < 65_536 else 14  # noqa: PLR2004  # RFC 6455, 5.2


def _matched(sent: Sequence[CapturedMessage], ledger: dict[str, list[bytes]]) -> int:
    """How many of these are the beginning of one connection of the ledger, which is used up."""
    best, chosen = 0, ""
    for connection, entries in ledger.items():
        same = 0
        for one, other in zip(sent, entries, strict=False):
            if one.content != (other if one.whole else other[: len(one.content)]):
                break
            same += 1
        if same > best:
            best, chosen = same, connection
    ledger.pop(chosen, None)
    return best
