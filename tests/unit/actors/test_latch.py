"""A latch is waited for by one, and opens once and for good."""

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
