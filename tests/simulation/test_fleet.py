"""A fleet of the product's own halves, some faults, and everything that must hold."""

import logging
from collections.abc import Iterator

import pytest

from tests.simulation.bare import BareFleet
from tests.simulation.fleet import RealFleet
from tests.simulation.scenario import Plan, away, play


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What the product says of injected faults is no news."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def test_halves_survive_their_faults() -> None:
    """Uplinks, gateway, services and stores: nothing lost, nothing twice, all in agreement."""
    outcome = play(Plan(seed=11, agents=3, hours=0.3), RealFleet)
    assert outcome.failure is None, outcome.failure
    assert outcome.faults >= 10


def test_halves_with_real_signatures() -> None:
    """The stand-in for Ed25519 changes nothing but the time it takes."""
    outcome = play(Plan(seed=13, agents=2, hours=0.1, quick=False), RealFleet)
    assert outcome.failure is None, outcome.failure


def test_the_link_alone() -> None:
    """Sessions and delivery between two durable ends."""
    outcome = play(Plan(seed=11, agents=4, hours=0.5), BareFleet)
    assert outcome.failure is None, outcome.failure


def test_an_agent_that_was_away() -> None:
    """It comes back and catches up, its evidence whole and counted. Hours here; `--away` days."""
    outcome = play(away(Plan(seed=7, agents=1, hours=3.0)), RealFleet)
    assert outcome.failure is None, outcome.failure
    assert outcome.agent_hours > 3
