"""A process among others: one name, the same keys, and an end when its place is lost."""

import pytest
import trio

from actors.testing import FakeWorld
from control.api.control_plane import ControlPlane
from control.cluster.membership import agree_on_cluster, join_cluster
from control.cluster.memory import MemoryPubSub
from control.errors import UnavailableError
from control.store.lease import ExclusiveLease


async def test_all_of_one_database_have_one_channel(plane: ControlPlane, world: FakeWorld) -> None:
    """And whoever has other keys is none of them."""
    agreed = [
        await plane.store.write(lambda tx, fresh=fresh: agree_on_cluster("keys", fresh, tx))
        for fresh in ("first", "second")
    ]
    assert agreed == ["first", "first"]
    with pytest.raises(UnavailableError, match="keys_differ"):
        async with join_cluster(plane.store, plane.bus, MemoryPubSub(), "others", world):
            pytest.fail("it was let in")


async def test_one_that_is_alone_hears_nobody_and_agrees_with_nobody(
    plane: ControlPlane, world: FakeWorld
) -> None:
    """Nothing is written."""
    async with join_cluster(plane.store, plane.bus, None, "keys", world):
        assert plane.bus.is_connected()
    assert await plane.store.write(lambda tx: agree_on_cluster("others", "x", tx)) == "x"


async def test_others_are_heard(plane: ControlPlane, world: FakeWorld) -> None:
    """Once the line is open."""
    async with join_cluster(plane.store, plane.bus, MemoryPubSub(), "keys", world):
        with trio.fail_after(10):
            while not plane.bus.is_connected():  # noqa: ASYNC110
                await trio.sleep(0.01)


class Lost(ExclusiveLease):
    """Somebody else has it."""

    async def keep(self) -> None:
        """At once."""
        raise UnavailableError("database_taken", "another process serves this database")


async def test_a_lost_place_ends_the_process(plane: ControlPlane, world: FakeWorld) -> None:
    """With the error that says so."""
    plane.store.lease = Lost()
    with pytest.RaisesGroup(UnavailableError):
        async with join_cluster(plane.store, plane.bus, None, "keys", world):
            await trio.sleep_forever()
