"""Two control-plane processes on one PostgreSQL and one Redis, and agents that move about."""

import json
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from control.ca.directory import CaDirectory
from protocols.link.errors import TransportError
from tests.acceptance.command import FREEHOLD
from tests.acceptance.control.linked import WORLD, Linked, Talk, heartbeat
from tests.acceptance.control.plane import Plane, initialize
from tests.support.postgres import Postgres, postgres
from tests.support.redis_server import Redis, redis

HEARTBEAT = 1.0
PATIENCE = 60.0
"""Seconds for a link to open; one that is open stays."""
BASE = "organizations/acme"


@dataclass
class Estate:
    """What the processes share, and the two of them."""

    folder: Path
    database: Postgres
    redis: Redis
    url: str
    one: Plane = field(init=False)
    two: Plane = field(init=False)

    def __post_init__(self) -> None:
        """Not started."""
        CaDirectory(self.folder / "ca").create_authority(
            self.folder / "root", "Shared", WORLD.now()
        )
        self.one, self.two = self.plane("one"), self.plane("two")

    @property
    def planes(self) -> tuple[Plane, Plane]:
        """Both."""
        return self.one, self.two

    def plane(self, name: str, **sections: Any) -> Plane:
        """One more process; a section that is None is left out."""
        home = self.folder / name
        home.mkdir()
        settings: dict[str, Any] = {
            "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}},
            "link": {
                "listen": "127.0.0.1:0",
                "hosts": ["127.0.0.1"],
                "authority": str(self.folder / "ca"),
            },
            "database": {"url": self.url, "max_connections": 4},
            "redis": {"url": self.redis.url},
            "keys": {"folder": str(self.folder / "keys")},
            "presence": {"heartbeat": f"{HEARTBEAT}s", "offline_after": "12s"},
            **sections,
        }
        file = home / "control.yaml"
        file.write_text(json.dumps({k: v for k, v in settings.items() if v is not None}))
        return Plane(
            home, [FREEHOLD, "control", "serve", "--config", str(file)], token="", data=home
        )

    def start(self) -> None:
        """Both, with one organization; the second learns the first's session."""
        initialize(self.one.folder / "control.yaml")
        self.one.start()
        self.one.sign_in()
        self.one.organization("acme")
        self.two.start()
        self.two.token = self.one.token

    def stop(self) -> None:
        """Whatever runs."""
        for plane in self.planes:
            plane.stop()

    def leader(self) -> Plane:
        """Who leads now."""
        return next(p for p in self.planes if p.process and gauge(p, "leads"))

    def newcomer(self, vault: str) -> "Mover":
        """An enrolled agent that knows both."""
        made = self.one.want(201, "POST", f"{BASE}/enrolment-tokens", {"vault": vault})
        linked = Linked(self.folder / vault, self.one.link_port, made["pin"])
        linked.enrol(made["secret"])
        return Mover(linked, self)


@contextmanager
def estate(folder: Path) -> Iterator[Estate]:
    """Everything, running, for the length of the block."""
    with postgres() as database, redis() as wire:
        made = Estate(folder, database, wire, database.database())
        try:
            made.start()
            yield made
        finally:
            made.stop()


def gauge(plane: Plane, name: str) -> float:
    """One of its own figures."""
    text = plane.call("GET", "/metrics").body.decode()
    return float(text.partition(f"\ncontrol_{name} ")[2].split()[0])


class Mover:
    """An agent that stays linked to whichever process it finds, with a heartbeat a second."""

    def __init__(self, linked: Linked, around: Estate) -> None:
        self.linked = linked
        self.talk: Talk | None = None
        self.at = 0
        self.links = 0
        self._around = around

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.linked.port = self._around.planes[self.at].link_port
            with trio.move_on_after(PATIENCE) as opening:
                try:
                    await self._once(opening)
                except* (TransportError, OSError):
                    pass
            self.talk = None
            self.at = 1 - self.at
            await trio.sleep(0.1)

    async def _once(self, opening: trio.CancelScope) -> None:
        async with trio.open_nursery() as nursery:
            talk = await self.linked.dial(nursery)
            nursery.start_soon(talk.run)
            nursery.start_soon(_beat, talk)
            nursery.start_soon(_leave, talk, nursery.cancel_scope)
            await talk.opened.wait()
            opening.deadline = math.inf
            self.talk = talk
            self.links += 1
            await trio.sleep_forever()


async def _leave(talk: Talk, scope: trio.CancelScope) -> None:
    """A connection may end before it was opened, too."""
    await talk.ended.wait()
    scope.cancel()


async def _beat(talk: Talk) -> None:
    await talk.opened.wait()
    while not talk.ended.is_set():
        await talk.say(heartbeat())
        await trio.sleep(HEARTBEAT)


@asynccontextmanager
async def roaming(*movers: Mover) -> AsyncIterator[None]:
    """All of them, linked, for the length of the block."""
    async with trio.open_nursery() as nursery:
        for mover in movers:
            nursery.start_soon(mover.run)
        await until(lambda: all(mover.talk for mover in movers))
        yield
        nursery.cancel_scope.cancel()


async def until(holds: Any, seconds: float = 120.0) -> None:
    """Wait for what other processes bring about; `holds` may ask them."""
    with trio.fail_after(seconds):
        while not await trio.to_thread.run_sync(holds):  # noqa: ASYNC110
            await trio.sleep(0.05)
