"""Promises of Reply: one outcome, waited for once at a time; and of copy_error."""

from __future__ import annotations

import gc
from typing import Self

import pytest
import trio
import trio.testing

from actors import CallWithdrawn, Failure, Overflow, Stop
from actors.mailbox import Mailbox
from actors.reply import Envelope, Reply, copy_error


def posted(message: object = "m") -> tuple[Reply, Mailbox]:
    """An ask in a mailbox of its own."""
    mailbox = Mailbox("s/a", 8, Overflow.WAIT)
    reply = Reply(message, mailbox)
    mailbox.post(reply, may_wait=False)
    return reply, mailbox


@pytest.mark.parametrize(("result", "value"), [("x", "x"), (None, None), (Stop("bye"), "bye")])
async def test_resolved_before_the_wait(result: object, value: object) -> None:
    """A reply that came early is there whenever it is asked for, more than once."""
    reply, _ = posted()
    reply.resolve(result)
    for _ in range(2):
        with trio.testing.assert_checkpoints():
            assert await reply.wait(1) == value


async def test_first_outcome_stands() -> None:
    """A reply that comes after the failure, or twice, is ignored."""
    reply, _ = posted()
    reply.resolve(Failure(KeyError("k")))
    reply.resolve("late")
    reply.fail(ValueError())
    with pytest.raises(KeyError):
        await reply.wait(1)
    reply, _ = posted()
    reply.resolve("first")
    reply.resolve("second")
    assert await reply.wait(1) == "first"


async def test_second_waiter_is_refused() -> None:
    """Two tasks on one slot would leave one of them asleep for ever."""
    reply, _ = posted()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reply.wait, 10)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await reply.wait(10)
        reply.resolve("x")


async def test_wait_again_after_cancelling_an_unbegun_ask() -> None:
    """The message is gone, and the reply says so instead of sleeping for ever."""
    reply, mailbox = posted()
    with trio.move_on_after(0):
        await reply.wait(10)
    assert mailbox.depth == 0
    with pytest.raises(CallWithdrawn):
        await reply.wait(10)


async def test_wait_again_after_cancelling_a_begun_ask() -> None:
    """The message is still being served: a second wait gets its reply."""
    reply, mailbox = posted()
    (letter,) = await mailbox.receive(1)
    with trio.move_on_after(0):
        await reply.wait(10)
    letter.resolve("x")
    assert await reply.wait(10) == "x"


async def test_raising_leaves_no_reference_cycle() -> None:
    """A refused ask on the hot path is freed at once, not left to the collector."""
    reply, mailbox = posted()
    mailbox.withdraw(reply)
    reply.fail(KeyError("k"))
    gc.collect()
    others = {id(o) for o in gc.get_objects() if type(o) is Reply} - {id(reply)}
    gc.disable()
    try:
        with pytest.raises(KeyError):
            await reply.wait(1)
        del reply
        assert not [o for o in gc.get_objects() if type(o) is Reply and id(o) not in others]
    finally:
        gc.enable()


def test_a_letter_has_no_reply() -> None:
    """Nobody waits for a told message: its result goes nowhere."""
    letter = Envelope("m")
    letter.resolve("x")
    assert letter.error is None


class OddError(Exception):
    """Keeps other things than it takes."""

    def __init__(self, field: str, *, code: int) -> None:
        super().__init__(f"bad {field}")
        self.code = code


class ClosedError(Exception):
    """Cannot be made from its args."""

    def __new__(cls, *fields: object) -> Self:
        """Take two and keep one."""
        first, _ = fields if len(fields) == 2 else _refuse()
        return super().__new__(cls, first)

    def __init__(self, *fields: object) -> None:
        super().__init__(fields[0])


def _refuse() -> tuple[object, object]:
    raise TypeError("two fields")


def test_copy_keeps_type_text_and_attributes() -> None:
    """Whatever the constructor takes, the copy looks like the original and is caused by it."""
    error = OddError("field", code=7)
    copy = copy_error(error)
    assert copy is not error
    assert isinstance(copy, OddError)
    assert (str(copy), copy.code, copy.__cause__) == ("bad field", 7, error)
    assert copy_error(OSError(28, "full")).errno == 28  # type: ignore[attr-defined]
    group = ExceptionGroup("g", [error])
    assert copy_error(group).exceptions == (error,)  # type: ignore[attr-defined]


def test_what_cannot_be_copied_is_shared() -> None:
    """Better one object in many tasks than an exception lost."""
    error = ClosedError(1, 2)
    assert copy_error(error) is error
