"""vault.workers.seat: one process, held from its start to its end; its faults are its own."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from tests.unit.vault.workers.seats import COUNTS, FakeWorker, FakeZygote, NoEdge, zygote
from vault.workers.seat import Seat, Staff
from vault.workers.wire import LENGTH, Counts, Serving


class Stage:
    """A seat, and what it told."""

    def __init__(self, fake: FakeZygote, page: int) -> None:
        self.zygote = fake
        self.counted: list[Counts] = []
        self.ended = trio.Event()
        staff = Staff(
            zygote=fake,  # type: ignore[arg-type]  # as much as it asks for
            page=page,
            listener=page,
            edge=NoEdge(),
            live=None,
            broker=lambda: None,
            counted=lambda _, counts: self.counted.append(counts),
            traced=lambda _: None,
        )
        self.seat = Seat(1, staff)

    @property
    def worker(self) -> FakeWorker:
        """Its process."""
        return self.zygote.workers[-1]

    async def run(self) -> None:
        """The seat's life."""
        await self.seat.run(0)
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
    for lane in range(3):
        async with seated() as stage:
            stage.worker.sockets[lane].send((1).to_bytes(LENGTH) + b"x")
            with trio.fail_after(5):
                await stage.ended.wait()
            assert stage.worker.process.wait(5) == -9


async def test_counts_reach_the_leader() -> None:
    """As they come."""
    async with seated() as stage:
        control, _, _ = stage.worker.lanes()
        await control.send(COUNTS)
        await trio.testing.wait_all_tasks_blocked()
        assert stage.counted == [COUNTS]
