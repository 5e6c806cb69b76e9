"""Promises of the mailbox: bound, order, each overflow choice counted, withdrawal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from actors import CallTimeout, Overflow
from actors.mailbox import QUIET, SLOW, Mailbox
from actors.reply import Reply


def box(bound: int, overflow: Overflow) -> Mailbox:
    """A mailbox with nobody behind it."""
    return Mailbox("s/a", bound, overflow)


def asked(mailbox: Mailbox, message: object, *, may_wait: bool = True) -> Reply:
    """Post an ask."""
    reply = Reply(message, mailbox)
    mailbox.post(reply, may_wait=may_wait)
    return reply


async def messages(mailbox: Mailbox, limit: int = 100) -> list[object]:
    """Take what is there."""
    return [letter.message for letter in await mailbox.receive(limit)]


def test_a_bound_is_at_least_one() -> None:
    """A mailbox that could never hold a message is a mistake in wiring."""
    with pytest.raises(ValueError, match="at least one"):
        box(0, Overflow.WAIT)


async def test_withdrawn_message_is_not_served_and_makes_room() -> None:
    """A cancelled ask takes its message back, and the next in line is admitted."""
    mailbox = box(1, Overflow.WAIT)
    reply = asked(mailbox, 0)
    asked(mailbox, 1)
    with trio.move_on_after(0):
        await reply.wait(10)
    assert await messages(mailbox) == [1]


async def test_take_waits_for_the_first_message() -> None:
    """The consumer sleeps while there is nothing, and a cancelled take loses nothing."""
    mailbox = box(4, Overflow.WAIT)
    with trio.move_on_after(0):
        await mailbox.receive(4)
    asked(mailbox, "kept")
    assert await messages(mailbox) == ["kept"]
    got: list[object] = []

    async def consume() -> None:
        got.extend(await messages(mailbox))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(consume)
        await trio.testing.wait_all_tasks_blocked()
        assert got == []
        asked(mailbox, "x")
    assert got == ["x"]


async def test_deadlines_are_kept_wherever_the_message_is(mock_clock: object) -> None:
    """In hand, queued or waiting for room: each ask fails at its own deadline, not before."""
    assert isinstance(mock_clock, trio.testing.MockClock)
    mailbox = box(1, Overflow.WAIT)
    failed: list[tuple[str, float]] = []

    async def ask(message: str, deadline: float) -> None:
        with pytest.raises(CallTimeout):
            await asked(mailbox, message).wait(deadline)
        failed.append((message, trio.current_time()))

    async with trio.open_nursery() as clock, trio.open_nursery() as askers:
        clock.start_soon(mailbox.run_deadlines)
        for message, deadline in (("in hand", 3.0), ("queued", 1.0), ("waiting", 2.0)):
            askers.start_soon(ask, message, deadline)
            await trio.testing.wait_all_tasks_blocked()
            if message == "in hand":
                await mailbox.receive(1)
        mock_clock.autojump_threshold = 0
        clock.start_soon(trio.sleep, 4)
        await trio.sleep(3.5)
        clock.cancel_scope.cancel()
    assert failed == [("queued", 1.0), ("waiting", 2.0), ("in hand", 3.0)]
    assert (mailbox.expired, mailbox.depth, mailbox.waiting) == (3, 0, 0)


async def come(mailbox: Mailbox, letters: int, turns: int, clock: MockClock, each: float) -> None:
    """Post so many, so many turns of the event loop and so many seconds apart."""
    for number in range(1, letters + 1):
        for _ in range(turns):
            await trio.lowlevel.checkpoint()
        clock.jump(each)
        asked(mailbox, number)


@pytest.mark.parametrize(
    ("turns", "each", "limit", "taken"),
    [
        (QUIET - 1, 0.0, 100, {6}),  # all that come soon after each other
        (QUIET + 1, 0.0, 100, {1}),  # nobody who comes later
        (1, 0.0, 2, {2}),  # no more than are wanted
        (1, 0.6, 100, {3, 4}),  # and not longer than `hold`
    ],
)
async def test_those_on_their_way_are_let_come(
    mock_clock: MockClock, turns: int, each: float, limit: int, taken: set[int]
) -> None:
    """Where a batch may wait, letters that are few turns of the event loop apart go together."""
    mailbox = box(9, Overflow.WAIT)
    asked(mailbox, 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(come, mailbox, 5, turns, mock_clock, each)
        assert len(await mailbox.receive(limit, hold=1.0)) in taken
        assert mailbox.depth <= 1  # a full batch does not wait for more


@pytest.fixture
async def slowed(mock_clock: MockClock) -> Mailbox:
    """A mailbox that a slow batch of three has just left, with one more message in it.

    The clock is Trio's only for a test that names it itself.
    """
    mock_clock.autojump_threshold = 0
    mailbox = box(9, Overflow.WAIT)
    for number in range(3):
        asked(mailbox, number)
    assert len(await mailbox.receive(100, hold=1.0)) == 3
    await trio.sleep(SLOW + 1)
    asked(mailbox, 3)
    return mailbox


@pytest.mark.parametrize("stop", [Mailbox.pause, Mailbox.drain])
async def test_who_is_to_stop_does_not_wait_any_more(
    mock_clock: MockClock, slowed: Mailbox, stop: Callable[[Mailbox], None]
) -> None:
    """At once: a paused one takes nothing, a draining one what is there."""

    async def soon() -> None:
        await trio.sleep(0.25)
        stop(slowed)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(soon)
        began = trio.current_time()
        assert len(await slowed.receive(100, hold=1.0)) == (stop is Mailbox.drain)
        assert trio.current_time() - began == pytest.approx(0.25)


async def test_a_consumer_that_is_cancelled_meanwhile_loses_nothing(
    mock_clock: MockClock, slowed: Mailbox
) -> None:
    """What is queued is taken next time."""
    with trio.move_on_after(0.25) as scope:
        await slowed.receive(100, hold=1.0)
    assert scope.cancelled_caught
    assert await messages(slowed) == [3]


async def test_a_wave_of_cancellations_is_cheap() -> None:
    """Ten thousand asks cancelled at once leave the queue empty, in time linear in their number."""
    mailbox = box(10_000, Overflow.WAIT)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            for n in range(10_000):
                nursery.start_soon(asked(mailbox, n).wait, 1000)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert mailbox.depth == 0


async def test_all_were_withdrawn_meanwhile() -> None:
    """An empty take means the end, so it is none: the next message is waited for."""
    mailbox = box(8, Overflow.WAIT)
    got: list[object] = []

    async def consume() -> None:
        got.extend(letter.message for letter in await mailbox.receive(8, hold=1.0))

    async with trio.open_nursery() as nursery:
        first = asked(mailbox, 0)
        nursery.start_soon(consume)
        for _ in range(3):  # it has begun, and lets others come
            await trio.lowlevel.checkpoint()
        assert mailbox.withdraw(first)
        await trio.testing.wait_all_tasks_blocked()
        assert got == []
        asked(mailbox, 1)
    assert got == [1]
