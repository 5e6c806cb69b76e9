"""A door that is served on a port of its own."""

from functools import partial

import pytest
import trio

from actors.world import SystemWorld
from protocols.http import Limits, serve
from tests.unit.vault.live.serving import FakeGate, Site
from vault.edge.browser_sessions import BrowserSessions
from vault.edge.native.browser_dialect import BrowserNativeDialect
from vault.live.browser import Place
from vault.live.door import LiveDoor
from vault.live.hub import Hub


class QuickWorld(SystemWorld):
    """The real world, in which waits are a hundredth as long."""

    async def sleep(self, seconds: float) -> None:
        """A hundredth."""
        await trio.sleep(seconds / 100)


@pytest.fixture
def hub() -> Hub:
    """Not run yet."""
    return Hub(QuickWorld())


@pytest.fixture
async def site(nursery: trio.Nursery, hub: Hub) -> Site:
    """Served, with one guest."""
    gate, world = FakeGate(), QuickWorld()
    await nursery.start(hub.run)
    place = Place(gate, hub, world)  # type: ignore[arg-type]  # the fake has what it asks
    browsers = BrowserSessions(tls=False)
    door = LiveDoor(place, browsers, BrowserNativeDialect(gate, world, browsers))  # type: ignore[arg-type]
    run = partial(serve, door, host="127.0.0.1", port=0, tls=None, limits=Limits(), websockets=True)
    handle = await nursery.start(run)
    return Site(gate, handle.port)
