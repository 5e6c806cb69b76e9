"""The network of one run: who listens, the paths to it, and what may be seen on them."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import trio

from protocols.link.errors import PipeError
from protocols.link.limits import CONNECT_SECONDS
from tests.simulation.relay import HostileRelay
from tests.simulation.scheduler import chance_of
from tests.simulation.trace import Trace
from tests.simulation.wire import Conn, Path, SimPipe, Way

Handler = Callable[[SimPipe], Awaitable[None]]

PATIENCE: Final = 5.0
"""Seconds within which a connection must be closed after a frame that is out of its place."""


class Network:
    """`certificate_of` an agent is what its peer sees of it."""

    def __init__(self, seed: int, trace: Trace, certificate_of: Callable[[str], bytes]) -> None:
        self._seed = seed
        self._trace = trace
        self._certificate_of = certificate_of
        self._handler: Handler | None = None
        self._nursery: trio.Nursery | None = None
        self._numbers = 0
        self.paths: dict[str, Path] = {}
        self.relays: dict[str, HostileRelay] = {}
        self.attempts: list[float] = []
        """When somebody asked for a connection and was answered, for the stampede."""
        self.watchers: list[Callable[[str, bytes], None]] = []
        """Called with the way and each frame as it leaves its sender."""

    def path(self, agent: str) -> Path:
        """Between this agent and the control plane."""
        if agent not in self.paths:
            self.paths[agent] = Path(chance_of(self._seed, f"path {agent}"))
            tell = partial(_tell, self._trace, agent)
            self.relays[agent] = HostileRelay(chance_of(self._seed, f"relay {agent}"), tell)
        return self.paths[agent]

    @contextmanager
    def listening(self, nursery: trio.Nursery, handler: Handler) -> Iterator[None]:
        """The control plane accepts connections, each served in `nursery`, for the block."""
        self._nursery, self._handler = nursery, handler
        try:
            yield
        finally:
            self._nursery = self._handler = None

    def deafen(self) -> None:
        """Its machine takes no more connections, whatever the process still believes."""
        self._nursery = self._handler = None

    async def connect(self, agent: str) -> SimPipe:
        """An agent's connection. Raises `PipeError`: `unreachable`, `timeout`."""
        path = self.path(agent)
        await trio.sleep(path.delay() * 3)
        if path.silent:
            await trio.sleep(CONNECT_SECONDS)
            raise PipeError("timeout", "nobody answers")
        if path.cut:
            raise PipeError("unreachable", "no route")
        if self._handler is None or self._nursery is None:
            raise PipeError("unreachable", "nobody listens")
        self._numbers += 1
        self.attempts.append(trio.current_time())
        conn = Conn(self._numbers, path, agent)
        self._trace.write(f"{agent}#{conn.number}", "connects")
        relay = partial(self._carry, self.relays[agent])
        theirs = SimPipe(conn, "control", self._certificate_of(agent), self._trace, relay)
        self._nursery.start_soon(self._handler, theirs)
        return SimPipe(conn, "agent", self._certificate_of("control"), self._trace, relay)

    def cut(self, agent: str) -> None:
        """No route any more; a router says so to both."""
        path = self.path(agent)
        path.cut = True
        for conn in list(path.conns.values()):
            conn.reset()

    def heal(self, agent: str) -> None:
        """All is well between the two."""
        path = self.path(agent)
        path.cut = False
        path.latency = 0.02
        path.hush()
        self.relays[agent].calm()

    def die(self, end: str, agents: list[str], *, mute: bool) -> None:
        """A process at this end of these agents' connections is gone."""
        for agent in agents:
            for conn in list(self.path(agent).conns.values()):
                if mute:
                    conn.vanish(end)
                else:
                    conn.close(end)

    def trusting(self) -> list[Conn]:
        """Connections that go on although a frame was out of its place."""
        now = trio.current_time()
        return [
            conn
            for path in self.paths.values()
            for conn in path.conns.values()
            for way, since in conn.bad_since.items()
            if now - since > PATIENCE and ("control" if way == "up" else "agent") not in conn.closed
        ]

    def _carry(self, relay: HostileRelay, way: Way, frame: bytes) -> None:
        for watcher in self.watchers:
            watcher(way.name, frame)
        relay.carry(way, frame)


def _tell(trace: Trace, agent: str, what: str) -> None:
    trace.write(f"relay {agent}", what)
