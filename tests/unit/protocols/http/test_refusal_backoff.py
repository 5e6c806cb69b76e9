"""protocols.http.admission: who was turned away is read again a moment later, all at once."""

import trio
import trio.testing

from protocols.http.admission import RefusalBackoff


async def test_all_wait_for_the_end_of_one_lull(autojump_clock: trio.testing.MockClock) -> None:
    """A quarter of the delay from when the first came; the next lull is a new one."""
    lull, ended = RefusalBackoff(0.1), list[float]()

    async def wait(after: float) -> None:
        await trio.sleep(after)
        await lull.wait_end()
        ended.append(round(trio.current_time() - began, 6))

    began = trio.current_time()
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            for after in (0.0, 0.01, 0.02, 0.03):
                nursery.start_soon(wait, after)
    assert ended == [0.025, 0.025, 0.025, 0.055]


async def test_nobody_waits_for_one_that_is_gone(autojump_clock: trio.testing.MockClock) -> None:
    """When the first is cancelled, the others go on, and the next to come waits for the clock."""
    lull = RefusalBackoff(0.1)
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(_cancel, scope)
            await lull.wait_end()
        with trio.fail_after(1):
            await lull.wait_end()

    async with trio.open_nursery() as nursery:
        first = trio.CancelScope()
        nursery.start_soon(_wait_in, first, lull)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(_cancel, first)
        with trio.fail_after(0.01):
            await lull.wait_end()


async def _cancel(scope: trio.CancelScope) -> None:
    scope.cancel()


async def _wait_in(scope: trio.CancelScope, lull: RefusalBackoff) -> None:
    with scope:
        await lull.wait_end()
