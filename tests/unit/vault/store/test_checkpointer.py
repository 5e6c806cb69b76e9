"""vault.store.committer: made beside the writer, when there is something to copy."""

import trio
from trio.testing import wait_all_tasks_blocked

from actors.testing import FakeWorld
from tests.contract.store.samples import StampGuard, system
from vault.store.committer import CHECKPOINT_ROWS, MIN_PAUSE, Checkpointer, run_checkpointer
from vault.store.interface import BackendError
from vault.store.memory import MemoryBackend
from vault.store.store import open_store
from vault.store.tables import SYSTEM
from vault.store.transaction import StoreTx


class Counting(MemoryBackend):
    """Counts its checkpoints; the first one fails."""

    def __init__(self) -> None:
        super().__init__()
        self.checkpoints = 0

    def checkpoint(self) -> None:
        """One more."""
        self.checkpoints += 1
        if self.checkpoints == 1:
            raise BackendError("store_full", "the disk of the database is full")


async def test_after_enough_rows_and_a_rest() -> None:
    """None for few rows; one at the bound; the next only after a rest. A failed one is repeated."""
    backend, world = Counting(), FakeWorld()
    checkpoints = Checkpointer(backend, world)
    async with run_checkpointer(checkpoints):
        checkpoints.on_rows_changed(CHECKPOINT_ROWS - 1)
        await wait_all_tasks_blocked()
        assert backend.checkpoints == 0
        checkpoints.on_rows_changed(1)
        await wait_all_tasks_blocked(0.01)
        assert backend.checkpoints == 1
        checkpoints.on_rows_changed(2 * CHECKPOINT_ROWS)
        await wait_all_tasks_blocked(0.01)
        assert backend.checkpoints == 1
        world.advance(MIN_PAUSE)
        await wait_all_tasks_blocked(0.01)
        assert backend.checkpoints == 2


async def test_what_was_copied_is_not_copied_again() -> None:
    """The next one is for as many rows more, also those that came while it was made."""
    backend, world = Counting(), FakeWorld()
    checkpoints = Checkpointer(backend, world)
    async with run_checkpointer(checkpoints):
        checkpoints.on_rows_changed(CHECKPOINT_ROWS)
        await wait_all_tasks_blocked(0.01)
        assert backend.checkpoints == 1
        world.advance(MIN_PAUSE)
        checkpoints.on_rows_changed(CHECKPOINT_ROWS - 1)
        await wait_all_tasks_blocked(0.01)
        world.advance(MIN_PAUSE)
        await wait_all_tasks_blocked(0.01)
        assert backend.checkpoints == 1
        checkpoints.on_rows_changed(1)
        await wait_all_tasks_blocked(0.01)
        assert backend.checkpoints == 2
        checkpoints._rows += (
            CHECKPOINT_ROWS  # by a thread that still saw the rows before the last one
        )
        world.advance(MIN_PAUSE)
        await wait_all_tasks_blocked(0.01)
        world.advance(MIN_PAUSE)
        await wait_all_tasks_blocked(0.01)
        assert backend.checkpoints == 3


async def test_the_store_makes_them() -> None:
    """What the store's writer commits is counted in rows, not in transactions."""
    backend, world = Counting(), FakeWorld()

    def fill(tx: StoreTx) -> None:
        tx.insert_new(SYSTEM, [system(f"{number}") for number in range(CHECKPOINT_ROWS)])

    async with open_store(backend, StampGuard(), world) as store:
        await store.commit(fill)
        with trio.fail_after(30):
            while not backend.checkpoints:
                await trio.lowlevel.checkpoint()
