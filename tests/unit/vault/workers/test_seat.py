"""vault.workers.seat: one process, held from its start to its end; its faults are its own."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from protocols.http import Limits
from protocols.http.coarse_clock import CoarseClock
from protocols.http.response_budget import ResponseBudget
from tests.unit.vault.workers.seats import COUNTS, FakeWorker, FakeZygote, NoEdge, zygote
from vault.authz.policy import Policy
from vault.workers.seat import LANES, SILENCE, Seat, Staff, WorkerGone
from vault.workers.wire import LENGTH, Counts, Damage, Open, Serving


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
            with trio.fail_after(5):
                await stage.ended.wait()
            assert stage.worker.process.wait(5) == -9


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
        assert stage.worker.process.wait(5) == -9
        await stage.ended.wait()


OPEN = Open(
    opening=1,
    root_key=bytes(32),
    org="o",
    vault="v",
    node="n",
    ceiling=Policy(name="ceiling", rules=()),
    epoch=1,
    floor=0,
)


async def test_an_opening_may_take_as_long_as_it_goes_on(
    mock_clock: trio.testing.MockClock,
) -> None:
    """Counting millions of rows takes its time: a worker is late once nothing more is counted."""
    async with seated() as stage:
        control, _, _ = stage.worker.lanes()
        ended = trio.Event()

        async def ask() -> None:
            with pytest.raises(WorkerGone):
                await stage.seat.ask(OPEN, 30.0)
            ended.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            for step in range(1, 10):
                await pass_(mock_clock, 20)
                await control.send(replace(COUNTS, opening_steps=step))
            await pass_(mock_clock, 20)
            await control.send(replace(COUNTS, opening_steps=9))
            assert stage.worker.process.poll() is None
            await pass_(mock_clock, 11)
            await ended.wait()
            assert stage.worker.process.wait(5) == -9


async def test_what_a_worker_has_met_of_the_database_is_told() -> None:
    """By its code and text: the leader seals the vault for it."""
    async with seated() as stage:
        control, _, _ = stage.worker.lanes()
        await control.send(Damage("row_tampered", "a row"))
        with trio.fail_after(5):
            while not stage.damaged:
                await trio.lowlevel.checkpoint()
        assert stage.damaged == [Damage("row_tampered", "a row")]
