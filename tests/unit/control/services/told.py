"""Everything that tells people over one store, under a clock that moves only when told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.testing import FakeWorld
from control.crypto import Sealer
from control.model.notices import Channel, ChannelTerms, Delivery, Server, State, Tls, Type
from control.model.records import Alert, Severity
from control.notify.smtp import MailRelay
from control.services.alerts import Alerts
from control.services.channels import ChannelDraft, ChannelStatus
from control.services.event_bus import EventBus
from control.store.store import Store, open_store
from tests.support.notifications import Notifications, notifications

URL = "https://control.example"
SEALER = Sealer(bytes(32))


@dataclass
class Rig:
    """The services, and shorthands for what tests do with them."""

    store: Store
    world: FakeWorld
    alerts: Alerts
    parts: Notifications

    async def channel(self, url: str, name: str = "hook", **terms: Any) -> ChannelStatus:
        """A webhook."""
        draft = ChannelDraft(name, Type.WEBHOOK, enabled=True, terms=ChannelTerms(**terms), url=url)
        return (await self.parts.channels.create_channel("acme", draft, "acme/ann"))[0]

    async def alert(
        self, code: str = "agent_offline", vault: str = "v", severity: Severity = Severity.CRITICAL
    ) -> Alert:
        """One, stored."""
        made = self.alerts.new_alert("acme", vault, code, severity, f"{vault}: {code}")
        await self.alerts.fire_alerts(made)
        return made

    async def turn(self, seconds: float = 0.0) -> None:
        """Let time pass, then the worker take its turn, and everything that it sends arrive."""
        self.world.advance(seconds)
        await self.parts.worker.deliver_due()
        await self.parts.worker.wait_idle()

    async def deliveries(self, state: State | None = None) -> list[Delivery]:
        """The newest first."""
        return await self.parts.deliveries.list_deliveries(
            "acme", channel="", state=state, before=0, limit=100
        )

    async def row(self, held: ChannelStatus) -> Channel:
        """As it is stored now."""
        return (await self.parts.channels.get_channel("acme", held.channel.id)).channel


def bytes_of(folder: Path) -> bytes:
    """All that the database has written there."""
    return b"".join(path.read_bytes() for path in folder.glob("control.db*"))


def parts(store: Store, world: FakeWorld, alerts: Alerts, port: int = 0) -> Notifications:
    """The services of one process; with a mail server of ours on that port."""
    server = Server("127.0.0.1", port, Tls.PLAIN, "", "freehold@a.example")
    return notifications(
        store,
        alerts,
        world,
        sealer=SEALER,
        link_secret=lambda org, id_: SEALER.derive_secret("fhi", "invitation", org, id_),
        relay=MailRelay(server, trusted=True) if port else None,
        url=URL,
    )


@asynccontextmanager
async def rig(url: str, port: int = 0) -> AsyncIterator[Rig]:
    """A process' worth of it, on the database at `url`; `port`: of our mail server."""
    world = FakeWorld()
    async with open_store(url, world) as store:
        alerts = Alerts(store, EventBus(), world)
        made = Rig(store, world, alerts, parts(store, world, alerts, port))
        async with made.parts.worker.running():
            yield made
