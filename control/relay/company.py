"""A process among the others of its control plane: its place on the database, and what it hears."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio

from actors import World
from control.errors import UnavailableError
from control.relay.relay import Relay
from control.relay.wire import Wire
from control.services.events import Bus
from control.store import marks
from control.store.rows import Tx
from control.store.store import Store

KEYS: Final = "keys"
CLUSTER: Final = "cluster"


@asynccontextmanager
async def company(
    store: Store, bus: Bus, wire: Wire | None, keys: str, world: World
) -> AsyncIterator[None]:
    """Keep the place and hear the others, for the length of the block; no `wire`: there are none.

    `keys` tells this process' signing keys from others. Raises `UnavailableError` (`keys_differ`)
    where the others have other ones, and (`database_taken`) once the place is lost.
    """
    cluster = await store.write(partial(agree, keys, world.new_id())) if wire else ""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.lease.keep)
        if wire is not None:
            nursery.start_soon(Relay(bus, wire, f"freehold:{cluster}", world).run)
        yield
        nursery.cancel_scope.cancel()


def agree(keys: str, fresh: str, tx: Tx) -> str:
    """The name of all processes on this database, whose keys must be these.

    Agents take what is signed by the keys that they were enrolled with, wherever they are linked.
    """
    if marks.settle(tx, KEYS, keys) != keys:
        raise UnavailableError(
            "keys_differ",
            "the processes on this database sign with other keys: copy `keys.folder` from them",
        )
    return marks.settle(tx, CLUSTER, fresh)
