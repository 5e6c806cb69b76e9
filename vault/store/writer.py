"""The writer: everybody's changes who has no thread of his own, one batch at a time.

When the database fails, the actor crashes: its supervisor lets it open a fresh, checked connection.
"""

from collections.abc import Sequence
from itertools import islice
from typing import ClassVar, Final

from actors import BatchActor, Worker, World
from vault.store.committer import MAX_BATCH_CHANGES, Change, Committer

BATCH_DELAY: Final = (
    0.002  # seconds; a transaction costs a thread's turns and a sync, whatever is in it
)


class WriterActor(BatchActor[Change | list[Change]]):
    """The thread that commits. Its messages are changes, its replies what they return.

    Of a list the reply is a list: results, and a `Failure` where one raised. A list counts as one
    message.
    """

    max_batch: ClassVar[int] = MAX_BATCH_CHANGES
    hold: ClassVar[float] = BATCH_DELAY

    def __init__(self, committer: Committer, world: World) -> None:
        self._committer = committer
        self._world = world
        self._thread: Worker

    async def on_start(self) -> None:
        """Ready with a fresh connection whose durability was read back. Raises `BackendError`."""
        self._thread = self._world.worker("store writer")
        try:
            await self._thread.run(self._committer.connect)
        except BaseException:
            self._thread.close()
            raise

    async def receive_batch(self, batch: Sequence[Change | list[Change]]) -> Sequence[object]:
        """Commit the changes together; raises `BackendError` when none of them was stored."""
        changes: list[Change] = []
        for message in batch:
            changes += message if isinstance(message, list) else (message,)
        rest = iter(await self._thread.run(self._committer.commit, changes))
        return [
            list(islice(rest, len(message))) if isinstance(message, list) else next(rest)
            for message in batch
        ]

    async def on_stop(self) -> None:
        """Let the thread go."""
        self._thread.close()
