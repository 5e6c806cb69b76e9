"""vault.workers.writes: a write that was decided here is carried out by the leader, or was not."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from msgspec import Raw

from tests.unit.vault.workers.test_desk import WRITTEN
from tests.unit.vault.workers.test_write_desk import decided
from vault.errors import UnavailableError, VaultError
from vault.workers.carried import carried_of
from vault.workers.wire import MOST_RELAYED, Ends, Frame, Lane, LaneClosed
from vault.workers.writes import MOST_AT_ONCE, MOST_FRAMES, PATIENCE, WriteLane

DONE = carried_of(WRITTEN)


def encoded(path: str) -> Raw:
    """A write as it is sent."""
    return Raw(msgspec.msgpack.encode(decided(path)))


class Stage:
    """A worker's writes, and the leader's end of their lane."""

    def __init__(self, lane: WriteLane, leader: Lane[Frame]) -> None:
        self.lane = lane
        self.leader = leader
        self.told: list[str] = []

    async def ask(self, path: str = "s/a") -> None:
        """Have one written, and note how that went."""
        try:
            written = await self.lane.ask(encoded(path))
        except VaultError as error:
            self.told.append(f"{error.code} {error.details.get('outcome', 'none')}")
        else:
            self.told.append(f"{written.version.version}")

    async def full(self, nursery: trio.Nursery) -> list[Frame]:
        """As many frames of one write as may be under way."""
        frames = []
        for _ in range(MOST_FRAMES):
            nursery.start_soon(self.ask)
            frames.append(await self.leader.receive())
        return frames

    async def answer(self, frame: Frame, end: Any = DONE) -> None:
        """All of the frame ended like this."""
        await self.leader.send(Ends(frame.number, [end] * len(frame.decided)))


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """With its tasks running."""
    ours, theirs = (
        trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        for sock in socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    )
    lane = WriteLane(Lane(ours, Ends), trio.current_time)
    async with ours, theirs, trio.open_nursery() as nursery:
        nursery.start_soon(lane.run)
        yield Stage(lane, Lane(theirs, Frame))
        nursery.cancel_scope.cancel()


async def test_few_frames_are_under_way() -> None:
    """The others wait, and go together once there is room; the ends may come in any order."""
    async with staged() as stage, trio.open_nursery() as nursery:
        frames = await stage.full(nursery)
        for _ in range(MOST_AT_ONCE + 1):
            nursery.start_soon(stage.ask)
        await trio.testing.wait_all_tasks_blocked()
        await stage.answer(frames.pop())
        full = await stage.leader.receive()
        assert len(full.decided) == MOST_AT_ONCE
        await stage.answer(frames.pop(0))
        last = await stage.leader.receive()
        assert len(last.decided) == 1
        for frame in (*frames, last, full):
            await stage.answer(frame)
    assert stage.told == ["3"] * (MOST_FRAMES + MOST_AT_ONCE + 1)


async def test_who_has_no_room_in_time(autojump_clock: trio.testing.MockClock) -> None:
    """Is turned away: nothing is done of it."""
    sent: Any = None
    lane = WriteLane(sent, trio.current_time)  # that nothing is sent of
    async with trio.open_nursery() as nursery:
        for _ in range(MOST_RELAYED):
            nursery.start_soon(lane.ask, encoded("s/a"))
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(UnavailableError, match="too many") as caught:
            await lane.ask(encoded("s/late"))
        assert (caught.value.code, autojump_clock.current_time()) == ("overloaded", PATIENCE)
        assert len(lane._queue) == MOST_RELAYED
        nursery.cancel_scope.cancel()


async def test_who_is_not_answered_in_time(autojump_clock: trio.testing.MockClock) -> None:
    """What was sent may be done or not, what was not is not, and is not sent any more.

    An answer that comes after all is nobody's, and there is room again without it.
    """
    async with staged() as stage:
        await trio.sleep(2 * PATIENCE)  # how long the worker has lived is nobody's wait
        async with trio.open_nursery() as nursery:
            frames = await stage.full(nursery)
            nursery.start_soon(stage.ask)
            began = trio.current_time()
        assert PATIENCE < trio.current_time() - began < PATIENCE + 2
        assert sorted(stage.told) == ["no_answer unknown"] * MOST_FRAMES + ["overloaded none"]
        async with trio.open_nursery() as nursery:
            for _ in range(MOST_FRAMES):
                nursery.start_soon(stage.ask, "s/b")
                frames.append(await stage.leader.receive())
                assert [one.path for one in frames[-1].decided] == ["s/b"]
            for frame in frames:
                await stage.answer(frame)
        assert stage.told[MOST_FRAMES + 1 :] == ["3"] * MOST_FRAMES


async def test_without_a_leader_it_ends() -> None:
    """A worker without one cannot answer anything."""
    with pytest.RaisesGroup(LaneClosed, flatten_subgroups=True):
        async with staged() as stage:
            await stage.leader.aclose()
            await trio.sleep(1)
