"""A process among others: one name, the same keys, and an end when its place is lost."""

import pytest
import trio

from actors.testing import FakeWorld
from control.cluster.membership import agree_on_cluster, join_cluster
from control.cluster.memory import MemoryPubSub
from control.core import Core
from control.errors import UnavailableError
from control.store.lease import ExclusiveLease


async def test_all_of_one_database_have_one_channel(core: Core, world: FakeWorld) -> None:
    """And whoever has other keys is none of them."""
    agreed = [
        await core.store.write(lambda tx, fresh=fresh: agree_on_cluster("keys", fresh, tx))
        for fresh in ("first", "second")
    ]
    assert agreed == ["first", "first"]
    with pytest.raises(UnavailableError, match="keys_differ"):
        async with join_cluster(core.store, core.bus, MemoryPubSub(), "others", world):
            pytest.fail("it was let in")


async def test_one_that_is_alone_hears_nobody_and_agrees_with_nobody(
    core: Core, world: FakeWorld
) -> None:
    """Nothing is written."""
    async with join_cluster(core.store, core.bus, None, "keys", world):
        assert core.bus.is_connected()
    assert await core.store.write(lambda tx: agree_on_cluster("others", "x", tx)) == "x"


async def test_others_are_heard(core: Core, world: FakeWorld) -> None:
    """Once the line is open."""
    async with join_cluster(core.store, core.bus, MemoryPubSub(), "keys", world):
        with trio.fail_after(10):
            while not core.bus.is_connected():  # noqa: ASYNC110
                await trio.sleep(0.01)


class Lost(ExclusiveLease):
    """Somebody else has it."""

    async def keep(self) -> None:
        """At once."""
        raise UnavailableError("database_taken", "another process serves this database")


async def test_a_lost_place_ends_the_process(core: Core, world: FakeWorld) -> None:
    """With the error that says so."""
    core.store.lease = Lost()
    with pytest.RaisesGroup(UnavailableError):
        async with join_cluster(core.store, core.bus, None, "keys", world):
            await trio.sleep_forever()
