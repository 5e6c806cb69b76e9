"""A process among the others of its control plane: its place on the database, and what it hears."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio

from actors import World
from control.cluster.event_relay import EventRelay
from control.cluster.pubsub import PubSub
from control.errors import UnavailableError
from control.services.event_bus import EventBus
from control.store import shared_values
from control.store.rows import Tx
from control.store.store import Store

KEYS_NAME: Final = "keys"
CLUSTER_NAME: Final = "cluster"


@asynccontextmanager
async def join_cluster(
    store: Store, bus: EventBus, pubsub: PubSub | None, keys: str, world: World
) -> AsyncIterator[None]:
    """Keep the place and hear the others, for the length of the block; no `wire`: there are none.

    `keys` tells this process' signing keys from others. Raises `UnavailableError` (`keys_differ`)
    where the others have other ones, and (`database_taken`) once the place is lost.
    """
    cluster = await store.write(partial(agree_on_cluster, keys, world.new_id())) if pubsub else ""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.lease.keep)
        if pubsub is not None:
            nursery.start_soon(EventRelay(bus, pubsub, f"freehold:{cluster}", world).run)
        yield
        nursery.cancel_scope.cancel()


def agree_on_cluster(keys: str, fresh: str, tx: Tx) -> str:
    """The name of all processes on this database, whose keys must be these.

    Agents take what is signed by the keys that they were enrolled with, wherever they are linked.
    """
    if shared_values.get_or_set_shared_value(tx, KEYS_NAME, keys) != keys:
        raise UnavailableError(
            "keys_differ",
            "the processes on this database sign with other keys: copy `keys.folder` from them",
        )
    return shared_values.get_or_set_shared_value(tx, CLUSTER_NAME, fresh)
