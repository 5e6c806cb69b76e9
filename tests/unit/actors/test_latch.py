"""A latch is waited for by one, and opens once and for good."""

import pytest
import trio
import trio.testing

from actors.latch import Latch


async def test_a_waiter_goes_on_once_it_is_open(nursery: trio.Nursery) -> None:
    """Not before; and then nobody waits any more, though everybody gets his turn."""
    latch, told = Latch(), []

    async def wait() -> None:
        await latch.wait()
        told.append("open")

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    assert (told, latch.is_open) == ([], False)
    latch.open()
    latch.open()
    await trio.testing.wait_all_tasks_blocked()
    assert (told, latch.is_open) == (["open"], True)
    with trio.testing.assert_checkpoints():
        await latch.wait()


async def test_one_waits_at_a_time(nursery: trio.Nursery) -> None:
    """Another is refused, until the one has given up."""
    latch = Latch()
    with trio.CancelScope() as scope:
        nursery.start_soon(_cancel_once_refused, latch, scope)
        await latch.wait()
    assert scope.cancelled_caught
    nursery.start_soon(latch.wait)
    await trio.testing.wait_all_tasks_blocked()
    latch.open()


async def _cancel_once_refused(latch: Latch, scope: trio.CancelScope) -> None:
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(trio.BusyResourceError):
        await latch.wait()
    scope.cancel()
