"""Promises of Actor and BatchActor: turns, batches, results, and whom a crash reaches."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
import trio.testing

from actors import (
    Actor,
    BatchActor,
    BatchMismatch,
    Child,
    Failure,
    Restart,
    Stop,
    SystemWorld,
    supervise,
)
from actors.testing import EAGER, STRICT, BatchProbe, CrashError, Diary, probes, quiet


async def test_an_actor_meets_one_message_at_a_time() -> None:
    """Turns of one actor never overlap, however many ask."""
    inside = most = 0

    class Counter(Actor[int]):
        async def receive(self, message: int) -> int:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await trio.lowlevel.checkpoint()
            inside -= 1
            return message

    async with (
        supervise("s", [Child("c", Counter)], world=SystemWorld()) as sup,
        trio.open_nursery() as nursery,
    ):
        for n in range(20):
            nursery.start_soon(sup.ref("c").call, n, 1)
    assert most == 1


async def test_failure_result_raises_in_the_ask_without_a_crash() -> None:
    """`Failure` is an answer: the asker gets that very exception and the actor goes on."""
    error = CrashError()

    async def answer() -> Failure:
        return Failure(error)

    diary = Diary()
    async with supervise("s", probes("a", diary), policy=STRICT, world=SystemWorld()) as sup:
        with pytest.raises(CrashError) as caught:
            await sup.ref("a").call(answer, 1)
        assert caught.value is error
        assert await sup.ref("a").call("x", 1) == "x"
    assert diary.entries.count("a: start") == 1


async def test_base_receive_is_not_an_answer() -> None:
    """An actor that defines no turn crashes at its first message."""
    for kind in (Actor, BatchActor):
        with pytest.RaisesGroup(pytest.RaisesGroup(NotImplementedError)):
            async with supervise(
                "s", [Child("a", kind)], policy=STRICT, world=SystemWorld(), report=quiet
            ) as sup:
                with pytest.raises(NotImplementedError):
                    await sup.ref("a").call("x", 1)


async def test_batch_is_all_that_is_queued() -> None:
    """Whoever arrives while a batch is in hand joins the next, in order, as one batch."""
    actor = BatchProbe()
    release = trio.Event()
    async with supervise("s", [Child("b", lambda: actor)], world=SystemWorld()) as sup:
        ref = sup.ref("b")
        first = ref.call_nowait(release.wait)
        await trio.testing.wait_all_tasks_blocked()
        replies = [ref.call_nowait(n) for n in range(5)]
        release.set()
        assert [await reply.wait(1) for reply in replies] == list(range(5))
        await first.wait(1)
    assert actor.batches[1:] == [list(range(5))]


async def test_batch_is_bounded() -> None:
    """No batch is longer than max_batch; the rest follows in order."""

    class Small(BatchProbe):
        max_batch = 2

    actor = Small()
    async with supervise("s", [Child("b", lambda: actor)], world=SystemWorld()) as sup:
        replies = [sup.ref("b").call_nowait(n) for n in range(5)]
        assert [await reply.wait(1) for reply in replies] == list(range(5))
    assert actor.batches == [[0, 1], [2, 3], [4]]


async def test_one_failure_in_a_batch_fails_one_ask() -> None:
    """Its neighbours in the batch get their results."""

    class Picky(BatchActor[int]):
        async def receive_batch(self, batch: Sequence[int]) -> Sequence[object]:
            return [Failure(CrashError()) if n == 1 else n for n in batch]

    async with supervise("s", [Child("b", Picky)], policy=STRICT, world=SystemWorld()) as sup:
        replies = [sup.ref("b").call_nowait(n) for n in range(3)]
        assert await replies[0].wait(1) == 0
        with pytest.raises(CrashError):
            await replies[1].wait(1)
        assert await replies[2].wait(1) == 2


async def test_crash_of_a_batch_fails_each_of_its_asks_and_no_other() -> None:
    """Every message in hand fails with its own copy of the exception; none is tried again."""
    made: list[BatchProbe] = []

    def factory() -> BatchProbe:
        made.append(BatchProbe())
        return made[-1]

    release = trio.Event()
    error = CrashError("boom", 7)
    async with supervise(
        "s", [Child("b", factory)], policy=EAGER, world=SystemWorld(), report=quiet
    ) as sup:
        ref = sup.ref("b")
        doomed = [ref.call_nowait(m) for m in (1, release.wait, error)]
        await trio.testing.wait_all_tasks_blocked()
        later = ref.call_nowait("later")
        release.set()
        caught = []
        for reply in doomed:
            with pytest.raises(CrashError) as info:
                await reply.wait(1)
            caught.append(info.value)
        assert await later.wait(1) == "later"
    assert {e.args for e in caught} == {("boom", 7)}
    assert len({id(e) for e in caught}) == 3
    assert all(e.__cause__ is error for e in caught)
    assert [b.batches for b in made] == [[[1, release.wait, error]], [["later"]]]


async def test_wrong_number_of_results_is_a_crash() -> None:
    """Results cannot be told apart then, so every asker of the batch is failed."""

    class Lossy(BatchActor[int]):
        async def receive_batch(self, batch: Sequence[int]) -> Sequence[object]:
            return list(batch)[1:]

    with pytest.RaisesGroup(pytest.RaisesGroup(BatchMismatch)):
        async with supervise(
            "s", [Child("b", Lossy)], policy=STRICT, world=SystemWorld(), report=quiet
        ) as sup:
            with pytest.raises(BatchMismatch):
                await sup.ref("b").call(1, 1)


async def test_stop_in_a_batch_ends_the_actor_after_the_batch() -> None:
    """The batch is answered in full, then the actor ends."""

    class Mortal(BatchActor[int]):
        async def receive_batch(self, batch: Sequence[int]) -> Sequence[object]:
            return [Stop(n) if n == 1 else n for n in batch]

    async with supervise(
        "s", [Child("b", Mortal)], policy=EAGER, world=SystemWorld(), report=quiet
    ) as sup:
        replies = [sup.ref("b").call_nowait(n) for n in range(3)]
        assert [await reply.wait(1) for reply in replies] == [0, 1, 2]
        assert await sup.ref("b").call(5, 1) == 5
        assert sup.snapshot().children[0].restarts == 1


async def test_busy_actor_leaves_room_for_others() -> None:
    """An actor whose mailbox never runs dry and that never awaits does not starve the loop."""

    class Restless(Actor[int]):
        async def receive(self, message: int) -> object:
            if tired:
                return Stop()
            ref.cast_nowait(message)
            return None

    tired = False
    child = Child("r", Restless, restart=Restart.TEMPORARY)
    async with supervise("s", [child], world=SystemWorld()) as sup:
        ref = sup.ref("r")
        ref.cast_nowait(1)
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        tired = True


@pytest.mark.parametrize(("seconds", "expected"), [(1.0, [2]), (0.0, [1, 1])])
async def test_a_batch_lets_those_come_that_are_on_their_way(
    seconds: float, expected: list[int]
) -> None:
    """With a `hold` two that ask a turn of the event loop apart are served together."""
    batches: list[int] = []

    class Held(BatchActor[int]):
        hold = seconds

        async def receive_batch(self, batch: Sequence[int]) -> Sequence[object]:
            batches.append(len(batch))
            return batch

    async with supervise("s", [Child("a", Held)], world=SystemWorld()) as tree:
        ref = tree.ref("a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.call, 0, 10)
            for _ in range(3):  # it is begun, asks, and the actor has been woken
                await trio.lowlevel.checkpoint()
            nursery.start_soon(ref.call, 1, 10)
    assert batches == expected
