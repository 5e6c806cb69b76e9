"""Reading the whole database through while the vault serves: an opening looks at what decides.

What is found damaged is no longer served from: the vault is sealed until somebody has looked.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

from actors import World
from vault.errors import TamperedError, UnavailableError
from vault.store.store import Store

log: Final = logging.getLogger("freehold.store")
PERIOD: Final = 86_400.0  # seconds from one reading to the next
_DAMAGED: Final = "store_corrupt"


@asynccontextmanager
async def inspecting_database(
    store: Store, on_damage: Callable[[], None], world: World
) -> AsyncIterator[None]:
    """Read it now and once a day, for the length of the block; `on_damage` is called once.

    A database that does not answer is no damage: whoever needs it is told.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_inspect, store, on_damage, world)
        yield
        nursery.cancel_scope.cancel()


async def _inspect(store: Store, on_damage: Callable[[], None], world: World) -> None:
    while True:
        try:
            await store.check()
        except (TamperedError, UnavailableError) as error:
            if isinstance(error, TamperedError) or error.code == _DAMAGED:
                log.error("the vault is sealed: %s", error)  # noqa: TRY400  # one line tells all
                on_damage()
                return
            log.warning("the database could not be read through: %s", error)
        await world.sleep(PERIOD)
