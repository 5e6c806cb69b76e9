"""The durable outbox: what the control plane is still owed, bounded in bytes.

`append` takes part in the caller's transaction, so that an effect and the report of it are one.
Over the bound the oldest metrics go first, by the rule of `protocols.link.delivery.evictions`, then
evidence of one topic is merged. Evidence itself never goes.

What a message costs does not grow with what waits, also over the bound: what may go is found by an
index, and every topic is merged once, when the bound is crossed; from then on only that of the new
message can have become two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from actors import World
from protocols.link import codec
from protocols.link import messages as m
from protocols.link.delivery import OutboxBatch, OutboxEntry, OutboxState
from protocols.link.errors import LocalFaultError
from protocols.link.messages import MESSAGE_SPECS, Delivery, Message, MessageType, spec_of
from vault.control_link.database import LinkDatabase, LinkTx

DEFAULT_MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes of payload: some weeks of metrics, one a minute."""

DROPPABLE: Final = tuple(
    name for name, kind in MESSAGE_SPECS.items() if kind.delivery is Delivery.DROPPABLE
)


@dataclass(frozen=True, slots=True)
class OutboxBacklog:
    """What waits. `dropped`: messages let go since the outbox was made."""

    messages: int
    bytes: int
    dropped: int


class SqlOutbox:
    """`protocols.link.delivery.Outbox` in the control link's database."""

    def __init__(
        self, database: LinkDatabase, world: World, bound: int = DEFAULT_MAX_BYTES
    ) -> None:
        self._database = database
        self._world = world
        self._bound = bound
        self._offered = 0  # ids up to here may be applied already, whatever we know of it

    async def open(self) -> None:
        """Begin a stream if there is none yet."""
        await self._database.transact(self._open)

    async def restart(self) -> None:
        """Begin a new stream with what is owed still: the peer has met a later state of this."""
        await self._database.transact(self._restart)

    async def state(self) -> OutboxState:
        """See `Outbox`."""
        return await self._database.transact(_state)

    async def backlog(self) -> OutboxBacklog:
        """What waits."""
        return await self._database.transact(read_backlog)

    async def append(self, message: Message) -> int:
        """See `Outbox`."""
        return await self._database.transact(lambda tx: self.append_in(tx, message))

    async def read(self, after: int, limit: int) -> OutboxBatch:
        """See `Outbox`."""
        return await self._database.transact(lambda tx: self._read(tx, after, limit))

    async def acknowledge(self, through: int) -> None:
        """See `Outbox`."""
        await self._database.transact(lambda tx: _acknowledge(tx, through))

    def append_in(self, tx: LinkTx, message: Message) -> int:
        """As `append`, in the caller's transaction."""
        if spec_of(message).delivery is Delivery.EPHEMERAL:
            raise LocalFaultError("an outbox holds durable messages only")
        was_over = read_backlog(tx).bytes > self._bound
        topic = merge_key(message)
        if topic and replaces_at_once(message):
            _forget(tx, [row[0] for row in _of_topic(tx, topic)], dropped=False)
        id_ = _insert(tx, message, topic)
        self._shrink(tx, [topic] if was_over else None)
        return id_

    def _shrink(self, tx: LinkTx, topics: list[str] | None) -> None:
        """`topics`: the only ones that can have two mergeable messages; None: any."""
        excess = read_backlog(tx).bytes - self._bound
        if excess <= 0:
            return
        # A little more than it must, so that not every message that follows looks again.
        _forget(tx, _droppable(tx, excess + self._bound // 32))
        if read_backlog(tx).bytes > self._bound:
            _merge(tx, self._offered, _twofold(tx, self._offered) if topics is None else topics)

    def _open(self, tx: LinkTx) -> None:
        _begin(tx, self._new_stream())
        self._offered = _state(tx).newest  # a life before this one may have sent them

    def _restart(self, tx: LinkTx) -> None:
        _restart(tx, self._new_stream())
        self._offered = 0

    def _read(self, tx: LinkTx, after: int, limit: int) -> OutboxBatch:
        batch = _read(tx, after, limit)
        self._offered = max(self._offered, batch.through)
        return batch

    def _new_stream(self) -> bytes:
        return UUID(self._world.new_id()).bytes


def _begin(tx: LinkTx, stream: bytes) -> None:
    tx.execute("INSERT OR IGNORE INTO outbox_state VALUES (1, ?, 0, 0, 0, 0, 0)", [stream])


def _restart(tx: LinkTx, stream: bytes) -> None:
    entries = _entries(tx)
    tx.execute("DELETE FROM outbox")
    tx.execute(
        "UPDATE outbox_state SET stream = ?, newest = 0, acknowledged = 0, bytes = 0, messages = 0",
        [stream],
    )
    for entry in entries:
        message = codec.decode_payload(entry.name, entry.payload)
        _insert(tx, message, merge_key(message))


def _state(tx: LinkTx) -> OutboxState:
    row = tx.execute("SELECT stream, newest, acknowledged FROM outbox_state").fetchone()
    return OutboxState(*row)


def read_backlog(tx: LinkTx) -> OutboxBacklog:
    """See `SqlOutbox.backlog`."""
    row = tx.execute("SELECT messages, bytes, dropped FROM outbox_state").fetchone()
    return OutboxBacklog(*row)


def _entries(tx: LinkTx) -> list[OutboxEntry]:
    found = tx.execute("SELECT id, name, payload FROM outbox ORDER BY id")
    return [OutboxEntry(id_, MessageType(name), payload) for id_, name, payload in found]


def _of_topic(tx: LinkTx, topic: str, after: int = 0) -> list[tuple[int, str, bytes]]:
    return tx.execute(
        "SELECT id, name, payload FROM outbox WHERE topic = ? AND id > ? ORDER BY id",
        [topic, after],
    ).fetchall()


def _insert(tx: LinkTx, message: Message, topic: str) -> int:
    payload = codec.encode_payload(message)
    id_: int = tx.execute("SELECT newest + 1 FROM outbox_state").fetchone()[0]
    name = codec.message_type_of(message)
    tx.execute("INSERT INTO outbox VALUES (?, ?, ?, ?)", [id_, name, topic, payload])
    tx.execute(
        "UPDATE outbox_state SET newest = ?, bytes = bytes + ?, messages = messages + 1",
        [id_, len(payload)],
    )
    return id_


def _forget(tx: LinkTx, ids: Sequence[int], *, dropped: bool = True) -> None:
    for id_ in ids:
        size = tx.execute("SELECT length(payload) FROM outbox WHERE id = ?", [id_]).fetchone()[0]
        tx.execute("DELETE FROM outbox WHERE id = ?", [id_])
        tx.execute(
            "UPDATE outbox_state SET bytes = bytes - ?, messages = messages - 1, "
            "dropped = dropped + ?",
            [size, int(dropped)],
        )


def _droppable(tx: LinkTx, excess: int) -> list[int]:
    """The oldest droppable messages of `excess` bytes together; all of them if they are fewer.

    This is the rule of `protocols.link.delivery.evictions`: an agent's outbox has no messages that
    are superseded by type (`Delivery.SUPERSEDED`), so only its second part applies.
    """
    found: list[int] = []
    for name in DROPPABLE:
        rows = tx.execute(
            "SELECT id, length(payload) FROM outbox WHERE name = ? ORDER BY id", [name]
        )
        for id_, size in rows:
            if excess <= 0:
                break
            found.append(id_)
            excess -= size
        rows.close()
    return found


def _twofold(tx: LinkTx, offered: int) -> list[str]:
    """Topics with more than one message behind `offered`."""
    return [
        row[0]
        for row in tx.execute(
            "SELECT topic FROM outbox WHERE topic != '' AND id > ? GROUP BY topic"
            " HAVING count(*) > 1",
            [offered],
        )
    ]


def _merge(tx: LinkTx, offered: int, topics: Sequence[str]) -> None:
    """Make one message of all of one topic behind `offered`, in the newest one's place.

    What was offered may be applied at the other end: merged into another it would count twice, and
    what is merged into it would not count at all.
    """
    for topic in filter(None, topics):
        rows = _of_topic(tx, topic, offered)
        if len(rows) < 2:  # noqa: PLR2004  # nothing to merge
            continue
        messages = [codec.decode_payload(MessageType(name), data) for _, name, data in rows]
        whole = messages[0]
        for message in messages[1:]:
            whole = merge_messages(whole, message)
        _forget(tx, [row[0] for row in rows[:-1]], dropped=False)
        _replace(tx, rows[-1][0], codec.encode_payload(whole))


def _replace(tx: LinkTx, id_: int, payload: bytes) -> None:
    size = tx.execute("SELECT length(payload) FROM outbox WHERE id = ?", [id_]).fetchone()[0]
    tx.execute("UPDATE outbox SET payload = ? WHERE id = ?", [payload, id_])
    tx.execute("UPDATE outbox_state SET bytes = bytes + ?", [len(payload) - size])


def _read(tx: LinkTx, after: int, limit: int) -> OutboxBatch:
    rows = tx.execute(
        "SELECT id, name, payload FROM outbox WHERE id > ? ORDER BY id LIMIT ?", [after, limit + 1]
    ).fetchall()
    entries = tuple(OutboxEntry(id_, MessageType(name), data) for id_, name, data in rows[:limit])
    through = entries[-1].id if len(rows) > limit else _state(tx).newest
    return OutboxBatch(after, max(after, through), entries)


def _acknowledge(tx: LinkTx, through: int) -> None:
    ids = [row[0] for row in tx.execute("SELECT id FROM outbox WHERE id <= ?", [through])]
    _forget(tx, ids, dropped=False)
    tx.execute("UPDATE outbox_state SET acknowledged = max(acknowledged, ?)", [through])


# What a newer message of the outbox makes of an older one that waits.
#
# A checkpoint covers all before it (its proof starts from the last cosigned size), so only the
# newest need wait; a report of use covers all of its hour so far. Other evidence is kept message
# by message until the outbox is over its bound; then two alerts about the same thing become one
# that says how often, and the status of a bundle its newest one. So evidence is never dropped,
# and weeks offline stay within the number of things to tell of.


def merge_key(message: m.Message) -> str:
    """What the message is about; two of one topic may be merged. Empty: it stands alone."""
    match message:
        case m.AuditCheckpoint():
            return "checkpoint"
        case m.Alert(code=code, severity=severity, subject=subject):
            return f"alert {code} {severity} {subject.hex()}"
        case m.Usage(since=since):
            return f"usage {since}"
        case m.PolicyStatus(version=version):
            return f"policy {version}"
        case _:
            return ""


def replaces_at_once(message: m.Message) -> bool:
    """Whether an older one of its topic may go as soon as this one waits."""
    return isinstance(message, m.AuditCheckpoint | m.Usage)


def merge_messages(older: m.Message, newer: m.Message) -> m.Message:
    """What both of one topic say, in place of the newer."""
    if isinstance(older, m.Alert) and isinstance(newer, m.Alert):
        return replace(newer, count=older.count + newer.count)
    return newer
