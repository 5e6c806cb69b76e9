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


async def test_jobs_run_side_by_side() -> None:
    """None waits for another's task."""
    shop = Workshop()
    async with trio.open_nursery() as nursery, HandlerPool(nursery, shop.handle) as handlers:
        for job in range(5):
            handlers.submit(job)
        await trio.testing.wait_all_tasks_blocked()
        assert len(set(shop.tasks.values())) == 5
        await shop.finish(3, 1, 0, 2, 4)
    assert sorted(shop.done) == [0, 1, 2, 3, 4]


async def test_tasks_are_used_again() -> None:
    """A thousand requests one after the other take one task."""
    shop = Workshop()
    async with trio.open_nursery() as nursery, HandlerPool(nursery, shop.handle) as handlers:
        for job in range(20):
            handlers.submit(job)
            await shop.finish(job)
        assert len(set(shop.tasks.values())) == 1
    assert shop.done == list(range(20))


async def test_tasks_that_nobody_needs_end() -> None:
    """After a tick and another; an idle connection holds no tasks for its handlers."""
    shop = Workshop()
    async with trio.open_nursery() as nursery, HandlerPool(nursery, shop.handle) as handlers:
        for job in range(8):
            handlers.submit(job)
        await shop.finish(*range(8))
        alive = [len(nursery.child_tasks)]
        for _ in range(2):
            handlers.trim_idle()
            await trio.testing.wait_all_tasks_blocked()
            alive.append(len(nursery.child_tasks))
        assert alive == [8, 8, 0]
        handlers.submit(9)
        handlers.trim_idle()
        await shop.finish(9)
    assert shop.done[-1] == 9


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


async def test_cancelling_all_ends_all() -> None:
    """Busy or idle, no task outlives the nursery."""
    shop = Workshop()
    async with trio.open_nursery() as nursery, HandlerPool(nursery, shop.handle) as handlers:
        handlers.submit(1)
        handlers.submit(2)
        await shop.finish(1)
        nursery.cancel_scope.cancel()
    assert shop.done == [1]


async def test_leaving_waits_for_the_busy_ones() -> None:
    """A handler may outlive the reader of its connection, and ends with its task."""
    shop = Workshop()
    async with trio.open_nursery() as nursery:
        async with HandlerPool(nursery, shop.handle) as handlers:
            handlers.submit(1)
        nursery.start_soon(shop.finish, 1)
    assert shop.done == [1]
