"""What protocols.http.h2_handler_pool promises."""

import trio
import trio.testing

from protocols.http.h2_handler_pool import HandlerPool


class Workshop:
    """Handlers whose jobs are numbers; each waits until it is let go."""

    def __init__(self) -> None:
        self.tasks: dict[int, trio.lowlevel.Task] = {}
        self.scopes: dict[int, trio.CancelScope] = {}
        self.go: dict[int, trio.Event] = {}
        self.done: list[int] = []

    async def handle(self, job: int, scope: trio.CancelScope) -> None:
        """One job."""
        self.tasks[job], self.scopes[job] = trio.lowlevel.current_task(), scope
        await self.go.setdefault(job, trio.Event()).wait()
        self.done.append(job)

    async def finish(self, *jobs: int) -> None:
        """Let these end."""
        for job in jobs:
            self.go.setdefault(job, trio.Event()).set()
        await trio.testing.wait_all_tasks_blocked()


async def test_a_cancelled_job_takes_only_its_task_with_it() -> None:
    """Also when the job ends without noticing: the next one gets a sound task."""
    shop = Workshop()
    async with trio.open_nursery() as nursery, HandlerPool(nursery, shop.handle) as handlers:
        handlers.submit(1)
        handlers.submit(2)
        await trio.testing.wait_all_tasks_blocked()
        shop.scopes[1].cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert shop.done == []
        shop.go[2].set()
        await trio.testing.wait_all_tasks_blocked()
        shop.scopes[2].cancel()  # it is idle by now
        await trio.testing.wait_all_tasks_blocked()
        assert not nursery.child_tasks
        handlers.submit(3)
        await shop.finish(3)
    assert shop.done == [2, 3]


async def test_leaving_waits_for_the_busy_ones() -> None:
    """A handler may outlive the reader of its connection, and ends with its task."""
    shop = Workshop()
    async with trio.open_nursery() as nursery:
        async with HandlerPool(nursery, shop.handle) as handlers:
            handlers.submit(1)
        nursery.start_soon(shop.finish, 1)
    assert shop.done == [1]
