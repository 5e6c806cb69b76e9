"""vault.workers.reading: what a worker decides again, on what every process agrees on now."""

from typing import Any

import pytest
import trio

from vault.errors import ConflictError
from vault.workers.reading import CaughtUp


class FakeFollower:
    """Current or not, and asked so often."""

    def __init__(self, *, current: bool) -> None:
        self.current, self.asked = current, 0

    async def is_current(self) -> bool:
        """As told."""
        await trio.lowlevel.checkpoint()
        self.asked += 1
        return self.current


async def test_the_journal_is_read_before_anything_is_decided_again() -> None:
    """And not for what begins, for which the door has done it."""
    follower: Any = FakeFollower(current=True)
    following = CaughtUp(follower)
    assert following.is_current
    assert follower.asked == 0
    await following.follow()
    assert follower.asked == 1


async def test_what_the_leader_alone_can_decide_is_told() -> None:
    """While a policy is being changed, or the vault is sealed: whoever asked tries again."""
    follower: Any = FakeFollower(current=False)
    with pytest.raises(ConflictError, match="changed_meanwhile"):
        await CaughtUp(follower).follow()
