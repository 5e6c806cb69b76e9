"""The egress ledger held against a capture of its owner's own (docs/spec/egress.md).

Every message on the wire must be in the ledger: the same bytes, in the same order within its
connection. The ledger may have more: what came before the capture, went another way, or was
written down and never sent because the connection broke.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct

from protocols.capture.messages import Message, messages
from protocols.capture.pcap import Capture, CaptureError, Stream
from protocols.capture.tls import Secrets, said
from vault.uplink.egress import Entry


class Compared(Struct, frozen=True, kw_only=True):
    """Counts, which account for every byte that the agent sent over the connections that were read.

    `wire_bytes = message_bytes + protocol_bytes + handshake_bytes + sealing_bytes + rest_bytes`.
    """

    connections: int
    messages: int
    """On the wire."""
    matched: int
    missing: int
    """On the wire and not in the ledger: 0, or something was sent that it does not tell."""
    unread: tuple[str, ...]
    """Connections that could not be read, and why: of these nothing is known."""
    midway: int
    """Connections whose beginning was not captured: of these nothing is known either."""
    wire_bytes: int
    """TCP payload from the agent, each byte once."""
    message_bytes: int
    protocol_bytes: int
    """HTTP heads, websocket headers and masks, its pings and closes."""
    handshake_bytes: int
    sealing_bytes: int
    """What TLS adds to each record."""
    rest_bytes: int
    """Of a last record that was cut off."""

    @property
    def holds(self) -> bool:
        """Whether the capture could be read and says nothing that the ledger does not."""
        return not (self.missing or self.unread or self.midway)


def compare(
    entries: Iterable[Entry], capture: Capture, secrets: Secrets, ports: Sequence[int]
) -> Compared:
    """Hold the connections to these server ports against the ledger."""
    ledger: dict[str, list[bytes]] = defaultdict(list)
    for entry in entries:
        ledger[entry.connection].append(entry.content)
    found = [stream for stream in capture.streams if stream.server.port in ports]
    counts: dict[str, int] = defaultdict(int)
    unread: list[str] = []
    for stream in found:
        try:
            _account(stream, secrets, ledger, counts)
        except CaptureError as error:
            unread.append(f"{stream.client.host}:{stream.client.port}: {error}")
    return Compared(
        connections=len(found),
        unread=tuple(unread),
        midway=sum(place.port in ports for way in capture.midway for place in way),
        **{name: counts[name] for name in _COUNTED},
    )


_COUNTED = (
    *("messages", "matched", "missing", "wire_bytes", "message_bytes", "protocol_bytes"),
    *("handshake_bytes", "sealing_bytes", "rest_bytes"),
)


def _account(
    stream: Stream, secrets: Secrets, ledger: dict[str, list[bytes]], counts: dict[str, int]
) -> None:
    if not stream.sent.data:
        return
    spoken = said(stream, secrets)
    sent = list(messages(spoken.data))
    size = sum(len(message.content) for message in sent)
    matched = _matched(sent, ledger)
    counts["messages"] += len(sent)
    counts["matched"] += matched
    counts["missing"] += len(sent) - matched
    counts["wire_bytes"] += len(stream.sent.data)
    counts["message_bytes"] += size
    counts["protocol_bytes"] += len(spoken.data) - size
    counts["handshake_bytes"] += spoken.handshake
    counts["sealing_bytes"] += spoken.sealing
    counts["rest_bytes"] += spoken.rest


def _matched(sent: Sequence[Message], ledger: dict[str, list[bytes]]) -> int:
    """How many of these are the beginning of one connection of the ledger, which is used up."""
    contents = [message.content for message in sent]
    best, chosen = 0, ""
    for connection, entries in ledger.items():
        same = 0
        for one, other in zip(contents, entries, strict=False):
            if one != other:
                break
            same += 1
        if same > best:
            best, chosen = same, connection
    ledger.pop(chosen, None)
    return best
