"""Agents' key-encryption keys."""

import pytest

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.errors import NotFoundError
from control.services.keys import KeyState, ingest
from protocols.instant import SECOND
from tests.unit.control.fleet import enrolled

HOUR = 3600


async def told(plane: Plane, world: FakeWorld, vault: str, **figures: int) -> None:
    """What an agent measures now."""
    now = world.now()
    await plane.store.write(lambda tx: ingest(tx, "acme", vault, now, figures))


async def test_a_key_is_as_old_as_the_change_that_was_seen(plane: Plane, world: FakeWorld) -> None:
    """Of the first one only that it is at least so old; what is due is so from when it was told.

    An agent of before, which says nothing of its keys, is not in the list.
    """
    await enrolled(plane, world, "one", "two", "old")
    began = world.now()
    for due in (0, 0, 1, 1):
        await told(plane, world, "one", rotations=2, rotations_due=due)
        world.advance(HOUR)
    await told(plane, world, "two", rotations=0, rotations_due=0)
    await told(plane, world, "old", requests=5)
    assert await plane.keys.states("acme", "") == [
        KeyState("one", 3, began, exact=False, due_since=began + 2 * HOUR * SECOND),
        KeyState("two", 1, world.now(), exact=False, due_since=0),
    ]
    await told(plane, world, "one", rotations=3, rotations_due=0)
    [one] = await plane.keys.states("acme", "one")
    assert one == KeyState("one", 4, world.now(), exact=True, due_since=0)
    with pytest.raises(NotFoundError):
        await plane.keys.states("acme", "nobody")
