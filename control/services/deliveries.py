"""Messages of channels: waiting, sent, dead; dead letters are retried on request."""

from typing import Final

from msgspec.structs import replace

from actors import World
from control.errors import ConflictError, NotFoundError
from control.model.notices import Delivery, State
from control.services.channels import require_channel
from control.store import channels, notices
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import DAY

SENT_RETENTION: Final = 30 * DAY  # how long what was sent can be looked at
DEAD_RETENTION: Final = 90 * DAY
LAST_NOTICE_RETENTION: Final = 2 * DAY  # a window is a day at most
MAX_RETRIED: Final = 1000  # of one request


class Deliveries:
    """Messages of all organizations."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world

    async def list_deliveries(
        self, org: str, *, channel: str, state: State | None, before: int, limit: int
    ) -> list[Delivery]:
        """The newest first, older than `before` (Unix nanoseconds) if that is not 0."""
        return await self._store.read(
            lambda tx: channels.list_deliveries(
                tx, org, channel=channel, state=state, before=before, limit=limit
            )
        )

    async def retry_dead_letter(self, org: str, identifier: str) -> Delivery:
        """Retry a dead letter. Raises `NotFoundError`, `ConflictError` for any other message."""
        now = self._world.now()

        def change(tx: Tx) -> Delivery:
            return _retried(tx, _require_dead(tx, org, identifier), now)

        return await self._store.write(change)

    async def retry_dead_letters(self, org: str, channel: str) -> int:
        """Retry all dead letters of a channel; how many. Raises `NotFoundError`."""
        now = self._world.now()

        def change(tx: Tx) -> int:
            require_channel(tx, org, channel)
            found = channels.list_deliveries(
                tx, org, channel=channel, state=State.DEAD, before=0, limit=MAX_RETRIED
            )
            return len([_retried(tx, row, now) for row in found])

        return await self._store.write(change)

    async def discard_dead_letter(self, org: str, identifier: str) -> None:
        """Delete a dead letter. Raises `NotFoundError`, `ConflictError` for any other message."""

        def change(tx: Tx) -> None:
            _require_dead(tx, org, identifier)
            if not channels.delete_delivery(tx, org, identifier):
                raise ConflictError("held", "a legal hold keeps this message: lift it first")

        await self._store.write(change)

    async def delete_finished(self) -> None:
        """Delete messages that were sent or died long ago."""
        now = self._world.now()

        def change(tx: Tx) -> None:
            channels.delete_older_deliveries(tx, State.SENT, now - SENT_RETENTION)
            channels.delete_older_deliveries(tx, State.DEAD, now - DEAD_RETENTION)
            notices.delete_older_last_notices(tx, now - LAST_NOTICE_RETENTION)

        await self._store.write(change)


def _require_dead(tx: Tx, org: str, identifier: str) -> Delivery:
    row = channels.get_delivery(tx, org, identifier)
    if row is None:
        raise NotFoundError("not_found", "there is no such message")
    if row.state is not State.DEAD:
        raise ConflictError(
            "not_dead", f"this message is {row.state}: only dead letters can be sent again"
        )
    return row


def _retried(tx: Tx, row: Delivery, now: int) -> Delivery:
    alive = replace(row, state=State.WAITING, attempts=0, due_at=now, finished_at=0)
    channels.put_delivery(tx, alive)
    return alive
