"""The wire between leader and workers: msgpack frames over socket pairs, four lanes a worker.

- control: keys and life (leader → worker), readiness, counts, alerts and spans (worker → leader);
- audit: what a worker cannot put on record itself: a frame of drafts, a frame of what became of
  them, in turn;
- relay: requests about the agent itself, which the leader answers, many at a time;
- live: websockets, which the leader serves (`vault.workers.sockets`).

A lane each, so that none waits behind a large body. Both ends are processes of one program.
"""

import logging
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec
import trio
from msgspec import Struct

from protocols.errors import locate
from protocols.link.vocabulary import AlertCode
from vault.authz.policy import Policy
from vault.errors import UnavailableError
from vault.store.row_cache import CacheStats

LENGTH: Final = 4  # bytes of a frame's length
MOST: Final = 1 << 26  # bytes of a frame; 256 records of the largest size are half of that
MOST_RELAYED: Final = 1024  # requests at the leader at a time, for each worker; the others wait
MOST_URGENT: Final = 32
"""The same of what operators need, which waits behind no other request (`vault.edge.asgi`)."""
DEADLINE: Final = 75.0  # seconds until an answer; above every deadline of the leader's own
LOOK_EVERY: Final = 1.0  # seconds between two looks for who has waited so long
_CHUNK: Final = 1 << 16

log: Final = logging.getLogger("freehold.workers")

M = TypeVar("M")


class Open(Struct, frozen=True, kw_only=True, tag="open"):
    """Leader: the vault is open; here is what opens the keyring. Answered with `Opened`."""

    opening: int
    root_key: bytes
    org: str
    vault: str
    node: str  # see `vault.seal.nodes`
    ceiling: Policy
    epoch: int  # a keyring below it was put back, and does not count
    floor: int  # Unix ns, below which its clock does not answer: the leader's `SlewedClock.least`

    def __repr__(self) -> str:
        return f"Open(opening={self.opening})"


class Seal(Struct, frozen=True, tag="seal"):
    """Leader: drop the keys of this opening. Answered with `Sealed`."""

    opening: int


class Reload(Struct, frozen=True, tag="reload"):
    """Leader: read the certificates again."""


class SetClock(Struct, frozen=True, tag="set_clock"):
    """Leader: an operator has confirmed the machine's clock."""

    floor: int  # as in `Open`


class Drain(Struct, frozen=True, tag="drain"):
    """Leader: accept no more, let answers end for so many seconds, and exit."""

    grace: float


class Serving(Struct, frozen=True, tag="serving"):
    """Worker: it accepts connections."""


class Opened(Struct, frozen=True, tag="opened"):
    """Worker: it serves by itself; `error` says why it never will, and is empty when it does.

    While the database is away a worker tries again and says nothing.
    """

    opening: int
    error: str = ""


class PathClosed(Struct, frozen=True, tag="path_closed"):
    """Worker: the data path is down, and Python collects what is left of it; `Sealed` follows."""

    opening: int


class Sealed(Struct, frozen=True, tag="sealed"):
    """Worker: the keys are gone: nothing refers to them (decision 8 says what may remain)."""

    opening: int


class Counts(Struct, frozen=True, tag="counts"):
    """Worker: what it has counted since the last time."""

    reads: dict[str, int]  # of values, by secret, as they were flushed
    uses: dict[str, int]  # by credential, the same
    operations: list[tuple[str, str, int]]
    requests: list[tuple[str, str, list[int], float]]
    refused: dict[str, int]
    connections: int  # open now
    shed: int  # turned away since the worker began
    cache: CacheStats | None  # while the vault is open
    store_failing: bool  # its last transaction could not be stored


class Alert(Struct, frozen=True, tag="alert"):
    """Worker: for the control plane."""

    code: AlertCode
    count: int


class Damage(Struct, frozen=True, tag="damage"):
    """Worker: a row that it has met is not ours, or the change feed is not."""

    code: str
    message: str


class Spans(Struct, frozen=True, tag="spans"):
    """Worker: what it traced, as `protocols.telemetry.tracing` hands it over."""

    body: bytes
    count: int
    dropped: int


Order: TypeAlias = Open | Seal | Reload | SetClock | Drain
Report: TypeAlias = Serving | Opened | PathClosed | Sealed | Counts | Alert | Damage | Spans


class Spawn(Struct, frozen=True):
    """What a worker is told at its birth, beside its descriptors (`LANES`, page, listener)."""

    number: int


class Drafted(Struct, frozen=True, array_like=True):
    """A record but for its place in the log. `begins`: not to be taken from a disk's reserve."""

    time: int
    body: bytes
    begins: bool


class Recorded(Struct, frozen=True, array_like=True):
    """What became of a frame of drafts. `error` is of all but the `refused`, by their places."""

    error: str = ""
    refused: tuple[int, ...] = ()


class Relayed(Struct, frozen=True, array_like=True, tag="relayed"):
    """A request as ASGI has it."""

    id: int
    method: str
    raw_path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    client: tuple[str, int] | None
    certificate: bytes | None  # of the client, DER
    body: bytes | None  # None: it ended before it was whole

    def __repr__(self) -> str:
        return f"Relayed(id={self.id}, method={self.method!r})"


class Answered(Struct, frozen=True, array_like=True, tag="answered"):
    """The answer to the request with this id."""

    id: int
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    reserved: bool = False  # the leader holds memory for it until the worker says `Taken`

    def __repr__(self) -> str:
        return f"Answered(id={self.id}, status={self.status})"


class Taken(Struct, frozen=True, array_like=True, tag="taken"):
    """Worker: the answer with this id is on its own account now, or gone."""

    id: int


ToLeader: TypeAlias = Relayed | Taken


def overloaded() -> UnavailableError:
    """The error for what the leader has no room for."""
    text = "too many requests wait for the agent's first process; wait and try again"
    return UnavailableError("overloaded", text)


def no_answer() -> UnavailableError:
    """The error for who has waited that long."""
    text = "the agent does not answer in time; look before you repeat it"
    return UnavailableError("no_answer", text, outcome="unknown")


class LaneClosed(Exception):  # noqa: N818  # what happened, and not always a fault
    """The other process has gone."""


class OversizedError(ValueError):
    """A message whose frame would be over `MOST`; nothing of it was sent."""


class Lane(Generic[M]):
    """One end of one lane. `M` is what comes in."""

    def __init__(self, stream: trio.SocketStream, shape: type[M]) -> None:
        self._stream = stream
        self._decode = msgspec.msgpack.Decoder(shape).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._buffer = bytearray()
        self._waiting: list[bytes] = []
        self._wake = trio.Event()
        self._sent = trio.Event()

    async def send(self, message: object) -> None:
        """Send now; for a lane with one sender. Raises `LaneClosed` and `OversizedError`."""
        await self._send_all(framed(self._encode(message)))

    def post(self, message: object) -> None:
        """Send soon, in order, with what others post; by `run`. Raises `OversizedError`."""
        self._waiting.append(framed(self._encode(message)))
        self._wake.set()

    async def run(self) -> None:
        """Send what is posted, until cancelled. Raises `LaneClosed`."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            waiting, self._waiting = self._waiting, []
            await self._send_all(b"".join(waiting))
            waiting.clear()  # values in the clear may be among them
            if not self._waiting:
                self._sent.set()

    async def flush(self) -> None:
        """Return when all that was posted is sent; while `run` runs."""
        if self._waiting:
            self._sent = trio.Event()
            await self._sent.wait()

    async def receive(self) -> M:
        """The next message. Raises `LaneClosed`, and `ValueError` for what is none.

        That one is gone then: the frame behind it can be received.
        """
        buffer = self._buffer
        while len(buffer) < LENGTH:
            await self._fill()
        end = LENGTH + int.from_bytes(buffer[:LENGTH])
        if end > MOST:
            await self._pass_over(end)
            raise ValueError("a frame is over its bound")
        while len(buffer) < end:
            await self._fill()
        message = memoryview(buffer)[LENGTH:end].tobytes()
        del buffer[:end]
        return self._decode(message)

    async def next_message(self) -> M:
        """The next one that can be read; of others the log has a line. Raises `LaneClosed`."""
        while True:
            try:
                return await self.receive()
            except ValueError as error:
                log.error("a frame between processes is passed over: %s", locate(error))  # noqa: TRY400  # its text could hold a secret

    async def aclose(self) -> None:
        """Close this end."""
        await self._stream.aclose()

    async def _pass_over(self, length: int) -> None:
        buffer = self._buffer
        while length > len(buffer):
            length -= len(buffer)
            buffer.clear()
            await self._fill()
        del buffer[:length]

    async def _fill(self) -> None:
        try:
            data = await self._stream.receive_some(_CHUNK)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        if not data:
            raise LaneClosed
        self._buffer += data

    async def _send_all(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise LaneClosed from None


def framed(data: bytes) -> bytes:
    """A frame of an encoded message. Raises `OversizedError`."""
    if LENGTH + len(data) > MOST:
        raise OversizedError("a frame would be over its bound")
    return len(data).to_bytes(LENGTH) + data
