"""What one process does for all, and what follows when another one dies."""

import pytest

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.errors import UnavailableError
from control.services.duty import Duty
from control.services.presence import Watch
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

    async def load(self) -> None:
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
def duty(plane: Plane, place: Place, loads: Loads) -> Duty:
    """Of that place."""
    return Duty(place, plane.watch, loads)  # type: ignore[arg-type]


async def test_a_job_is_done_where_somebody_leads(duty: Duty, place: Place) -> None:
    """Asked each time."""
    done = []

    async def job() -> None:
        done.append(place.leads)

    run = duty.led(job)
    await run()
    place.leads = True
    await run()
    place.leads = False
    await run()
    assert done == [True]


async def test_a_new_leader_looks_at_everything_once(
    duty: Duty, place: Place, loads: Loads
) -> None:
    """And again when a process died; not when one came, and not as a follower."""
    await duty.tick()
    place.peers = frozenset((2,))
    await duty.tick()
    assert loads.count == 0
    place.leads = True
    await duty.tick()
    await duty.tick()
    assert loads.count == 1
    place.peers = frozenset((2, 3))
    await duty.tick()
    assert loads.count == 1
    place.peers = frozenset((2,))
    await duty.tick()
    assert loads.count == 2


async def test_what_failed_is_due_again(duty: Duty, place: Place, loads: Loads) -> None:
    """A database that is away while a process dies."""
    place.leads = loads.away = True
    with pytest.raises(UnavailableError):
        await duty.tick()
    loads.away = False
    await duty.tick()
    assert loads.count == 1


async def test_whom_the_dead_heard_is_excused(
    plane: Plane, world: FakeWorld, place: Place, loads: Loads
) -> None:
    """Everywhere, for anybody may lead next."""
    await enrolled(plane, world, "v1")
    watch = Watch(plane.store, plane.bus, plane.watch._rule, world, place)
    await watch.load()
    duty = Duty(place, watch, loads)  # type: ignore[arg-type]
    world.advance(100)
    since = watch._pulses["acme", "v1"].since
    place.peers = frozenset((1,))
    await duty.tick()
    assert watch._pulses["acme", "v1"].since > since
