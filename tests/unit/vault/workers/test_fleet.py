"""vault.workers.fleet: as many workers as were asked for, until all are to end."""

import errno
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing

from actors.testing import FakeWorld
from protocols.http import Listener
from tests.unit.vault.workers.seats import FakeWorker, FakeZygote, NoEdge, zygote
from vault.audit.broker import AuditBroker
from vault.audit.layout import LogLayout
from vault.authz.ceiling import NO_CEILING
from vault.config import Settings
from vault.metrics import Metrics
from vault.peers import Handover
from vault.store.shared_head import SharedHead
from vault.workers.fleet import FAILING_DEATHS, FAILING_SECONDS, Fleet
from vault.workers.seat import STALLED
from vault.workers.wire import Drain, Lane, Open, Opened, Order, Seal, Sealed, Serving

GONE = ConnectionResetError("gone")
PATIENCE = 60.0  # seconds, of a thread that starts a process


def full() -> OSError:
    """What the zygote is told by a machine that is full."""
    return OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def settings(folder: Path) -> Settings:
    """Of an agent with one worker."""
    return Settings.model_validate(
        {
            "server": {"port": 8200, "workers": 1, "tls": {"enabled": False}},
            "storage": {"connection_string": f"sqlite:///{folder}/vault.db"},
        }
    )


class Stage:
    """A fleet of one."""

    def __init__(self, fake: FakeZygote, folder: Path) -> None:
        self.zygote = fake
        self.world = FakeWorld()
        self.fleet = Fleet(fake, settings(folder), Metrics(), self.world)  # type: ignore[arg-type]  # as much as it asks for

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


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """One whose first worker serves."""
    async with staffed(tmp_path) as stage:
        yield stage


@asynccontextmanager
async def staffed(folder: Path) -> AsyncIterator[Stage]:
    """The same, for whoever has to see how it ends."""
    with zygote() as fake:
        stage = Stage(fake, folder)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.serving, 1)
            await nursery.start(run, stage.fleet)
            yield stage
            nursery.cancel_scope.cancel()


async def run(fleet: Fleet, task_status: trio.TaskStatus[Fleet] = trio.TASK_STATUS_IGNORED) -> None:
    """Start it with a listening socket that nobody looks at."""
    with await Listener.bind("127.0.0.1", 0, 1) as listener:
        await fleet.run(NoEdge(), listener, task_status=task_status)


async def test_a_process_that_cannot_be_had_is_asked_for_again(stage: Stage) -> None:
    """However often it is refused; the agent goes on with those that it has."""
    stage.zygote.refusals = [full() for _ in range(30)]
    stage.zygote.workers[0].close()
    await stage.serving(2)
    assert stage.zygote.refusals == []
    stage.zygote.workers[1].close()
    await stage.serving(3)


async def test_workers_that_end_again_and_again_are_failing_until_they_are_steady(
    stage: Stage,
) -> None:
    """Three in a quarter of an hour are none of that; a quarter without one ends it."""
    for number in range(FAILING_DEATHS):
        assert not stage.fleet.failing
        stage.zygote.workers[number].close()
        await stage.serving(number + 2)
    assert stage.fleet.failing
    stage.world.advance(FAILING_SECONDS)
    assert not stage.fleet.failing


async def test_a_seal_waits_for_no_worker_that_opens(stage: Stage) -> None:
    """It is ended with its keys, which is no failure of a worker; the next one is given none."""
    for number in range(1, FAILING_DEATHS + 2):
        worker = await stage.worker(number)
        control, _, _ = worker.lanes()
        async with stage.fleet.opened(handover()):
            assert isinstance(await control.receive(), Open)
            began = time.monotonic()
        assert time.monotonic() - began < PATIENCE
        assert await trio.to_thread.run_sync(worker.process.wait, PATIENCE) == -signal.SIGKILL
        worker.close()  # as the kernel does
        await stage.serving(number + 1)
    assert not stage.fleet.failing


async def test_a_worker_that_drops_its_keys_lives(stage: Stage) -> None:
    """It says which opening is over; until then no other key is given to it."""
    worker = await stage.worker(1)
    control, _, _ = worker.lanes()
    for _ in range(2):
        async with trio.open_nursery() as nursery, stage.fleet.opened(handover()):
            opened = await control.receive()
            assert isinstance(opened, Open)
            await control.send(Opened(opened.opening))
            await control.send(Sealed(opened.opening - 1))  # late, and of another opening
            nursery.start_soon(drop_keys, control)
    assert worker.process.poll() is None


async def test_a_rekey_whose_caller_is_gone_changes_nothing(stage: Stage) -> None:
    """He was connected to a worker that was ended for it: nobody would get the new shares."""
    worker = await stage.worker(1)
    control, _, _ = worker.lanes()
    async with trio.open_nursery() as nursery, stage.fleet.opened(handover()):
        first = await control.receive()
        assert isinstance(first, Open)
        await control.send(Opened(first.opening))
        nursery.start_soon(drop_keys, control)
        with trio.CancelScope() as caller:
            caller.cancel()
            async with stage.fleet.rekeying():
                raise AssertionError("the key is changed")
        again = await control.receive()
        assert isinstance(again, Open)
        nursery.start_soon(drop_keys, control)
    assert again.root_key == first.root_key


async def drop_keys(control: Lane[Order]) -> None:
    """As a worker does when it is told."""
    order = await control.receive()
    assert isinstance(order, Seal)
    await control.send(Sealed(order.opening))


def handover() -> Handover:
    """Of a vault in which nothing is recorded."""
    return Handover(
        root_key=bytes(32),
        org="org",
        vault="vault",
        node="node",
        epoch=1,
        ceiling=NO_CEILING,
        audit=cast("AuditBroker", None),
        report_damage=lambda _: None,
    )


async def test_no_fleet_begins_with_fewer(tmp_path: Path) -> None:
    """Whoever starts the agent hears that there is no process to be had."""
    with zygote() as fake:
        fake.refusals = [full()]
        with pytest.RaisesGroup(BlockingIOError, flatten_subgroups=True):
            with trio.fail_after(PATIENCE):
                await run(Stage(fake, tmp_path).fleet)


async def test_without_a_zygote_there_is_no_fleet(tmp_path: Path) -> None:
    """Nobody is left who could start another one."""
    with pytest.RaisesGroup(ConnectionResetError, flatten_subgroups=True):
        async with staffed(tmp_path) as stage:
            stage.zygote.refusals = [GONE]
            stage.zygote.workers[0].close()
            await stage.worker(2)


async def test_a_worker_that_hangs_with_the_audit_log(stage: Stage, tmp_path: Path) -> None:
    """Is ended, if it says nothing besides; one that only waits for a slow disk is not."""
    process = (await stage.worker(1)).process
    tail = stage.fleet.audit_tail(LogLayout(tmp_path / "audit.log"))
    (seat,) = stage.fleet._seats
    tail.evict(process.pid)
    seat.silent = STALLED
    tail.evict(os.getpid())
    assert process.poll() is None
    tail.evict(process.pid)
    assert await trio.to_thread.run_sync(process.wait, PATIENCE) == -signal.SIGKILL


async def test_a_worker_that_hangs_with_the_head(stage: Stage) -> None:
    """Is ended, if it says nothing besides: all others wait for it to commit.

    One that holds it again and again is not, nor one that waits for a slow disk.
    """
    process = (await stage.worker(1)).process
    (seat,) = stage.fleet._seats
    head = stage.fleet.head()
    assert head is not None

    async def look() -> None:
        await trio.testing.wait_all_tasks_blocked()
        stage.world.advance(1.0)
        await trio.testing.wait_all_tasks_blocked()

    with holding(head, process.pid):
        await look()
        await look()
        assert process.poll() is None, "it is not silent"
        seat.silent = STALLED
    for _ in range(3):
        with holding(head, process.pid):
            await look()
    assert process.poll() is None, "it is another transaction each time"
    with holding(head, process.pid):
        await look()
        await look()
        assert await trio.to_thread.run_sync(process.wait, PATIENCE) == -signal.SIGKILL


async def test_it_has_ended_when_its_workers_have(tmp_path: Path) -> None:
    """However long they might have had for the answers in flight."""
    with zygote() as fake:
        stage = Stage(fake, tmp_path)
        async with trio.open_nursery() as nursery:
            control: list[Lane[Order]] = []

            async def serving() -> None:
                control.append(await stage.serving(1))

            nursery.start_soon(serving)
            await nursery.start(run, stage.fleet)
            nursery.start_soon(stage.fleet.drain, 1000.0)
            with trio.fail_after(PATIENCE):
                assert await control[0].receive() == Drain(1000.0)
                fake.workers[0].close()
                while nursery.child_tasks:
                    await trio.testing.wait_all_tasks_blocked(0.002)
                    stage.world.advance(1.0)


@contextmanager
def holding(head: SharedHead, pid: int) -> Iterator[None]:
    """As if that process held it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "getpid", lambda: pid)
        held = head.hold()
        held.__enter__()
    try:
        yield
    finally:
        held.__exit__(None, None, None)
