"""Several addresses of one control plane."""

from actors.testing import FakeWorld
from vault.control_link.addresses import ControlPlaneAddresses

HOME = "https://home.test"


def test_one_is_the_one() -> None:
    """However often it fails; and no chance is drawn for it."""
    world = FakeWorld()
    before = FakeWorld().jitter()
    addresses = ControlPlaneAddresses((), world)
    addresses.use_next()
    assert addresses.address_for(HOME) == HOME
    assert world.jitter() == before


def test_each_gets_its_turn() -> None:
    """And then the first again; none twice in a round, though it is named twice."""
    addresses = ControlPlaneAddresses(("https://b.test", HOME, "https://c.test"), FakeWorld())
    tried = []
    for _ in range(6):
        tried.append(addresses.address_for(HOME))
        addresses.use_next()
    assert tried[:3] == tried[3:]
    assert set(tried) == {HOME, "https://b.test", "https://c.test"}


def test_a_fleet_begins_everywhere() -> None:
    """Not all of it at the first."""
    begun = {
        ControlPlaneAddresses(
            ("https://b.test", "https://c.test"), FakeWorld(seed=seed)
        ).address_for(HOME)
        for seed in range(30)
    }
    assert len(begun) == 3
