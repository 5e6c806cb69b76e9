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
from vault.errors import ConflictError, UnavailableError, VaultError
from vault.handlers.handler import Call
from vault.model.identity import ANONYMOUS
from vault.model.operation import Operation, OperationType, Origin, SecretFacts
from vault.model.path import ResourcePath
from vault.model.payloads import WriteSecret
from vault.mutations import WRITE
from vault.store.store import COMMIT_TIMEOUT
from vault.workers.carried import carried_of
from vault.workers.wire import LOOK_EVERY, MOST_RELAYED, Ends, Frame, Lane, LaneClosed
from vault.workers.writes import MOST_AT_ONCE, MOST_FRAMES, PATIENCE, RemoteWrites, WriteLane

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


async def test_what_has_gathered_is_one_frame() -> None:
    """What comes while others are under way goes with the next; each has its own end."""
    async with staged() as stage, trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(stage.ask, f"s/{number}")
        frame = await stage.leader.receive()
        paths = [one.path for one in frame.decided]
        assert sorted(paths) == ["s/0", "s/1", "s/2"]
        no = carried_of(ConflictError("cas_mismatch", "no"))
        await stage.leader.send(Ends(frame.number, [DONE, no, DONE]))
    assert sorted(stage.told) == ["3", "3", "cas_mismatch none"]


async def test_a_frame_says_when_it_was_sent() -> None:
    """So that nobody begins it long after whoever waits was told; which is longer than that."""
    async with staged() as stage, trio.open_nursery() as nursery:
        before = trio.current_time()
        nursery.start_soon(stage.ask)
        frame = await stage.leader.receive()
        assert before <= frame.at <= trio.current_time()
        await stage.answer(frame)
    assert PATIENCE > COMMIT_TIMEOUT


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


async def test_too_many_wait_in_turn() -> None:
    """What waits has a bound: who comes beyond it has room once some of that was sent."""
    async with staged() as stage, trio.open_nursery() as nursery:
        frames = await stage.full(nursery)
        for _ in range(MOST_RELAYED + 1):
            nursery.start_soon(stage.ask)
        await trio.testing.wait_all_tasks_blocked()
        assert len(stage.lane._queue) == MOST_RELAYED
        with trio.fail_after(5):
            while len(stage.told) < MOST_RELAYED + MOST_FRAMES + 1:
                await stage.answer(frames.pop() if frames else await stage.leader.receive())
                await trio.testing.wait_all_tasks_blocked()
    assert set(stage.told) == {"3"}


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


async def test_who_waited_too_long_leaves_room(autojump_clock: trio.testing.MockClock) -> None:
    """For those who waited behind him."""
    async with staged() as stage, trio.open_nursery() as nursery:
        frames = await stage.full(nursery)
        for _ in range(MOST_RELAYED):
            nursery.start_soon(stage.ask)
        await trio.sleep(PATIENCE / 2)
        nursery.start_soon(stage.ask, "s/behind")
        await trio.sleep(PATIENCE / 2 + 2 * LOOK_EVERY)
        with trio.fail_after(PATIENCE / 2):
            frame = await stage.leader.receive()
        assert [one.path for one in frame.decided] == ["s/behind"]
        assert len(frames) * ["no_answer unknown"] + MOST_RELAYED * ["overloaded none"] == sorted(
            stage.told
        )
        await stage.answer(frame)
    assert autojump_clock.current_time() < 2 * PATIENCE


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


class FakeKnown:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def written(self, path: str) -> None:
        """It is there."""
        self.told.append(f"{path} written")

    def was_wrong(self, path: str, facts: SecretFacts) -> None:
        """It is not so."""
        self.told.append(f"{path} {facts.exists} was wrong")


def begun(*, guess: bool = True) -> Call:
    """A write that was allowed."""
    op = Operation(
        type=OperationType(WRITE), path=ResourcePath.parse("s/a"), payload=WriteSecret(value=b"{}"),
        request_id="r1", credential="t", origin=Origin(ip="10.0.0.1"),
    )  # fmt: skip
    return Call(op, ANONYMOUS, SecretFacts(exists=True, is_guess=guess))


async def test_once_it_is_done_its_secret_is_known_to_be_there() -> None:
    """And not before."""
    known: Any = FakeKnown()
    async with staged() as stage, trio.open_nursery() as nursery:

        async def write() -> None:
            written = await RemoteWrites(stage.lane, known)(begun())
            stage.told.append(str(written.version.version))

        nursery.start_soon(write)
        frame = await stage.leader.receive()
        assert known.told == []
        [sent] = frame.decided
        assert (sent.path, sent.writer, sent.facts.is_guess) == ("s/a", "anonymous", True)
        await stage.answer(frame)
    assert (stage.told, known.told) == (["3"], ["s/a written"])


@pytest.mark.parametrize(
    ("code", "guess", "told"),
    [
        ("changed_meanwhile", True, ["s/a True was wrong"]),
        ("changed_meanwhile", False, []),
        ("cas_mismatch", True, []),
    ],
)
async def test_a_wrong_guess_is_learnt_from(code: str, *, guess: bool, told: list[str]) -> None:
    """The next one is another. What was looked up and has changed teaches nothing."""
    known: Any = FakeKnown()
    async with staged() as stage, trio.open_nursery() as nursery:

        async def write() -> None:
            with pytest.raises(ConflictError, match=code):
                await RemoteWrites(stage.lane, known)(begun(guess=guess))

        nursery.start_soon(write)
        await stage.answer(
            await stage.leader.receive(), carried_of(ConflictError(code, "it was changed"))
        )
    assert known.told == told
