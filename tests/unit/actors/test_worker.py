"""actors.worker: one thread, in order, results and errors, never abandoned."""

import threading
import weakref

import pytest
import trio

from actors.worker import ThreadWorker, _Call


async def test_one_thread_of_its_own() -> None:
    """Every call runs in the same thread, which is not the loop's and has the given name."""
    worker = ThreadWorker("scribe")
    threads = {await worker.run(threading.current_thread) for _ in range(3)}
    worker.close()
    (thread,) = threads
    assert thread is not threading.current_thread()
    assert thread.name == "scribe"
    await trio.to_thread.run_sync(thread.join)


async def test_results_and_errors() -> None:
    """What the call returns or raises comes back; the thread goes on after an error."""
    worker = ThreadWorker("scribe")
    assert await worker.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await worker.run(divmod, 7, 0)
    assert await worker.run(divmod, 8, 2) == (4, 0)
    worker.close()


async def test_in_order() -> None:
    """Calls of many tasks run one after the other, as they came."""
    worker = ThreadWorker("scribe")
    seen: list[int] = []

    async def add(number: int) -> None:
        await worker.run(seen.append, number)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(add, number)
    worker.close()
    assert sorted(seen) == list(range(20))


async def test_the_loop_goes_on_meanwhile() -> None:
    """Other tasks run while a call blocks, and a cancelled caller still has its result."""
    worker = ThreadWorker("scribe")
    entered, release = threading.Event(), threading.Event()
    found: list[str] = []

    def work() -> str:
        entered.set()
        release.wait(60)
        return "done"

    async def call() -> None:
        found.append(await worker.run(work))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        while not entered.is_set():
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
        await trio.lowlevel.cancel_shielded_checkpoint()
        assert found == []
        release.set()
    worker.close()
    assert found == ["done"]


async def test_a_cancelled_caller_does_not_begin() -> None:
    """Whoever is cancelled already has nothing run for him."""
    worker = ThreadWorker("scribe")
    seen: list[int] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        await worker.run(seen.append, 1)
    assert await worker.run(len, seen) == 0
    worker.close()


async def test_it_keeps_nothing() -> None:
    """A call's argument is let go of once it is answered, not when the next call comes."""

    class Batch:
        pass

    worker, batch = ThreadWorker("scribe"), Batch()
    gone = weakref.ref(batch)
    await worker.run(lambda _: None, batch)
    del batch
    with trio.fail_after(30):
        while gone() is not None:
            await trio.lowlevel.checkpoint()
    worker.close()


def test_a_run_that_is_over() -> None:
    """A call that outlives its run ends its thread in silence."""
    threads: list[threading.Thread] = []

    async def main() -> None:
        worker = ThreadWorker("scribe")
        threads.append(await worker.run(threading.current_thread))
        worker._calls.put(_Call(release.wait, (10,), trio.lowlevel.current_task()))

    release = threading.Event()
    trio.run(main)
    release.set()
    threads[0].join(60)
    assert not threads[0].is_alive()
