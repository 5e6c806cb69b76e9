"""Who waits for changes hears of all of them, whenever it joins, and of nothing else."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
import trio
from trio.testing import MockClock

from tests.support.trio_world import TrioWorld
from vault.errors import RateLimitError, UnavailableError
from vault.handlers import change_hub
from vault.handlers.change_hub import ChangeHub, Watch, is_below
from vault.model.changes import ChangedNames, ChangePosition, FeedExpiredError

START: Final = ChangePosition(0, b"")
PIECE: Final = 3  # entries of one reading


class Feed:
    """A change feed in a list; entries before `first` are gone."""

    def __init__(self) -> None:
        self.entries: list[ChangedNames] = []
        self.first = 0
        self.reads = 0

    @property
    def commits(self) -> int:
        """As `SecretFeed` has it."""
        return len(self.entries)

    async def position(self) -> ChangePosition:
        """As `SecretFeed` has it."""
        return ChangePosition(self.commits, b"")

    async def read(self, after: ChangePosition, until: int) -> list[ChangedNames]:
        """As `SecretFeed` has it."""
        await trio.lowlevel.checkpoint()
        self.reads += 1
        if after.commits < self.first:
            raise FeedExpiredError
        return self.entries[after.commits : min(after.commits + PIECE, until)]

    def commit(self, *names: str) -> None:
        """One entry more."""
        self.entries.append(ChangedNames([*names], ChangePosition(self.commits + 1, b"")))


class Idle:
    """A request."""

    def __init__(self) -> None:
        self.is_draining = False

    def suspend(self) -> None:
        """Waits."""

    def resume(self) -> None:
        """Works."""


@asynccontextmanager
async def hub_of(feed: Feed) -> AsyncIterator[ChangeHub]:
    """It runs for the length of the block."""
    hub = ChangeHub(feed, TrioWorld())
    async with trio.open_nursery() as nursery:
        await nursery.start(hub.run)
        yield hub
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("name", "prefixes", "below"),
    [
        ("a/b", (), True),
        ("a/b", ("a/",), True),
        ("a/b", ("a/b",), True),
        ("a/bc", ("a/b",), False),
        ("a/b/c", ("a/b",), False),
        ("a/b/c", ("x", "a/b/"), True),
        ("ab/c", ("a/",), False),
    ],
)
def test_prefixes(name: str, prefixes: tuple[str, ...], below: bool) -> None:
    """Folders with their slash, and single secrets."""
    assert is_below(name, prefixes) is below


async def test_it_hears_of_what_it_waits_for(autojump_clock: MockClock) -> None:
    """By folder and by name, each name once."""
    feed = Feed()
    async with hub_of(feed) as hub:
        watch, other = Watch(("a/", "b"), START), Watch(("c/",), START)
        with hub.join(watch, "me", Idle()), hub.join(other, "me", Idle()):
            feed.commit("a/x", "b", "b/x", "c")
            feed.commit("a/x")
            await watch.wait()
            await trio.testing.wait_all_tasks_blocked()
            assert watch.take() == ["a/x", "b"]
            assert other.is_idle
        assert len(hub) == 0


@pytest.mark.parametrize("seed", range(20))
async def test_none_is_missed(autojump_clock: MockClock, seed: int) -> None:
    """Watches that come and go at any moment, from positions of any age, miss no commit."""
    chance, feed, heard = random.Random(seed), Feed(), set[int]()  # noqa: S311  # a test
    with trio.fail_after(600):  # of the test's clock
        await follow_all(chance, feed, heard, is_alone=seed % 2 == 0)
    assert heard == set(range(200))


async def follow_all(chance: random.Random, feed: Feed, heard: set[int], *, is_alone: bool) -> None:
    """Until all commits were heard of."""
    async with hub_of(feed) as hub, trio.open_nursery() as nursery:

        async def commit() -> None:
            for number in range(200):
                feed.commit(f"a/{number}", f"b/{number}")
                await trio.sleep(chance.choice([0, 0, 0.05, 0.3]))

        async def wait_always() -> None:
            with hub.join(Watch(("none/",), START), "other", Idle()):
                await trio.sleep_forever()

        async def follow() -> None:
            position = START
            while len(heard) < 200:
                watch = Watch(("a/",), position)
                with hub.join(watch, "me", Idle()):
                    with trio.move_on_after(chance.choice([0.1, 1, 5])):
                        await watch.wait()
                    at, names = hub.position, watch.take()
                if names is None:  # it looks at the feed itself
                    names = [name for entry in feed.entries for name in entry.names]
                    at = await feed.position()
                heard.update(int(name[2:]) for name in names if name.startswith("a/"))
                assert at is not None
                position = max(position, at)
                await trio.sleep(chance.choice([0, 0.2]))
            nursery.cancel_scope.cancel()

        nursery.start_soon(commit)
        if not is_alone:
            nursery.start_soon(wait_always)
        nursery.start_soon(follow)


async def test_too_many_names_are_not_kept(autojump_clock: MockClock) -> None:
    """Whoever waits has to look itself."""
    feed = Feed()
    async with hub_of(feed) as hub:
        watch = Watch((), START)
        with hub.join(watch, "me", Idle()):
            feed.commit(*(f"a/{number}" for number in range(change_hub.MAX_NAMES + 1)))
            await watch.wait()
            await trio.testing.wait_all_tasks_blocked()
            assert watch.take() is None


async def test_a_feed_that_is_gone(autojump_clock: MockClock) -> None:
    """All who wait have to look, and are told so; what comes later is heard of again."""
    feed = Feed()
    async with hub_of(feed) as hub:
        watch = Watch((), START)
        with hub.join(watch, "me", Idle()):
            feed.commit("a")
            feed.first = 1
            await watch.wait()
            assert watch.take() is None
            feed.commit("b")
            await watch.wait()
            assert watch.take() == ["b"]


async def test_nobody_waits(autojump_clock: MockClock) -> None:
    """Then the feed is not read."""
    feed = Feed()
    async with hub_of(feed):
        feed.commit("a")
        await trio.sleep(60)
        assert not feed.reads


async def test_bounds(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one caller, and of all."""
    monkeypatch.setattr(change_hub, "MAX_WATCHES_EACH", 2)
    monkeypatch.setattr(change_hub, "MAX_WATCHES", 3)
    async with hub_of(Feed()) as hub:
        with hub.join(Watch((), START), "a", Idle()), hub.join(Watch((), START), "a", Idle()):
            with pytest.raises(RateLimitError), hub.join(Watch((), START), "a", Idle()):
                pass
            with (
                hub.join(Watch((), START), "b", Idle()),
                pytest.raises(UnavailableError),
                hub.join(Watch((), START), "c", Idle()),
            ):
                pass
        with hub.join(Watch((), START), "a", Idle()):
            assert len(hub) == 1


async def test_its_end_and_a_stop_end_all(autojump_clock: MockClock) -> None:
    """And nobody joins afterwards."""
    idle, watches = Idle(), [Watch((), START) for _ in range(3)]
    async with trio.open_nursery() as nursery:

        async def wait(watch: Watch, hub: ChangeHub) -> None:
            with hub.join(watch, "a", idle):
                await watch.wait()
                assert watch.is_over

        async with hub_of(Feed()) as hub:
            nursery.start_soon(wait, watches[0], hub)
            await trio.testing.wait_all_tasks_blocked()
            idle.is_draining = True
            await watches[0].wait()
            idle.is_draining = False
            nursery.start_soon(wait, watches[1], hub)
            await trio.testing.wait_all_tasks_blocked()
            assert not watches[1].is_over
    with pytest.raises(UnavailableError, match="sealed"), hub.join(watches[2], "a", idle):
        pass
