"""vault.store.inspection: damage that an opening does not look for seals the vault."""

import logging

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.testing import FakeWorld
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.samples import StampGuard
from vault.errors import TamperedError
from vault.store.inspection import PERIOD, inspecting_database
from vault.store.interface import BackendError
from vault.store.memory import MemoryBackend
from vault.store.store import open_store


class Reading(FaultyBackend):
    """Counts how often it was read through, and fails as it is told to."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend())
        self.readings = 0
        self.error: Exception | None = None

    def check(self) -> None:
        """Counted."""
        self.readings += 1
        if self.error is not None:
            raise self.error


async def looked(error: Exception | None, days: int) -> tuple[int, int]:
    """How often it was read in so many days, and how often damage was told."""
    backend, world, told = Reading(), FakeWorld(), list[None]()
    backend.error = error
    async with (
        open_store(backend, StampGuard(), world) as store,
        inspecting_database(store, lambda: told.append(None), world),
    ):
        for _ in range(days):
            await wait_all_tasks_blocked()
            world.advance(PERIOD)
        await wait_all_tasks_blocked()
    return backend.readings, len(told)


async def test_it_is_read_at_once_and_daily() -> None:
    """A healthy one for as long as it is open."""
    assert await looked(None, 2) == (3, 0)


@pytest.mark.parametrize(
    "error",
    [BackendError("store_corrupt", "damaged"), TamperedError("storage_schema_changed", "changed")],
)
async def test_damage_is_told_once(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """With what it is, in the log of the process."""
    with caplog.at_level(logging.ERROR, "freehold.store"):
        assert await looked(error, 2) == (1, 1)
    assert error.args[0] in caplog.text or str(error) in caplog.text


async def test_a_database_that_does_not_answer_is_read_again() -> None:
    """Who needs it is told so."""
    assert await looked(BackendError("store_unavailable", "away"), 1) == (2, 0)


async def test_the_block_ends_while_it_is_read() -> None:
    """Nothing waits for the next reading."""
    backend, world = Reading(), FakeWorld()
    with trio.fail_after(5):
        async with (
            open_store(backend, StampGuard(), world) as store,
            inspecting_database(store, lambda: None, world),
        ):
            await wait_all_tasks_blocked()
