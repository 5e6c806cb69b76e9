"""A connection in memory: two ways, each keeps its order, takes its time and may fall silent."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from protocols.link.errors import TransportError
from protocols.link.limits import WRITE_SECONDS
from tests.simulation.clock import Wait, virtual_clock
from tests.simulation.trace import Trace

BUFFERED: Final = 64  # frames of one way, as socket buffers would hold
_NEVER: Final = float("inf")

Relay = Callable[["Way", bytes], None]
"""What carries a frame from its sender into a way: faithfully (`Way.put`), or not."""


@dataclass
class Path:
    """The network between one agent and the control plane; shared by their connections."""

    chance: random.Random
    cut: bool = False
    """Nothing can connect."""
    silent: set[str] = field(default_factory=set)
    """Ways ("up", "down") that swallow everything without a word; what is under way waits."""
    latency: float = 0.02
    conns: "dict[int, Conn]" = field(default_factory=dict)
    """Those that live."""
    alone: float = 0.0
    """Since when its agent is without one."""

    def delay(self) -> float:
        """Seconds for one frame: mostly the latency, sometimes seconds."""
        slow = self.chance.choice((10, 100)) if self.chance.random() < 0.01 else 1
        return self.latency * (0.5 + self.chance.random()) * slow

    def lag(self, seconds: float) -> None:
        """The present connections, and no later ones, are so much slower from now on."""
        for conn in self.conns.values():
            for way in conn.ways.values():
                way.lag = seconds

    def hush(self, *ways: str) -> None:
        """These ways, and no others, are silent from now on."""
        self.silent = set(ways)
        for conn in self.conns.values():
            for way in conn.ways.values():
                way.wake()


class Way:
    """One direction of a connection."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self.queue: deque[tuple[float, bytes, bool]] = deque()  # when, what, whether tampered with
        self.ended = _NEVER
        """When the sender's end of it arrives; frames before it still do."""
        self.reset = False
        self.lag = 0.0
        """Seconds that this connection is slower than others on its path."""
        self.waits: list[Wait] = []
        """Who waits for a frame, or for room."""
        self._time = virtual_clock()
        self._last = 0.0

    def put(self, frame: bytes, bad: bool = False) -> None:
        """A frame leaves; it arrives after those before it."""
        self._last = self._arrival()
        self.queue.append((self._last, frame, bad))
        self.wake()

    def end(self) -> None:
        """The sender has closed."""
        self.ended = min(self.ended, self._arrival())
        self.wake()

    def break_(self) -> None:
        """Nothing more arrives."""
        self.reset = True
        self.queue.clear()
        self.wake()

    def wake(self) -> None:
        """Something is new for the reader or the writer."""
        for wait in self.waits:
            wait.end()

    def due(self) -> float:
        """When there is something to read: a frame, or the end."""
        if self.reset:
            return 0.0
        if self.name in self.path.silent:
            return _NEVER
        return self.queue[0][0] if self.queue else self.ended

    def _arrival(self) -> float:
        return max(self._last, self._time.now + self.path.delay() + self.lag)


class Conn:
    """Both ways, and which of its two ends still lives."""

    def __init__(self, number: int, path: Path, agent: str) -> None:
        self.number = number
        self.path = path
        self.agent = agent
        self.ways = {name: Way(name, path) for name in ("up", "down")}
        self.bad_since: dict[str, float] = {}
        """Way → when a frame that must end the connection was handed out."""
        self.went_on: set[str] = set()
        """Ways of which another frame was asked for after such a one."""
        self.closed: set[str] = set()
        """Ends ("agent", "control") that have closed or died."""
        path.conns[number] = self

    def reset(self) -> None:
        """Both ends learn that it is over."""
        for way in self.ways.values():
            way.break_()
        self.path.conns.pop(self.number, None)

    def close(self, end: str) -> None:
        """One end closes, or its kernel does it for it."""
        self._gone(end)
        out, in_ = _out_in(self, end)
        in_.queue.clear()
        in_.wake()
        out.end()
        if len(self.closed) == len(self.ways):
            self.path.conns.pop(self.number, None)

    def vanish(self, end: str) -> None:
        """One end's machine loses its power: nobody is told."""
        self._gone(end)
        out, in_ = _out_in(self, end)
        in_.queue.clear()
        in_.wake()
        out.wake()

    def lost(self, way: Way) -> bool:
        """Whether nobody reads this way any more; its end, if it said so, is on its way."""
        return ("control" if way.name == "up" else "agent") in self.closed

    def _gone(self, end: str) -> None:
        if end == "agent":
            self.path.alone = trio.current_time()
        self.closed.add(end)


def _out_in(conn: Conn, end: str) -> tuple[Way, Way]:
    up, down = conn.ways["up"], conn.ways["down"]
    return (up, down) if end == "agent" else (down, up)


class SimPipe:
    """One end, a `Pipe`."""

    def __init__(self, conn: Conn, end: str, peer: bytes, trace: Trace, relay: Relay) -> None:
        """`end`: "agent" or "control"."""
        self.conn = conn
        self.end = end
        self.peer_certificate = peer
        self.fault = ""
        self._out, self._in = _out_in(conn, end)
        self._trace = trace
        self._relay = relay
        self._name = f"{conn.agent}#{conn.number}"
        self._time = virtual_clock()

    async def send(self, frame: bytes) -> None:
        """See `Pipe`."""
        await trio.lowlevel.checkpoint()
        end = self._time.now + WRITE_SECONDS
        while len(self._out.queue) >= BUFFERED and not self._over() and self._time.now < end:
            await self._time.until(end, self._out.waits)
        if self._over():
            raise TransportError("closed", "the connection is gone")
        if len(self._out.queue) >= BUFFERED:
            await self.aclose()
            raise TransportError("slow", "the peer does not read")
        self._trace.frame(f"{self._name} {self._out.name}", frame)
        if not self.conn.lost(self._out):
            self._relay(self._out, frame)

    async def receive(self) -> bytes:
        """See `Pipe`."""
        await trio.lowlevel.checkpoint()
        if self._in.name in self.conn.bad_since:
            self.conn.went_on.add(self._in.name)
        while not self._over() and (due := self._in.due()) > self._time.now:
            await self._time.until(due, self._in.waits)
        if self._over() or not self._in.queue:
            raise TransportError("closed", "the connection is gone")
        _, frame, bad = self._in.queue.popleft()
        self._in.wake()
        if bad:
            self.conn.bad_since.setdefault(self._in.name, self._time.now)
        return frame

    async def aclose(self, fault: str = "") -> None:
        """See `Pipe`."""
        self.fault = self.fault or fault
        if self.end not in self.conn.closed:
            self._trace.write(self._name, f"{self.end} closes {fault}")
            self.conn.close(self.end)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def abort(self) -> None:
        """At once."""
        await self.aclose()

    def _over(self) -> bool:
        return self.end in self.conn.closed or self._in.reset
