"""The network of one run: who listens, the paths to it, and what may be seen on them."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeVar

import trio

from protocols.link.errors import TransportError
from protocols.link.limits import CONNECT_SECONDS
from tests.simulation.clock import Wait, virtual_clock
from tests.simulation.oracle import Arrival
from tests.simulation.relay import HostileRelay
from tests.simulation.scheduler import chance_of
from tests.simulation.trace import Trace
from tests.simulation.wire import Conn, Path, SimPipe, Way

T = TypeVar("T")

Handler = Callable[[SimPipe], Awaitable[None]]
Handshake = Callable[[], tuple[bytes, bytes]]
"""The certificates of both ends. Raises `TransportError` when either end refuses the other's."""

PATIENCE: Final = 90.0
"""Seconds within which a connection must be closed after a frame that is out of its place: nothing
more is read from it, but what its end has begun on the slowest disk (40 s a call) ends first."""


ANSWER_SECONDS: Final = 20.0
"""What an agent waits for the answer to a request, as `vault.control_link.enrol_client`."""


class Network:
    """Who listens, and the paths there."""

    def __init__(self, seed: int, trace: Trace) -> None:
        self._seed = seed
        self._trace = trace
        self._handler: Handler | None = None
        self._nursery: trio.Nursery | None = None
        self._numbers = 0
        self.paths: dict[str, Path] = {}
        self.relays: dict[str, HostileRelay] = {}
        self.arrivals: list[Arrival] = []
        """Who asked for a connection and was answered, for the stampede."""
        self.watchers: list[Callable[[str, str, bytes], None]] = []
        """Called with the agent, the way and each frame as it leaves its sender."""

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

    async def connect(self, agent: str, handshake: Handshake) -> SimPipe:
        """An agent's connection. Raises `TransportError`: `unreachable`, `timeout`, `tls`."""
        path = self.path(agent)
        nursery, handler = await self._reach(path)
        shown, seen = handshake()
        self._numbers += 1
        now = trio.current_time()
        self.arrivals.append(Arrival(now, now - path.alone))
        conn = Conn(self._numbers, path, agent)
        self._trace.write(f"{agent}#{conn.number}", "connects")
        relay = partial(self._carry, agent)
        theirs = SimPipe(conn, "control", shown, self._trace, relay)
        nursery.start_soon(handler, theirs)
        return SimPipe(conn, "agent", seen, self._trace, relay)

    async def ask(
        self, agent: str, what: str, handshake: Callable[[], None], work: Callable[[], Awaitable[T]]
    ) -> T:
        """A request of an agent's on a connection of its own, answered by `work` over there.

        Raises `TransportError`: then nobody knows whether it was heard.
        """
        path, clock, answers, waits = self.path(agent), virtual_clock(), list[T](), list[Wait]()
        nursery, _ = await self._reach(path)
        handshake()
        self._trace.write(agent, f"asks for {what}")

        async def answer() -> None:
            answers.append(await work())
            for wait in waits:
                wait.end()

        nursery.start_soon(answer)
        end = clock.now + ANSWER_SECONDS
        while not answers and clock.now < end:
            await clock.until(end, waits)
        await clock.sleep(min(path.delay(), ANSWER_SECONDS))
        if not answers or path.cut or path.silent:
            await clock.sleep(max(0.0, end - clock.now))
            raise TransportError("timeout", "no answer")
        self._trace.write(agent, f"is answered for {what}")
        return answers[0]

    async def _reach(self, path: Path) -> tuple[trio.Nursery, Handler]:
        """Where the control plane listens."""
        delay = path.delay() * 3
        await trio.sleep(min(delay, CONNECT_SECONDS))
        if path.silent or delay > CONNECT_SECONDS:
            await trio.sleep(max(0.0, CONNECT_SECONDS - delay))
            raise TransportError("timeout", "nobody answers")
        if path.cut:
            raise TransportError("unreachable", "no route")
        if self._handler is None or self._nursery is None:
            raise TransportError("unreachable", "nobody listens")
        return self._nursery, self._handler

    def begins(self, agent: str) -> None:
        """It tries from now on to be linked: it has started, or was let in."""
        self.path(agent).alone = trio.current_time()

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
            if ("control" if way == "up" else "agent") not in conn.closed
            and (way in conn.went_on or now - since > PATIENCE)
        ]

    def _carry(self, agent: str, way: Way, frame: bytes) -> None:
        for watcher in self.watchers:
            watcher(agent, way.name, frame)
        self.relays[agent].carry(way, frame)


def _tell(trace: Trace, agent: str, what: str) -> None:
    trace.write(f"relay {agent}", what)
