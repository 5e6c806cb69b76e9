"""Transport, outbox and inbox of a link in memory: for tests, the simulation and load tests."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import trio

from protocols.link import codec
from protocols.link.delivery import NO_CURSOR, OutboxBatch, OutboxEntry, OutboxState, evictions
from protocols.link.errors import LocalFaultError, TransportError
from protocols.link.messages import Cursor, Delivery, Message, spec_of


class MemoryTransport:
    """One end of a pair: a `LinkTransport` without a network."""

    def __init__(
        self,
        send: trio.MemorySendChannel[bytes],
        receive: trio.MemoryReceiveChannel[bytes],
        peer_certificate: bytes,
    ) -> None:
        """Use `memory_transport_pair`."""
        self._send = send
        self._receive = receive
        self.peer_certificate = peer_certificate
        self.fault = ""
        """What this end was closed with."""

    async def send(self, frame: bytes) -> None:
        """See `LinkTransport`."""
        try:
            await self._send.send(frame)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise TransportError("closed", "the peer is gone") from None

    async def receive(self) -> bytes:
        """See `LinkTransport`."""
        try:
            return await self._receive.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise TransportError("closed", "the peer is gone") from None

    async def aclose(self, fault: str = "") -> None:
        """See `LinkTransport`."""
        self.fault = self.fault or fault
        await self._send.aclose()
        await self._receive.aclose()


def memory_transport_pair(
    client_certificate: bytes = b"agent", server_certificate: bytes = b"control", *, frames: int = 8
) -> tuple[MemoryTransport, MemoryTransport]:
    """The client's and the server's end; each way holds at most so many `frames`."""
    up_in, up_out = trio.open_memory_channel[bytes](frames)
    down_in, down_out = trio.open_memory_channel[bytes](frames)
    client = MemoryTransport(up_in, down_out, server_certificate)
    return client, MemoryTransport(down_in, up_out, client_certificate)


@dataclass
class MemoryOutbox:
    """An `Outbox` that lives as long as its process. `bound`: bytes of payload."""

    stream: bytes
    bound: int = 1024 * 1024
    entries: list[OutboxEntry] = field(default_factory=list)
    newest: int = 0
    acknowledged: int = 0
    dropped: list[OutboxEntry] = field(default_factory=list)
    """What was let go, for a test to look at."""

    async def state(self) -> OutboxState:
        """See `Outbox`."""
        return OutboxState(self.stream, self.newest, self.acknowledged)

    async def append(self, message: Message) -> int:
        """See `Outbox`."""
        if spec_of(message).delivery is Delivery.EPHEMERAL:
            raise LocalFaultError("an outbox holds durable messages only")
        payload = codec.encode_payload(message)
        self.newest += 1
        self.entries.append(OutboxEntry(self.newest, codec.message_type_of(message), payload))
        self._drop(evictions(self.entries, sum(len(e.payload) for e in self.entries) - self.bound))
        return self.newest

    async def read(self, after: int, limit: int) -> OutboxBatch:
        """See `Outbox`."""
        behind = [entry for entry in self.entries if entry.id > after]
        through = behind[limit - 1].id if len(behind) > limit else self.newest
        return OutboxBatch(after, max(after, through), tuple(behind[:limit]))

    async def acknowledge(self, through: int) -> None:
        """See `Outbox`."""
        self.acknowledged = max(self.acknowledged, through)
        self.entries = [entry for entry in self.entries if entry.id > through]

    def _drop(self, ids: Iterable[int]) -> None:
        gone = set(ids)
        self.dropped += [entry for entry in self.entries if entry.id in gone]
        self.entries = [entry for entry in self.entries if entry.id not in gone]


@dataclass
class MemoryInbox:
    """An `Inbox` whose effect is a list of what was applied."""

    stream: bytes = NO_CURSOR.stream
    through: int = 0
    applied: list[tuple[int, Message]] = field(default_factory=list)

    async def cursor(self) -> Cursor:
        """See `Inbox`."""
        return Cursor(stream=self.stream, applied=self.through)

    async def apply(self, stream: bytes, through: int, message: Message | None) -> bool:
        """See `Inbox`."""
        if stream == self.stream and through <= self.through:
            return False
        self.stream, self.through = stream, through
        if message is not None:
            self.applied.append((through, message))
        return True
