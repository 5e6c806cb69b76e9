"""Tries that are spread, bounded and cancellable, and none while a destination is down."""

from collections.abc import Callable

import pytest
import trio

from actors import SystemWorld
from actors.testing import FakeWorld
from tests.support.trio_world import TrioWorld
from vault.backup.destinations.retries import ATTEMPTS, COOLDOWN, Retries, TransientError
from vault.errors import ConflictError, UnavailableError


class Failing:
    """Fails so often, and then not."""

    def __init__(self, failures: int) -> None:
        self.left = failures
        self.calls = 0

    def __call__(self) -> str:
        """The next call."""
        self.calls += 1
        self.left -= 1
        if self.left >= 0:
            raise TransientError(f"fault {self.calls}")
        return "done"


def make(world: FakeWorld, slept: list[float]) -> Retries:
    """Whose waits pass at once."""

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        world.advance(seconds)

    return Retries(world, "place", sleep=sleep)


def test_waits_double_with_jitter_and_are_bounded() -> None:
    """Between half of each and all of it."""
    for seed in range(50):
        slept: list[float] = []
        assert make(FakeWorld(seed=seed), slept).run(Failing(ATTEMPTS - 1)) == "done"
        assert len(slept) == ATTEMPTS - 1
        for wait, most in zip(slept, (0.5, 1, 2, 4, 8), strict=True):
            assert most / 2 <= wait <= most


def test_bound_of_the_tries() -> None:
    """The error says what the last one met."""
    failing = Failing(100)
    with pytest.raises(UnavailableError, match=f"place.*fault {ATTEMPTS}"):
        make(FakeWorld(), []).run(failing)
    assert failing.calls == ATTEMPTS


@pytest.mark.parametrize("error", [ConflictError("a", "b"), UnavailableError("a", "b")])
def test_other_errors_are_not_tried_again(error: Exception) -> None:
    """They pass as they are."""
    calls = []

    def call() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)) as caught:
        make(FakeWorld(), []).run(call)
    assert caught.value is error
    assert calls == [1]


def test_breaker() -> None:
    """Closed, open, half open, open, half open, closed."""
    world, slept = FakeWorld(), list[float]()
    retries = make(world, slept)
    with pytest.raises(UnavailableError):
        retries.run(Failing(100))
    untouched = Failing(0)
    with pytest.raises(UnavailableError, match=r"fault 6\. It is tried again after 30 s"):
        retries.run(untouched)
    assert untouched.calls == 0
    world.advance(COOLDOWN + 1)
    probe = Failing(100)
    with pytest.raises(UnavailableError, match="fault 1"):
        retries.run(probe)
    assert probe.calls == 1
    with pytest.raises(UnavailableError):
        retries.run(untouched)
    world.advance(COOLDOWN + 1)
    assert retries.run(untouched) == "done"
    assert retries.run(Failing(ATTEMPTS - 1)) == "done"


async def test_waits_on_the_worlds_clock(autojump_clock: trio.testing.MockClock) -> None:
    """In a thread of Trio's."""
    failing = Failing(ATTEMPTS - 1)
    retries = Retries(TrioWorldOfThreads(), "place")
    assert await trio.to_thread.run_sync(retries.run, failing) == "done"
    assert 7.75 <= trio.current_time() <= 15.5


class TrioWorldOfThreads(TrioWorld):
    """Whose breaker does not matter."""

    def uptime(self) -> float:
        """It stands still."""
        return 0.0


async def test_cancelled_between_two_tries() -> None:
    """While it waits, and before the next one."""
    waiting = trio.Event()
    failing = Failing(100)

    class World(SystemWorld):
        async def sleep(self, _seconds: float) -> None:
            waiting.set()
            await trio.sleep_forever()

    retries = Retries(World(), "place")
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, retries.run, failing)
            await waiting.wait()
            nursery.cancel_scope.cancel()
    assert failing.calls == 1


async def test_cancelled_before_the_first_try() -> None:
    """Nothing is asked for, but what cleans up is."""
    retries = Retries(SystemWorld(), "place")
    calls: list[str] = []

    def work(begun: Callable[[], None]) -> None:
        begun()
        while True:
            try:
                trio.from_thread.check_cancelled()
            except trio.Cancelled:
                break
        assert retries.run_once(lambda: calls.append("clean-up")) is None
        retries.run(lambda: calls.append("never"))

    begun = trio.Event()
    token = trio.lowlevel.current_trio_token()
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                trio.to_thread.run_sync, work, lambda: token.run_sync_soon(begun.set)
            )
            await begun.wait()
            nursery.cancel_scope.cancel()
    assert calls == ["clean-up"]
