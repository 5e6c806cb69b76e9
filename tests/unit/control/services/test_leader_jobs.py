"""What one process does for all, and what follows when another one dies."""

import pytest

from actors.testing import FakeWorld
from control.core import Core, LeaderJobs
from control.errors import UnavailableError
from control.services.presence import PresenceTracker
from tests.unit.control.fleet import enrolled


class Place:
    """A lease that a test moves."""

    shared = True

    def __init__(self) -> None:
        self.leads = False
        self.peers = frozenset((1, 2))

    async def keep(self) -> None:
        """Nothing to do."""


class Loads:
    """Stands for what makes everything due."""

    def __init__(self) -> None:
        self.count = 0
        self.away = False

    async def mark_all_due(self) -> None:
        """Count it."""
        if self.away:
            raise UnavailableError("store_unavailable", "away")
        self.count += 1


@pytest.fixture
def place() -> Place:
    """Of a follower."""
    return Place()


@pytest.fixture
def loads() -> Loads:
    """Nothing was due yet."""
    return Loads()


@pytest.fixture
def duty(core: Core, place: Place, loads: Loads) -> LeaderJobs:
    """Of that place."""
    return LeaderJobs(place, core.presence, loads)  # type: ignore[arg-type]


async def test_a_job_is_done_where_somebody_leads(duty: LeaderJobs, place: Place) -> None:
    """Asked each time."""
    done = []

    async def job() -> None:
        done.append(place.leads)

    run = duty.when_leading(job)
    await run()
    place.leads = True
    await run()
    place.leads = False
    await run()
    assert done == [True]


async def test_a_new_leader_looks_at_everything_once(
    duty: LeaderJobs, place: Place, loads: Loads
) -> None:
    """And again when a process died; not when one came, and not as a follower."""
    await duty.check_peers()
    place.peers = frozenset((2,))
    await duty.check_peers()
    assert loads.count == 0
    place.leads = True
    await duty.check_peers()
    await duty.check_peers()
    assert loads.count == 1
    place.peers = frozenset((2, 3))
    await duty.check_peers()
    assert loads.count == 1
    place.peers = frozenset((2,))
    await duty.check_peers()
    assert loads.count == 2


async def test_what_failed_is_due_again(duty: LeaderJobs, place: Place, loads: Loads) -> None:
    """A database that is away while a process dies."""
    place.leads = loads.away = True
    with pytest.raises(UnavailableError):
        await duty.check_peers()
    loads.away = False
    await duty.check_peers()
    assert loads.count == 1


async def test_whom_the_dead_heard_is_excused(
    core: Core, world: FakeWorld, place: Place, loads: Loads
) -> None:
    """Everywhere, for anybody may lead next."""
    await enrolled(core, world, "v1")
    watch = PresenceTracker(core.store, core.bus, core.presence._rule, world, place)
    await watch.load()
    duty = LeaderJobs(place, watch, loads)  # type: ignore[arg-type]
    world.advance(100)
    since = watch._agents["acme", "v1"].silent_since
    place.peers = frozenset((1,))
    await duty.check_peers()
    assert watch._agents["acme", "v1"].silent_since > since
