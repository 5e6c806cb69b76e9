"""vault.workers.fleet: as many workers as were asked for, until all are to end."""

import errno
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from actors.testing import FakeWorld
from tests.unit.vault.workers.seats import FakeWorker, FakeZygote, NoEdge, zygote
from vault.audit.layout import LogLayout
from vault.metrics import Metrics
from vault.workers.fleet import FAILING_DEATHS, FAILING_SECONDS, Fleet
from vault.workers.seat import STALLED
from vault.workers.wire import Lane, Order, Serving

GONE = ConnectionResetError("gone")
PATIENCE = 10.0  # seconds, of a thread that starts a process


def full() -> OSError:
    """What the zygote is told by a machine that is full."""
    return OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


class Stage:
    """A fleet of one."""

    def __init__(self, fake: FakeZygote) -> None:
        self.zygote = fake
        self.world = FakeWorld()
        self.fleet = Fleet(fake, 1, Metrics(), self.world)  # type: ignore[arg-type]  # as much as it asks for

    async def worker(self, number: int) -> FakeWorker:
        """The one that is started as the `number`th, in the fullness of time."""
        end = time.monotonic() + PATIENCE
        while len(self.zygote.workers) < number:
            assert time.monotonic() < end, "no worker is started"
            await trio.testing.wait_all_tasks_blocked(0.002)
            self.world.advance(1.0)
        return self.zygote.workers[number - 1]

    async def serving(self, number: int) -> Lane[Order]:
        """Its control lane, once it has said that it serves."""
        control, _, _ = (await self.worker(number)).lanes()
        await control.send(Serving())
        return control


@asynccontextmanager
async def staffed() -> AsyncIterator[Stage]:
    """One whose first worker serves."""
    with zygote() as fake:
        stage = Stage(fake)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.serving, 1)
            await nursery.start(run, stage.fleet)
            yield stage
            nursery.cancel_scope.cancel()


async def run(fleet: Fleet, task_status: trio.TaskStatus[Fleet] = trio.TASK_STATUS_IGNORED) -> None:
    """Start it with a listening socket that nobody looks at."""
    await fleet.run(NoEdge(), NoEdge(), 0, 1, task_status=task_status)


async def test_a_process_that_cannot_be_had_is_asked_for_again() -> None:
    """However often it is refused; the agent goes on with those that it has."""
    async with staffed() as stage:
        stage.zygote.refusals = [full() for _ in range(30)]
        stage.zygote.workers[0].close()
        await stage.serving(2)
        assert stage.zygote.refusals == []
        stage.zygote.workers[1].close()
        await stage.serving(3)


async def test_workers_that_end_again_and_again_are_failing_until_they_are_steady() -> None:
    """Three in a quarter of an hour are none of that; a quarter without one ends it."""
    async with staffed() as stage:
        for number in range(FAILING_DEATHS):
            assert not stage.fleet.failing
            stage.zygote.workers[number].close()
            await stage.serving(number + 2)
        assert stage.fleet.failing
        stage.world.advance(FAILING_SECONDS)
        assert not stage.fleet.failing


async def test_no_fleet_begins_with_fewer() -> None:
    """Whoever starts the agent hears that there is no process to be had."""
    with zygote() as fake:
        fake.refusals = [full()]
        with pytest.RaisesGroup(BlockingIOError, flatten_subgroups=True):
            with trio.fail_after(PATIENCE):
                await run(Stage(fake).fleet)


async def test_without_a_zygote_there_is_no_fleet() -> None:
    """Nobody is left who could start another one."""
    with pytest.RaisesGroup(ConnectionResetError, flatten_subgroups=True):
        async with staffed() as stage:
            stage.zygote.refusals = [GONE]
            stage.zygote.workers[0].close()
            await stage.worker(2)


async def test_a_worker_that_hangs_with_the_audit_log(tmp_path: Path) -> None:
    """Is ended, if it says nothing besides; one that only waits for a slow disk is not."""
    async with staffed() as stage:
        process = (await stage.worker(1)).process
        end = stage.fleet.end(LogLayout(tmp_path / "audit.log"))
        (seat,) = stage.fleet._seats
        end.evict(process.pid)
        seat.silent = STALLED
        end.evict(os.getpid())
        assert process.poll() is None
        end.evict(process.pid)
        assert await trio.to_thread.run_sync(process.wait, PATIENCE) == -signal.SIGKILL
