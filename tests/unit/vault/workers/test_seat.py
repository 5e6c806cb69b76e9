"""vault.workers.seat: one process, held from its start to its end; its faults are its own."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import trio
import trio.testing

from protocols.http import Limits
from protocols.http.coarse_clock import CoarseClock
from protocols.http.response_budget import ResponseBudget
from tests.unit.vault.workers.seats import COUNTS, FakeWorker, FakeZygote, NoEdge, zygote
from vault.authz.policy import Policy
from vault.workers.seat import COLLECTING_SECONDS, LANES, SEAL_SECONDS, SILENCE, Seat, Staff
from vault.workers.wire import (
    LENGTH,
    Counts,
    Damage,
    Lane,
    Open,
    Opened,
    Order,
    PathClosed,
    Seal,
    Sealed,
    Serving,
)


class Stage:
    """A seat, and what it told."""

    def __init__(self, fake: FakeZygote, page: int) -> None:
        self.zygote = fake
        self.counted: list[Counts] = []
        self.damaged: list[Damage] = []
        self.ended = trio.Event()
        staff = Staff(
            zygote=fake,  # type: ignore[arg-type]  # as much as it asks for
            page=page,
            listener=SimpleNamespace(fileno=lambda: page),  # type: ignore[arg-type]  # as above
            edge=NoEdge(),
            live=None,
            answers=ResponseBudget(Limits(), CoarseClock(Limits(), None)),
            broker=lambda: None,
            counted=lambda _, counts: self.counted.append(counts),
            alerted=lambda _: None,
            damaged=self.damaged.append,
            traced=lambda _: None,
        )
        self.seat = Seat(1, staff)

    @property
    def worker(self) -> FakeWorker:
        """Its process."""
        return self.zygote.workers[-1]

    async def run(self) -> None:
        """The seat's life."""
        await self.seat.run()
        self.ended.set()


@asynccontextmanager
async def seated() -> AsyncIterator[Stage]:
    """Whose worker serves."""
    page = os.memfd_create("nothing")
    try:
        with zygote() as fake:
            stage = Stage(fake, page)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stage.run)
                while not fake.workers:  # a thread starts it
                    await trio.lowlevel.checkpoint()
                control, _, _ = stage.worker.lanes()
                await control.send(Serving())
                assert await stage.seat.is_serving()
                yield stage
                nursery.cancel_scope.cancel()
    finally:
        os.close(page)


async def test_a_lane_that_is_broken_ends_its_process_and_no_more() -> None:
    """A frame that is no message, on any lane: the process is killed, and nothing is raised."""
    for lane in range(LANES - 1):  # on the last one there are no websockets here
        async with seated() as stage:
            stage.worker.sockets[lane].send((1).to_bytes(LENGTH) + b"x")
            with trio.fail_after(30):
                await stage.ended.wait()
            assert stage.worker.process.wait(60) == -9


async def pass_(clock: trio.testing.MockClock, seconds: int) -> None:
    """Each of them by itself, with time for whoever has something to do in it."""
    for _ in range(seconds):
        await trio.testing.wait_all_tasks_blocked()
        clock.jump(1.0)
    await trio.testing.wait_all_tasks_blocked()


async def test_who_says_nothing_is_ended(mock_clock: trio.testing.MockClock) -> None:
    """Not one that is only slow to count, and not because the machine was asleep."""
    async with seated() as stage:
        control, _, _ = stage.worker.lanes()
        for _ in range(3):
            await pass_(mock_clock, SILENCE - 2)
            await control.send(COUNTS)
        mock_clock.jump(3600.0)
        await pass_(mock_clock, SILENCE - 2)
        assert stage.worker.process.poll() is None
        await pass_(mock_clock, 1)
        assert stage.worker.process.wait(60) == -9
        await stage.ended.wait()


async def test_what_a_worker_has_met_of_the_database_is_told() -> None:
    """By its code and text: the leader seals the vault for it."""
    async with seated() as stage:
        control, _, _ = stage.worker.lanes()
        await control.send(Damage("row_tampered", "a row"))
        with trio.fail_after(30):
            while not stage.damaged:
                await trio.lowlevel.checkpoint()
        assert stage.damaged == [Damage("row_tampered", "a row")]


async def opened(stage: Stage) -> Lane[Order]:
    """A worker that has keys; its end of the control lane."""
    control, _, _ = stage.worker.lanes()
    stage.seat.give_keys(
        Open(
            opening=1, root_key=b"", org="", vault="", node="",
            ceiling=Policy(name="", rules=()), epoch=0, floor=0,
        )
    )  # fmt: skip
    await control.receive()
    await control.send(Opened(1))
    await trio.testing.wait_all_tasks_blocked()
    assert stage.seat.is_open
    return control


async def test_a_worker_that_collects_after_a_seal_is_given_time(
    mock_clock: trio.testing.MockClock,
) -> None:
    """It says nothing meanwhile, and its clients' connections outlive the seal."""
    async with seated() as stage, trio.open_nursery() as nursery:
        control = await opened(stage)
        nursery.start_soon(stage.seat.take_keys, SEAL_SECONDS)
        assert await control.receive() == Seal(1)
        await control.send(PathClosed(1))
        await pass_(mock_clock, COLLECTING_SECONDS - 1)
        assert stage.worker.process.poll() is None
        await control.send(Sealed(1))
        await trio.testing.wait_all_tasks_blocked()
        assert not nursery.child_tasks
        assert stage.worker.process.poll() is None


async def test_a_worker_that_never_drops_its_keys_is_ended(
    mock_clock: trio.testing.MockClock,
) -> None:
    """What it says of its data path gives it some seconds, and no more."""
    async with seated() as stage, trio.open_nursery() as nursery:
        control = await opened(stage)
        nursery.start_soon(stage.seat.take_keys, SEAL_SECONDS)
        await control.receive()
        await control.send(PathClosed(1))
        await pass_(mock_clock, COLLECTING_SECONDS)
        assert stage.worker.process.wait(60) == -9
        nursery.cancel_scope.cancel()
