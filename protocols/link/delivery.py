"""Durable delivery: ids that outlive connections, cumulative acknowledgements, nothing twice.

An outbox is a stream (a random id, new whenever the outbox is made anew) of messages numbered
1, 2, 3, … without gaps. A receiver applies each in order, moves its cursor in the very same
transaction, and acknowledges the cursor. After a cut both sides tell each other their cursors, and
the sender goes on behind it. An id that the sender no longer has is not passed over in silence:
`Skipped` says whether it was let go (metrics under pressure) or once acknowledged (the receiver
has lost what it had). Any other gap is a fault.

This module is the arithmetic. Storage implements `Outbox` and `Inbox`.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from protocols.link.errors import Fault, LocalFaultError, OutboxRolledBackError, RemoteFaultError
from protocols.link.limits import WINDOW, WINDOW_BYTES
from protocols.link.messages import MESSAGE_SPECS, Cursor, Delivery, Message, MessageType, Skipped
from protocols.link.vocabulary import SkipReason

NO_STREAM: Final = bytes(16)
NO_CURSOR: Final = Cursor(stream=NO_STREAM, applied=0)
"""Of a receiver that has never met the sender."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A durable message as it lies in an outbox; `payload` is `codec.encode_payload`'s."""

    id: int
    name: MessageType
    payload: bytes


@dataclass(frozen=True, slots=True)
class OutboxState:
    """`newest`: the highest id ever given. `acknowledged`: up to where the peer has applied."""

    stream: bytes
    newest: int
    acknowledged: int


@dataclass(frozen=True, slots=True)
class OutboxBatch:
    """All that an outbox has of the ids after `after` up to `through`, in order."""

    after: int
    through: int
    entries: tuple[OutboxEntry, ...]


class Outbox(Protocol):
    """A durable queue of one direction. Ids come from it, are never reused and have no gaps."""

    async def state(self) -> OutboxState:
        """Where it stands."""
        ...

    async def append(self, message: Message) -> int:
        """Keep the message durably and return its id. Over its bound it drops `evictions` first.

        Raises `protocols.link.errors.LocalFaultError` for an ephemeral or invalid message.
        """
        ...

    async def read(self, after: int, limit: int) -> OutboxBatch:
        """Up to `limit` entries behind `after`; `through` is `newest` when there are no more."""
        ...

    async def acknowledge(self, through: int) -> None:
        """The peer has applied all up to `through`: forget them, keep the number durably."""
        ...


class Inbox(Protocol):
    """The receiver's durable cursor. The effect of a message moves it, in one transaction."""

    async def cursor(self) -> Cursor:
        """How far the peer's stream has been applied; `NO_CURSOR` at first."""
        ...

    async def apply(self, stream: bytes, through: int, message: Message | None) -> bool:
        """Do what the message asks and move the cursor to `through`, both or neither.

        Nothing happens, and the answer is False, when this stream's cursor is there already: two
        sessions can overlap when a connection dies. `None` is a skip: only the cursor moves.
        May raise `InboxFullError`: nothing happened, and it is to be tried again later.
        """
        ...


def evictions(entries: Sequence[OutboxEntry], excess: int) -> Iterator[int]:
    """Ids to drop, oldest first, until `excess` bytes of payload are free or nothing may go.

    Messages that a newer one of their type supersedes go before metrics; evidence never goes.
    """
    newest = {entry.name: entry.id for entry in entries}
    for delivery in (Delivery.SUPERSEDED, Delivery.DROPPABLE):
        for entry in entries:
            if excess <= 0:
                return
            if MESSAGE_SPECS[entry.name].delivery is not delivery:
                continue
            if delivery is Delivery.SUPERSEDED and newest[entry.name] == entry.id:
                continue
            excess -= len(entry.payload)
            yield entry.id


class DurableSender:
    """What is on its way to the peer, in one session."""

    __slots__ = ("_floor", "_unacknowledged", "_unacknowledged_bytes", "acknowledged", "sent")

    def __init__(self, outbox: OutboxState, peer: Cursor) -> None:
        """Go on behind the peer's cursor; from the beginning if it is of another stream.

        Raises `OutboxRolledBackError` when the peer has more than this outbox ever gave.
        """
        self.acknowledged = peer.applied if peer.stream == outbox.stream else 0
        if self.acknowledged > outbox.newest:
            raise OutboxRolledBackError("the peer has applied more than this outbox has given")
        self.sent = self.acknowledged
        self._floor = outbox.acknowledged
        self._unacknowledged: deque[tuple[int, int]] = deque()
        self._unacknowledged_bytes = 0

    @property
    def is_idle(self) -> bool:
        """Whether all that was sent is acknowledged."""
        return not self._unacknowledged

    @property
    def window_room(self) -> int:
        """How many frames may be sent now."""
        return (
            WINDOW - len(self._unacknowledged) if self._unacknowledged_bytes < WINDOW_BYTES else 0
        )

    def frames_for(self, batch: OutboxBatch) -> Iterator[tuple[int, Message | OutboxEntry]]:
        """What to send for a batch, each with its id, as far as the window allows.

        The rest must be read again from `sent` on. Raises `LocalFaultError` for a batch that does
        not begin behind `sent` or is not in order.
        """
        if batch.after != self.sent or batch.through < self.sent:
            raise LocalFaultError(f"the batch must begin behind {self.sent}")
        for entry in batch.entries:
            if not self.sent < entry.id <= batch.through:
                raise LocalFaultError("the batch is not in order")
            yield from self._skips(entry.id - 1)
            if self.sent + 1 != entry.id or not self._track(entry.id, len(entry.payload)):
                return
            yield entry.id, entry
        yield from self._skips(batch.through)

    def apply_ack(self, ack: int) -> bool:
        """The peer's cursor, from an envelope; says whether it moved.

        Raises `RemoteFaultError` (`ack`) if it went back or is ahead of what was sent.
        """
        if not self.acknowledged <= ack <= self.sent:
            raise RemoteFaultError(Fault.ACK, "acknowledged what was not sent, or less than before")
        while self._unacknowledged and self._unacknowledged[0][0] <= ack:
            self._unacknowledged_bytes -= self._unacknowledged.popleft()[1]
        moved = ack > self.acknowledged
        self.acknowledged = ack
        return moved

    def _skips(self, last: int) -> Iterator[tuple[int, Message]]:
        for end, reason in (
            (min(last, self._floor), SkipReason.ACKNOWLEDGED),
            (last, SkipReason.DROPPED),
        ):
            first = self.sent + 1
            if first <= end and self._track(end, 0):
                yield end, Skipped(first=first, reason=reason)

    def _track(self, last: int, size: int) -> bool:
        if not self.window_room:
            return False
        self._unacknowledged.append((last, size))
        self._unacknowledged_bytes += size
        self.sent = last
        return True


class DurableReceiver:
    """What has come from the peer, in one session."""

    __slots__ = ("_waiting", "acknowledged", "applied", "received", "stream")

    def __init__(self, stream: bytes, cursor: Cursor) -> None:
        """`stream` is the peer's outbox; a cursor of another one counts for nothing."""
        self.stream = stream
        self.applied = cursor.applied if cursor.stream == stream else 0
        self.received = self.acknowledged = self.applied
        self._waiting: deque[int] = deque()

    @property
    def is_idle(self) -> bool:
        """Whether all that came is applied and acknowledged."""
        return self.acknowledged == self.received

    def accept_message(self, id_: int, message: Message) -> None:
        """Take the next durable message. Raises `RemoteFaultError`: `durable_id`, `gap`, `window`.

        The fault is `durable_id` for a message that was received before: the cursor in our greeting
        rules that out.
        """
        first = message.first if isinstance(message, Skipped) else id_
        if first <= self.received or id_ < first:
            raise RemoteFaultError(Fault.DURABLE_ID, "the id does not follow the last one")
        if first != self.received + 1:
            raise RemoteFaultError(Fault.GAP, "ids are missing and not accounted for")
        if len(self._waiting) >= WINDOW:
            raise RemoteFaultError(Fault.WINDOW, f"over {WINDOW} frames without acknowledgement")
        self._waiting.append(id_)
        self.received = id_

    def mark_applied(self, through: int) -> None:
        """All up to `through` is applied and durable. Raises `LocalFaultError` if it never came."""
        if not self.applied <= through <= self.received:
            raise LocalFaultError("only what was received can be applied, and in order")
        self.applied = through

    def take_ack(self) -> int:
        """The number for an envelope's `ack`; from now on the peer counts as told."""
        self.acknowledged = self.applied
        while self._waiting and self._waiting[0] <= self.acknowledged:
            self._waiting.popleft()
        return self.acknowledged
