"""A fleet that is nothing but the link: agents that have something to say, and one who listens."""

import hashlib
import random
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio

from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.backoff import reconnect_delay
from protocols.link.errors import TransportError
from protocols.link.handshake import ChannelBinding
from protocols.link.session import LinkSession
from protocols.link.signing import LinkKey
from protocols.link_transport.memory import MemoryInbox, MemoryOutbox
from tests.simulation.faults import CONTROL, Fault
from tests.simulation.keys import QuickKey, link_key, verifier_of
from tests.simulation.machine import SimWorld
from tests.simulation.network import Network
from tests.simulation.oracle import Stream, broken
from tests.simulation.owner import DurableInbox, DurableOutbox, Owner, Party
from tests.simulation.scheduler import chance_of
from tests.simulation.wire import SimPipe

HEARTBEAT_SECONDS: Final = 60.0
OUTBOX_BYTES: Final = 64 * 1024
SLACK_BYTES: Final = 256 * 1024
"""Evidence is never dropped, so it may be above its bound by what a run writes of it."""


@dataclass
class Kept:
    """What survives of one agent's link: at its own end, and at the control plane's."""

    up_out: MemoryOutbox
    down_in: MemoryInbox
    down_out: MemoryOutbox
    up_in: MemoryInbox
    up: Stream
    down: Stream
    key: LinkKey | QuickKey
    chance: random.Random
    clock_ms: int = field(default=0)


class BareFleet:
    """The two mains of a run, and what must hold of them."""

    def __init__(
        self, seed: int, agents: list[str], network: Network, _: Path, *, quick: bool
    ) -> None:
        """Nothing of it is in a file."""
        chance = chance_of(seed, "fleet")
        self._network = network
        self._control_key = link_key(chance, quick=quick)
        self._live: dict[str, Owner] = {}
        self.agents = {name: _kept(seed, name, chance, quick=quick) for name in agents}

    async def control(self, world: SimWorld) -> None:
        """The control plane."""
        async with trio.open_nursery() as nursery:
            for name in self.agents:
                nursery.start_soon(self._command, world, name)
            with self._network.listening(nursery, partial(self._serve, world)):
                await world.stopping.wait()
            nursery.cancel_scope.cancel()

    async def agent(self, name: str, world: SimWorld) -> None:
        """One agent."""
        self._network.begins(name)
        kept = self.agents[name]
        outbox = DurableOutbox(world, kept.up_out, kept.up)
        inbox = DurableInbox(world, kept.down_in, kept.down)
        party = self._party(name, agent=True, outbox=outbox, inbox=inbox)
        async with trio.open_nursery() as nursery:
            said = _Voice(world, outbox, kept.chance)
            nursery.start_soon(said.alerts)
            nursery.start_soon(said.metrics)
            nursery.start_soon(said.heartbeats)
            nursery.start_soon(self._stay_connected, name, world, party, said)
            await world.stopping.wait()
            nursery.cancel_scope.cancel()

    def seen(self) -> AbstractContextManager[None]:
        """Its stores tell the oracle themselves."""
        return nullcontext()

    def checks(self) -> None:
        """Bounds that hold at any time."""
        for name, kept in self.agents.items():
            size = sum(len(entry.payload) for entry in kept.up_out.entries)
            if size > OUTBOX_BYTES + SLACK_BYTES:
                broken("bounded", f"{name}: {size} bytes in the outbox")
        if trusting := self._network.trusting():
            broken("in place", f"{trusting[0].agent} goes on after a frame out of its place")

    def arrived(self, name: str) -> None:
        """Everything came, in both directions, and nothing waits."""
        kept = self.agents[name]
        kept.up.settled()
        kept.down.settled()
        if kept.up_out.acknowledged < kept.up.last or kept.down_out.acknowledged < kept.down.last:
            broken("acknowledged", f"{name}: applied, but never acknowledged")

    async def settled(self) -> None:
        """There is nothing but its agents."""

    def harm(self, fault: Fault) -> None:
        """It has no audit log."""

    def waiting(self) -> set[str]:
        """See `Fleet`."""
        return {
            name
            for name, kept in self.agents.items()
            if kept.up_out.acknowledged < kept.up_out.newest
            or kept.down_out.acknowledged < kept.down_out.newest
        }

    async def _stay_connected(
        self, name: str, world: SimWorld, party: Party, voice: "_Voice"
    ) -> None:
        attempt, spread = 0, 0
        while True:
            try:
                owner = Owner(world, party, await self._network.connect(name, _shown))
                voice.owner = owner
                await owner.run(LinkSession.agent)
                spread = owner.spread
                attempt = 0 if owner.live else attempt + 1
            except TransportError:
                attempt += 1
            voice.owner = None
            await world.sleep(reconnect_delay(attempt, world.jitter(), spread))

    async def _serve(self, world: SimWorld, pipe: SimPipe) -> None:
        name = pipe.conn.agent
        kept = self.agents[name]
        outbox = DurableOutbox(world, kept.down_out, kept.down)
        inbox = DurableInbox(world, kept.up_in, kept.up)
        owner = Owner(world, self._party(name, agent=False, outbox=outbox, inbox=inbox), pipe)
        self._live[name] = owner
        await owner.run(LinkSession.control)

    async def _command(self, world: SimWorld, name: str) -> None:
        """The control plane has something to ask now and then."""
        kept = self.agents[name]
        outbox = DurableOutbox(world, kept.down_out, kept.down)
        while True:
            await world.sleep(kept.chance.expovariate(1 / 120))
            await outbox.append(_command(kept.chance))
            if (owner := self._live.get(name)) is not None:
                owner.tell()

    def _party(
        self, name: str, *, agent: bool, outbox: DurableOutbox, inbox: DurableInbox
    ) -> Party:
        kept = self.agents[name]
        channel = ChannelBinding(
            org="acme",
            vault=name,
            agent_certificate=hashlib.sha256(name.encode()).digest(),
            control_certificate=hashlib.sha256(CONTROL.encode()).digest(),
        )
        ours, theirs = (kept.key, self._control_key) if agent else (self._control_key, kept.key)
        nonce = partial(kept.chance.randbytes, 16)
        return Party(channel, ours, verifier_of(theirs), outbox, inbox, nonce)


class _Voice:
    """What an agent has to say."""

    def __init__(self, world: SimWorld, outbox: DurableOutbox, chance: random.Random) -> None:
        self._world = world
        self._outbox = outbox
        self._chance = chance
        self.owner: Owner | None = None

    async def alerts(self) -> None:
        """Evidence, about one in two minutes, sometimes many at once."""
        while True:
            await self._world.sleep(self._chance.expovariate(1 / 120))
            for _ in range(self._chance.choice((1, 1, 1, 2, 40))):
                await self._outbox.append(_alert(self._chance, self._world.now()))
            self._tell()

    async def metrics(self) -> None:
        """Each minute."""
        while True:
            await self._world.sleep(60)
            await self._outbox.append(_metrics(self._chance, self._world.now()))
            self._tell()

    async def heartbeats(self) -> None:
        """Each minute, if somebody listens."""
        while True:
            await self._world.sleep(HEARTBEAT_SECONDS)
            if self.owner is not None:
                self.owner.say(_heartbeat(round(self._world.monotonic())))

    def _tell(self) -> None:
        if self.owner is not None:
            self.owner.tell()


def _shown() -> tuple[bytes, bytes]:
    """Certificates are not looked at here."""
    return b"an agent's", b"a control plane's"


def _kept(seed: int, name: str, chance: random.Random, *, quick: bool) -> Kept:
    return Kept(
        up_out=MemoryOutbox(chance.randbytes(16), bound=OUTBOX_BYTES),
        down_in=MemoryInbox(),
        down_out=MemoryOutbox(chance.randbytes(16)),
        up_in=MemoryInbox(),
        up=Stream(f"{name} up"),
        down=Stream(f"{name} down"),
        key=link_key(chance, quick=quick),
        chance=chance_of(seed, f"life of {name}"),
    )


def _alert(chance: random.Random, now: int) -> m.Alert:
    return m.Alert(
        alert_id=chance.randbytes(16),
        code=words.AlertCode.LOCKOUT,
        severity=words.Severity.WARNING,
        raised_at=now // 1_000_000,
        subject=bytes(16),
        count=1,
    )


def _metrics(chance: random.Random, now: int) -> m.Metrics:
    until = now // 1_000_000
    return m.Metrics(
        since=until - 60_000,
        until=until,
        counters=tuple(
            m.CounterValue(name=name, value=chance.randrange(10**6)) for name in words.CounterName
        ),
        gauges=(),
        histograms=(),
    )


def _heartbeat(uptime: int) -> m.Heartbeat:
    return m.Heartbeat(
        health=words.Health.SERVING,
        uptime=uptime,
        policy_version=0,
        audit_size=0,
        secrets=0,
        outbox_messages=0,
        outbox_bytes=0,
    )


def _command(chance: random.Random) -> m.Command:
    return m.Command(
        command_id=chance.randbytes(16), command=words.CommandName.SEND_METRICS, expires_at=2**60
    )
