"""The look at the start of a request: whether another process or machine has committed anything.

Requests that arrive while a look is under way share the next one, so the number of looks is bounded
by the speed of the database. A look that began before a request does not count for it: it would
miss what was acknowledged in between. etcd calls this mechanism ReadIndex.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any, ClassVar

from actors import BatchActor, Failure, Worker, World
from vault.errors import TamperedError, UnavailableError
from vault.store.committer import Committer


class PendingLook:
    """The look that is under way; survives a restart of its actor."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._begun: float | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """One is under way for the length of the block."""
        self._begun = self._world.monotonic()
        try:
            yield
        finally:
            self._begun = None

    def is_overdue(self, seconds: float) -> bool:
        """Whether it takes as long as that, so that nobody need wait for the next one."""
        return self._begun is not None and self._world.monotonic() - self._begun >= seconds


class ReadIndexActor(BatchActor[None]):
    """Its messages are requests that begin, its replies None once everything before them is known.

    A look that fails is raised to each.
    """

    max_batch: ClassVar[int] = 1 << 12

    def __init__(self, committer: Committer, world: World, pending: PendingLook) -> None:
        self._committer = committer
        self._world = world
        self._pending = pending
        self._thread: Worker

    async def on_start(self) -> None:
        """Take a thread."""
        self._thread = self._world.worker("store look")

    async def receive_batch(self, batch: Sequence[None]) -> Sequence[Any]:
        """Look once."""
        try:
            with self._pending.running():
                await self._thread.run(self._committer.catch_up)
        except (TamperedError, UnavailableError) as error:
            return [Failure(copy(error)) for _ in batch]
        return [None] * len(batch)

    async def on_stop(self) -> None:
        """Let the thread go."""
        self._thread.close()
