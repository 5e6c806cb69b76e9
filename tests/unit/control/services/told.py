"""Everything that tells people over one store, under a clock that moves only when told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.testing import FakeWorld
from control.crypto import Sealer
from control.model.notices import Channel, Delivery, Server, State, Terms, Tls, Type
from control.model.records import Alert, Severity
from control.notify.reach import Reach
from control.notify.sender import Post
from control.notify.smtp import Relay
from control.services.alerts import Alerts
from control.services.channels import Draft, Held
from control.services.events import Bus
from control.services.telling import Means, Telling, telling
from control.store.store import Store, open_store

URL = "https://control.example"
SEALER = Sealer(bytes(32))


@dataclass
class Rig:
    """The services, and shorthands for what tests do with them."""

    store: Store
    world: FakeWorld
    alerts: Alerts
    parts: Telling

    async def channel(self, url: str, name: str = "hook", **terms: Any) -> Held:
        """A webhook."""
        draft = Draft(name, Type.WEBHOOK, enabled=True, terms=Terms(**terms), url=url)
        return (await self.parts.channels.create("acme", draft, "acme/ann"))[0]

    async def alert(
        self, code: str = "agent_offline", vault: str = "v", severity: Severity = Severity.CRITICAL
    ) -> Alert:
        """One, stored."""
        made = self.alerts.make("acme", vault, code, severity, f"{vault}: {code}")
        await self.alerts.fire(made)
        return made

    async def turn(self, seconds: float = 0.0) -> None:
        """Let time pass, then the worker take its turn, and everything that it sends arrive."""
        self.world.advance(seconds)
        await self.parts.postman.tick()
        await self.parts.postman.settled()

    async def deliveries(self, state: State | None = None) -> list[Delivery]:
        """The newest first."""
        return await self.parts.deliveries.page(
            "acme", channel="", state=state, before=0, limit=100
        )

    async def row(self, held: Held) -> Channel:
        """As it is stored now."""
        return (await self.parts.channels.get("acme", held.channel.id)).channel


def bytes_of(folder: Path) -> bytes:
    """All that the database has written there."""
    return b"".join(path.read_bytes() for path in folder.glob("control.db*"))


def means(port: int = 0) -> Means:
    """May reach this machine; with a mail server of ours on that port."""
    server = Server("127.0.0.1", port, Tls.PLAIN, "", "freehold@a.example")
    post = Post(Relay(server, trusted=True) if port else None)
    return Means(post, Reach(development=True), URL)


def parts(store: Store, world: FakeWorld, alerts: Alerts, port: int = 0) -> Telling:
    """The services of one process."""
    secret = lambda org, identifier: SEALER.derive("fhi", "invitation", org, identifier)  # noqa: E731
    return telling(
        store, sealer=SEALER, means=means(port), secret=secret, alerts=alerts, world=world
    )


@asynccontextmanager
async def rig(url: str, port: int = 0) -> AsyncIterator[Rig]:
    """A process' worth of it, on the database at `url`; `port`: of our mail server."""
    world = FakeWorld()
    async with open_store(url, world) as store:
        alerts = Alerts(store, Bus(), world)
        made = Rig(store, world, alerts, parts(store, world, alerts, port))
        async with made.parts.postman.working():
            yield made
