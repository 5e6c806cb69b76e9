"""Fair shares of slots: nobody waits for what somebody else asks, and nobody is waited for."""

import pytest
import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

from actors.errors import LimiterFull
from actors.fair_limiter import FairLimiter, Share

WIDE = Share(8, 100)


class Users:
    """Tasks that hold a slot until told; `inside` and `turned_away` are in order."""

    def __init__(self, nursery: trio.Nursery, limiter: FairLimiter) -> None:
        self.nursery = nursery
        self.limiter = limiter
        self.inside: list[str] = []
        self.turned_away: list[tuple[str, bool]] = []
        self.scopes: dict[str, trio.CancelScope] = {}

    async def come(self, name: str, group: str, member: str = "", *, bounded: bool = True) -> None:
        """Ask for a slot; returns once it is held or waited for."""
        self.scopes[name] = trio.CancelScope()
        self.nursery.start_soon(self._hold, name, group, member, bounded)
        await wait_all_tasks_blocked()

    async def leave(self, name: str) -> None:
        """Give it back, or wait no more."""
        self.scopes[name].cancel()
        await wait_all_tasks_blocked()

    async def _hold(self, name: str, group: str, member: str, bounded: bool) -> None:
        with self.scopes[name]:
            try:
                async with self.limiter.slot(group, member, bounded=bounded):
                    self.inside.append(name)
                    await trio.sleep_forever()
            except LimiterFull as full:
                self.turned_away.append((name, full.own))


async def test_a_newcomer_does_not_wait_for_a_crowd() -> None:
    """The next slot is theirs who hold least; then it is round robin, in each group too."""
    limiter = FairLimiter(2, group=WIDE, member=WIDE, waiting=100)
    async with trio.open_nursery() as nursery:
        users = Users(nursery, limiter)
        for number in range(6):
            await users.come(f"crowd-{number}", "crowd", "a")
        await users.come("other", "crowd", "b")
        await users.come("honest", "honest")
        for name in ("crowd-0", "crowd-1", "honest", "other"):
            await users.leave(name)
        assert users.inside == ["crowd-0", "crowd-1", "honest", "other", "crowd-2", "crowd-3"]
        nursery.cancel_scope.cancel()
    assert limiter.groups == frozenset()
    assert limiter.waiting == 0


async def test_one_key_never_holds_all_slots() -> None:
    """A group has its share, a member of it its own; what is left is somebody else's at once."""
    limiter = FairLimiter(4, group=Share(3, 100), member=Share(2, 100), waiting=100)
    async with trio.open_nursery() as nursery:
        users = Users(nursery, limiter)
        for name, group, member in (
            ("a1", "a", "x"), ("a2", "a", "x"), ("a3", "a", "x"), ("a4", "a", "y"),
            ("a5", "a", "y"), ("b1", "b", "x"),
        ):  # fmt: skip
            await users.come(name, group, member)
        assert users.inside == ["a1", "a2", "a4", "b1"]
        nursery.cancel_scope.cancel()


async def test_who_leaves_is_not_waited_for() -> None:
    """A cancelled wait takes no slot and keeps no place in the queue."""
    limiter = FairLimiter(1, group=WIDE, member=Share(1, 2), waiting=100)
    async with trio.open_nursery() as nursery:
        users = Users(nursery, limiter)
        for name in ("first", "gone", "also-gone"):
            await users.come(name, "a")
        await users.come("refused", "a")
        await users.leave("gone")
        await users.leave("also-gone")
        await users.come("next", "a")
        await users.leave("first")
        assert users.inside == ["first", "next"]
        assert users.turned_away == [("refused", True)]
        nursery.cancel_scope.cancel()
    assert limiter.groups == frozenset()


async def test_who_is_cancelled_as_the_slot_comes_gives_it_back() -> None:
    """In the same turn of the loop: no slot is lost."""
    limiter = FairLimiter(1, group=WIDE, member=WIDE, waiting=100)
    async with trio.open_nursery() as nursery:
        users = Users(nursery, limiter)
        for name in ("first", "second", "third"):
            await users.come(name, "a")
        users.scopes["first"].cancel()
        users.scopes["second"].cancel()
        await wait_all_tasks_blocked()
        assert users.inside[-1] == "third"
        nursery.cancel_scope.cancel()
    assert limiter.groups == frozenset()


async def test_a_full_queue_turns_away_whoever_has_most_in_it() -> None:
    """Many keys together cannot keep others out: the largest group's newest makes room."""
    limiter = FairLimiter(1, group=WIDE, member=WIDE, waiting=3)
    async with trio.open_nursery() as nursery:
        users = Users(nursery, limiter)
        for number in range(4):
            await users.come(f"crowd-{number}", "crowd")
        await users.come("crowd-4", "crowd")
        assert users.turned_away == [("crowd-4", False)]
        await users.come("honest", "honest")
        assert users.turned_away[1:] == [("crowd-3", False)]
        await users.leave("crowd-0")
        assert users.inside == ["crowd-0", "honest"]
        assert limiter.refused == 2
        nursery.cancel_scope.cancel()


async def test_the_unbounded_are_never_turned_away() -> None:
    """Nor do they count against those that have a bound."""
    limiter = FairLimiter(1, group=WIDE, member=Share(8, 1), waiting=1)
    async with trio.open_nursery() as nursery:
        users = Users(nursery, limiter)
        for number in range(5):
            await users.come(f"job-{number}", "jobs", bounded=False)
        await users.come("one", "a")
        assert users.turned_away == []
        assert limiter.waiting == 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("crowd", [10, 100])
async def test_the_wait_does_not_grow_with_the_crowd(
    crowd: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Where each request takes a second, a caller beside the crowd waits for one at most."""
    limiter = FairLimiter(2, group=Share(2, 200), member=Share(2, 200), waiting=200)

    async def work() -> None:
        async with limiter.slot("crowd"):
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for _ in range(crowd):
            nursery.start_soon(work)
        await trio.sleep(0.5)
        async with limiter.slot("honest"):
            assert trio.current_time() == 1.0
        nursery.cancel_scope.cancel()
