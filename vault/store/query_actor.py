"""Queries of a database that is a file here: those of a moment together, in one view, one thread.

What such a query takes is the interpreter, so threads beside each other take it from one another;
and a thread's turn takes several times what a small query does. A server's queries wait for the
server, so these are asked beside each other (`Store`).
"""

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, ClassVar, TypeAlias

from actors import BatchActor, Failure, Worker, World
from vault.store.interface import BackendError, StoreBackend, StoreSession

QueryFunction: TypeAlias = Callable[[StoreSession], Any]


class QueryActor(BatchActor[QueryFunction]):
    """Its messages are asked of a view that was opened behind them; its replies what they return.

    A question that raises fails by itself, and a database that fails is told to each.
    """

    # The longest that a small query waits for its neighbours: ~50 ms where all are lists of 1,000
    # cached names, which take 3 ms each.
    max_batch: ClassVar[int] = 16

    def __init__(self, backend: StoreBackend, world: World) -> None:
        self._backend = backend
        self._world = world
        self._thread: Worker

    async def on_start(self) -> None:
        """Take a thread."""
        self._thread = self._world.worker("store queries")

    async def receive_batch(self, batch: Sequence[QueryFunction]) -> Sequence[object]:
        """Ask them one after the other."""
        return await self._thread.run(self._answers, batch)

    async def on_stop(self) -> None:
        """Let the thread go."""
        self._thread.close()

    def _answers(self, batch: Sequence[QueryFunction]) -> list[object]:
        try:
            with self._backend.read() as session:
                return [_run_query(question, session) for question in batch]
        except BackendError as error:
            return [Failure(copy(error)) for _ in batch]


def _run_query(question: QueryFunction, session: StoreSession) -> object:
    try:
        return question(session)
    except Exception as error:  # noqa: BLE001  # raised where it was asked
        return Failure(error)
