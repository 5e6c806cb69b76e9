"""A door that is served on a port of its own."""

from functools import partial

import pytest
import trio

from actors.world import SystemWorld
from protocols.http import Limits, serve
from tests.unit.vault.edge.live.serving import FakeGate, Site
from vault.edge.browser_sessions import BrowserSessions
from vault.edge.live.connection import LiveContext
from vault.edge.live.endpoint import LiveEndpoint
from vault.edge.live.hub import TopicHub
from vault.edge.native.browser_dialect import BrowserNativeDialect


class QuickWorld(SystemWorld):
    """The real world, in which waits are a hundredth as long."""

    async def sleep(self, seconds: float) -> None:
        """A hundredth."""
        await trio.sleep(seconds / 100)


@pytest.fixture
def hub() -> TopicHub:
    """Not run yet."""
    return TopicHub(QuickWorld())


@pytest.fixture
async def site(nursery: trio.Nursery, hub: TopicHub) -> Site:
    """Served, with one guest."""
    gate, world = FakeGate(), QuickWorld()
    await nursery.start(hub.run)
    place = LiveContext(gate, hub, world)  # type: ignore[arg-type]  # the fake has what it asks
    browsers = BrowserSessions(tls=False)
    door = LiveEndpoint(place, browsers, BrowserNativeDialect(gate, world, browsers))  # type: ignore[arg-type]
    run = partial(serve, door, host="127.0.0.1", port=0, tls=None, limits=Limits(), websockets=True)
    handle = await nursery.start(run)
    return Site(gate, handle.port)
