"""What the control plane has sent, applied exactly once.

A message's effect here is to be staged: a bundle to apply, a command to run, a line to keep. That
and the cursor move in one transaction. What follows from it outside this database (the vault's
policies, a rotation) is done by `bundle_applier` and `commands`, which can repeat it without harm.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.delivery import NO_CURSOR
from protocols.link.errors import InboxFullError
from protocols.link.messages import Cursor, Message, MessageType
from vault.control_link.database import LinkDatabase, LinkTx

MAX_NOTIFICATIONS: Final = 200
"""Notifications, and commands that are done: their ids are what a repeated one is known by."""
MAX_UNANSWERED: Final = 256
"""Commands that are not done yet, and answers to commands and bundles that the control plane has
not acknowledged, together. They are evidence and never go, so a control plane that never
acknowledges must not make more of them: beyond this nothing that is answered is taken. It is what
an honest control plane has waiting for one agent at most."""

_ANSWERED: Final = (m.Command, m.PolicyUpdate)
_ANSWERS: Final = (MessageType.COMMAND_RESULT, MessageType.POLICY_STATUS)


@dataclass(frozen=True, slots=True)
class CosignedCheckpoint:
    """The newest checkpoint that the control plane has cosigned; size 0 for none."""

    size: int = 0
    root: bytes = b""
    cosignature: str = ""


class SqlInbox:
    """`protocols.link.delivery.Inbox` in the control link's database."""

    def __init__(self, database: LinkDatabase, on_staged: Callable[[], None]) -> None:
        """`on_staged` is called after each message is staged."""
        self._database = database
        self._on_staged = on_staged

    async def peer(self) -> bytes | None:
        """Whose messages these are; None before the first."""
        return await self._database.transact(_peer)

    async def switch_peer(self, peer: bytes) -> None:
        """From now on they are this control plane's: what another one has left is forgotten."""
        await self._database.transact(lambda tx: _meet(tx, peer))

    async def cursor(self) -> Cursor:
        """See `Inbox`."""
        return await self._database.transact(_cursor)

    async def apply(self, stream: bytes, through: int, message: Message | None) -> bool:
        """See `Inbox`. Raises `InboxFullError` for what would be answered, see `MAX_UNANSWERED`."""
        applied = await self._database.transact(lambda tx: _apply(tx, stream, through, message))
        if applied and message is not None:
            self._on_staged()
        return applied

    async def cosigned_checkpoint(self) -> CosignedCheckpoint:
        """The newest cosigned checkpoint."""
        return await self._database.transact(read_cosigned_checkpoint)


def read_cosigned_checkpoint(tx: LinkTx) -> CosignedCheckpoint:
    """See `SqlInbox.cosigned_checkpoint`."""
    row = tx.execute("SELECT size, root, cosignature FROM witnessed").fetchone()
    return CosignedCheckpoint(*row) if row else CosignedCheckpoint()


def _peer(tx: LinkTx) -> bytes | None:
    row = tx.execute("SELECT id FROM peer").fetchone()
    return row[0] if row else None


def _meet(tx: LinkTx, peer: bytes) -> None:
    for table in ("inbox", "staged_bundle", "commands", "notifications", "witnessed"):
        tx.execute(f"DELETE FROM {table}")  # noqa: S608  # a name of ours
    tx.execute("INSERT OR REPLACE INTO peer VALUES (1, ?)", [peer])


def _cursor(tx: LinkTx) -> Cursor:
    row = tx.execute("SELECT stream, applied FROM inbox").fetchone()
    return Cursor(stream=row[0], applied=row[1]) if row else NO_CURSOR


def _apply(tx: LinkTx, stream: bytes, through: int, message: Message | None) -> bool:
    cursor = _cursor(tx)
    if stream == cursor.stream and through <= cursor.applied:
        return False
    if message is not None:
        if isinstance(message, _ANSWERED) and _open(tx) >= MAX_UNANSWERED:
            raise InboxFullError(
                f"{MAX_UNANSWERED} things were asked for and are not done or acknowledged"
            )
        _stage(tx, message)
    tx.execute("INSERT OR REPLACE INTO inbox VALUES (1, ?, ?)", [stream, through])
    return True


def _open(tx: LinkTx) -> int:
    """How much of what the control plane has asked for takes room here until it is acknowledged."""
    found: int = tx.execute(
        "SELECT (SELECT count(*) FROM commands WHERE state != 'done')"
        " + (SELECT count(*) FROM outbox WHERE name IN (?, ?))",
        _ANSWERS,
    ).fetchone()[0]
    return found


def _stage(tx: LinkTx, message: Message) -> None:
    match message:
        case m.PolicyUpdate(bundle=signed):
            tx.execute("INSERT OR REPLACE INTO staged_bundle VALUES (1, ?)", [signed])
        case m.Command():
            _stage_command(tx, message)
        case m.Notification():
            _keep_notification(tx, message)
        case m.CheckpointCosignature(size=size, root=root, cosignature=line):
            tx.execute("INSERT OR REPLACE INTO witnessed VALUES (1, ?, ?, ?)", [size, root, line])
        case _:
            raise TypeError(f"{type(message).__name__} is not a durable message to an agent")


def _stage_command(tx: LinkTx, command: m.Command) -> None:
    """Once for each id, whatever else a repeated one says."""
    tx.execute(
        "INSERT OR IGNORE INTO commands SELECT ?, ifnull(max(number), 0) + 1, ?, ?, 'new' "
        "FROM commands",
        [command.command_id, command.command, command.expires_at],
    )
    tx.execute(
        "DELETE FROM commands WHERE state = 'done' AND "
        "number <= (SELECT max(number) FROM commands) - ?",
        [MAX_NOTIFICATIONS],
    )


def _keep_notification(tx: LinkTx, told: m.Notification) -> None:
    tx.execute(
        "INSERT OR IGNORE INTO notifications SELECT ?, ifnull(max(number), 0) + 1, ?, ?, ? "
        "FROM notifications",
        [told.notification_id, told.code, told.severity, told.at],
    )
    tx.execute(
        "DELETE FROM notifications WHERE number <= (SELECT max(number) FROM notifications) - ?",
        [MAX_NOTIFICATIONS],
    )


def read_notifications(tx: LinkTx) -> list[m.Notification]:
    """The newest ones, newest first."""
    rows = tx.execute("SELECT id, code, severity, at FROM notifications ORDER BY number DESC")
    return [
        m.Notification(
            notification_id=id_,
            code=words.NotificationCode(code),
            severity=words.Severity(severity),
            at=at,
        )
        for id_, code, severity, at in rows
    ]
