"""vault.workers.write_desk: what becomes of a worker's frames of writes."""

import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
import trio

from tests.unit.vault.workers.test_desk import WRITTEN
from vault.errors import ConflictError
from vault.model.operation import NO_FACTS
from vault.model.payloads import WriteSecret
from vault.mutations import Decided
from vault.workers.pipe import Pipe
from vault.workers.wire import Ends, Frame, Lane
from vault.workers.write_desk import WriteDesk


def decided(path: str) -> Decided:
    """A write."""
    return Decided("r", path, WriteSecret(value=b"{}"), "ann", NO_FACTS, decisive=False)


SENT = 100.0
"""When all frames here were sent."""


class FakeMutations:
    """Has written everything; a path says where, and how that went."""

    def __init__(self) -> None:
        self.here: list[int] = []
        """Writes of each call that a thread made."""
        self.by_loop: list[int] = []
        self.begun, self.may = threading.Event(), threading.Event()

    def carry_out_here(self, decided: list[Decided], *, until: float) -> list[Any] | None:
        """None for one that has to be waited for."""
        self.here.append(len(decided))
        self.until = until
        if decided[0].path == "s/hold":
            self.begun.set()
            assert self.may.wait(10)
        return None if decided[0].path == "s/wait" else self._ends(decided)

    async def carry_out(self, decided: list[Decided], until: float) -> list[Any]:
        """One of each kind of end for each."""
        await trio.lowlevel.checkpoint()
        assert until == self.until
        self.by_loop.append(len(decided))
        return self._ends(decided)

    def _ends(self, decided: list[Decided]) -> list[Any]:
        if decided[0].path == "s/bad":
            raise ValueError("canary")
        if decided[0].path == "s/odd":
            return [ConflictError("odd", "no", canary=1 << 80)] * len(decided)
        return [WRITTEN, ConflictError("cas_mismatch", "no"), WRITTEN][: len(decided)]


@asynccontextmanager
async def writing(mutations: FakeMutations | None) -> AsyncIterator[Lane[Ends]]:
    """A worker's end of a lane at whose other one a write desk is."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    given: Any = mutations
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
    with closing(ours):
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(WriteDesk(Pipe(ours, Frame), lambda: given).run)
            yield Lane(stream, Ends)
            nursery.cancel_scope.cancel()


async def written(mutations: FakeMutations | None, *frames: Frame) -> list[Ends]:
    """What a write desk answers to these frames."""
    async with writing(mutations) as worker:
        for frame in frames:
            await worker.send(frame)
        with trio.fail_after(5):
            return [await worker.receive() for _ in frames]


async def test_what_fails_one_frame_is_told_to_that_one(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody knows what became of it; the next is answered as ever."""
    async with writing(FakeMutations()) as worker:
        told = {}
        for frame in (
            Frame(1, SENT, [decided("s/bad"), decided("s/b")]),
            Frame(2, SENT, [decided("s/a")]),
        ):
            await worker.send(frame)
            with trio.fail_after(5):
                answer = await worker.receive()
            told[answer.number] = [(end.code, end.details) for end in answer.ends]
    assert told == {1: [("write_failed", {"outcome": "unknown"})] * 2, 2: [("", {})]}
    assert "ValueError at" in caplog.text
    assert "canary" not in caplog.text


async def test_an_answer_that_cannot_be_sent_is_told_as_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """That one; whoever is beside it has his own."""
    odd = Frame(1, SENT, [decided("s/odd"), decided("s/b")])
    async with writing(FakeMutations()) as worker:
        await worker.send(odd)
        with trio.fail_after(5):
            answer = await worker.receive()
        assert [end.code for end in answer.ends] == ["write_failed"] * 2
        await worker.send(Frame(2, SENT, [decided("s/a")]))
        with trio.fail_after(5):
            assert (await worker.receive()).number == 2
    assert "OverflowError at" in caplog.text


async def test_nothing_is_written_while_sealed() -> None:
    """The worker hears why."""
    [answer] = await written(None, Frame(1, SENT, [decided("s/a")]))
    assert [end.code for end in answer.ends] == ["sealed"]


async def test_what_was_begun_is_ended_before_the_desk_leaves() -> None:
    """Its thread outlives nobody, be it in a transaction; what only came is not begun any more."""
    mutations = FakeMutations()
    with trio.fail_after(5):
        async with writing(mutations) as worker:
            await worker.send(Frame(1, SENT, [decided("s/hold")]))
            assert await trio.to_thread.run_sync(mutations.begun.wait, 5)
            await worker.send(Frame(2, SENT, [decided("s/a")]))
            threading.Timer(0.05, mutations.may.set).start()
    assert mutations.may.is_set()
    assert mutations.here == [1]
