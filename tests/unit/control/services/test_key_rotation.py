"""Agents' key-encryption keys."""

import pytest

from actors.testing import FakeWorld
from control.core import Core
from control.errors import NotFoundError
from control.model.history import Aspect, StateChange
from control.services.key_rotation import MAX_SILENCE, KeyState, ingest_key_figures
from control.store import history
from protocols.instant import SECOND
from tests.unit.control.fleet import enrolled

HOUR = 3600


async def told(
    core: Core, world: FakeWorld, vault: str, at: int | None = None, **figures: int
) -> None:
    """What an agent measures now, or says that it measured then."""
    now = world.now()
    when = now if at is None else at
    await core.store.write(lambda tx: ingest_key_figures(tx, "acme", vault, when, figures, now=now))


async def turns(core: Core, vault: str) -> list[StateChange]:
    """What is on record of the agent's key."""
    found = await core.store.read(
        lambda tx: history.changes_between(tx, "acme", Aspect.KEY, 0, 2**62)
    )
    return found.get(vault, [])


async def test_a_key_is_as_old_as_the_change_that_was_seen(core: Core, world: FakeWorld) -> None:
    """Of the first one only that it is at least so old; what is due is so from when it was told.

    An agent of before, which says nothing of its keys, is not in the list.
    """
    await enrolled(core, world, "one", "two", "old")
    began = world.now()
    for due in (0, 0, 1, 1):
        await told(core, world, "one", rotations=2, rotations_due=due)
        world.advance(HOUR)
    await told(core, world, "two", rotations=0, rotations_due=0)
    await told(core, world, "old", requests=5)
    assert await core.usage.key_rotation.list_key_states("acme", "") == [
        KeyState("one", 3, began, exact=False, due_since=began + 2 * HOUR * SECOND),
        KeyState("two", 1, world.now(), exact=False, due_since=0),
    ]
    await told(core, world, "one", rotations=3, rotations_due=0)
    [one] = await core.usage.key_rotation.list_key_states("acme", "one")
    assert one == KeyState("one", 4, world.now(), exact=True, due_since=0)
    with pytest.raises(NotFoundError):
        await core.usage.key_rotation.list_key_states("acme", "nobody")


async def test_a_generation_never_goes_back_and_forth(core: Core, world: FakeWorld) -> None:
    """Two of them in turn, each minute of an hour, are one turn; the one below is not heard."""
    await enrolled(core, world, "one")
    for minute in range(60):
        await told(core, world, "one", rotations=4 - minute % 2, rotations_due=minute % 2)
        world.advance(60)
    assert [turn.value for turn in await turns(core, "one")] == ["5"]


async def test_a_vault_that_was_made_anew_is_heard_after_a_day(
    core: Core, world: FakeWorld
) -> None:
    """Its key is the first one again; not to hear it would call it overdue for good."""
    await enrolled(core, world, "one")
    await told(core, world, "one", rotations=4, rotations_due=1)
    world.advance(24 * HOUR - 1)
    await told(core, world, "one", rotations=0, rotations_due=0)
    assert [
        state.generation for state in await core.usage.key_rotation.list_key_states("acme", "one")
    ] == [5]
    world.advance(1)
    await told(core, world, "one", rotations=0, rotations_due=0)
    assert [
        state.generation for state in await core.usage.key_rotation.list_key_states("acme", "one")
    ] == [1]


async def test_an_agent_fills_no_disk_with_its_keys(core: Core, world: FakeWorld) -> None:
    """A change each minute is a few turns an hour, of which the newest is its last word."""
    await enrolled(core, world, "one")
    for minute in range(60):
        await told(core, world, "one", rotations=minute, rotations_due=0)
        world.advance(60)
    found = await turns(core, "one")
    assert len(found) == history.MAX_PER_HOUR[Aspect.KEY]
    assert (found[-1].value, found[-1].before) == ("60", found[-2].at)


async def test_no_time_that_an_agent_says_is_from_before_it_was_linked(
    core: Core, world: FakeWorld
) -> None:
    """Nor from after now: a turn for each hour since 1970 would be half a million."""
    world.advance(400 * 24 * HOUR)
    await enrolled(core, world, "one", "two")
    await told(core, world, "one", at=0, rotations=1, rotations_due=0)
    await told(core, world, "two", at=2**62, rotations=1, rotations_due=0)
    assert [turn.at for turn in await turns(core, "one")] == [world.now() - MAX_SILENCE]
    assert [turn.at for turn in await turns(core, "two")] == [world.now()]
