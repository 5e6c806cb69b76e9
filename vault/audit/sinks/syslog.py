"""Forwarding to syslog (RFC 5424), as well as it goes: never required, never waited for.

A record that cannot be sent is dropped and counted; it is in the log, whose numbers show the gap.
"""

from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Literal

import trio
from msgspec import Struct

from actors import World
from vault.audit.batch import Batch
from vault.audit.record import AuditRecord, decode_record

QUEUE_BATCHES: Final = 1024  # batches; the oldest gives way
SEND_TIMEOUT: Final = 5.0  # seconds for a connection, and for sending one batch
RETRY_DELAY: Final = 1.0  # seconds until a receiver that failed is tried again
MAX_DATAGRAM: Final = 60_000  # bytes; below UDP's limit of 65,507 whatever the headers

_LOG_AUDIT: Final = 13  # facility "log audit" (RFC 5424, table 1)
_NOTICE, _INFORMATIONAL = 5, 6  # severities (table 2)
_FRACTION: Final = 6  # digits of a second that a timestamp may have (6.2.3)
_APP: Final = "freehold"


class SyslogConfig(Struct, frozen=True, kw_only=True):
    """Where to. `host` is a path for "unix" (a datagram socket such as `/dev/log`)."""

    transport: Literal["udp", "tcp", "unix"] = "unix"
    host: str = "/dev/log"
    port: int = 514
    hostname: str = "-"  # as the messages name us


class SyslogStats(Struct, frozen=True):
    """Records since the start: sent, and dropped because the receiver or the queue did not take."""

    sent: int
    dropped: int
    error: str  # of the last attempt; empty when it went well
    failing_since: float | None = None  # on the monotonic clock


def format_message(entry: AuditRecord, line: bytes, hostname: str) -> bytes:
    """The syslog message of a record: its line, behind the header of RFC 5424, section 6."""
    body = entry.body if isinstance(entry.body, dict) else {}
    severity = _NOTICE if body.get("result", "ok") != "ok" else _INFORMATIONAL
    whole, dot, fraction = entry.time.removesuffix("Z").partition(".")
    time = f"{whole}{dot}{fraction[:_FRACTION]}Z"
    header = f"<{_LOG_AUDIT * 8 + severity}>1 {time} {hostname} {_APP} - {entry.kind} - "
    return header.encode() + line


class SyslogForwarder:
    """A follower of the log. Made by `open_syslog`."""

    def __init__(self, config: SyslogConfig, world: World) -> None:
        self._config = config
        self._world = world
        self._queue: deque[Batch] = deque()
        self._offered = trio.Event()
        self._transport: SyslogTransport | None = None
        self._sent = self._dropped = 0
        self._error = ""
        self._failing_since: float | None = None

    def on_open(self, size: int) -> None:
        """What was logged before is not sent again."""

    def on_batch(self, batch: Batch) -> None:
        """Queue a batch; when the queue is full the oldest one in it is dropped."""
        if len(self._queue) >= QUEUE_BATCHES:
            oldest = self._queue.popleft()
            self._dropped += oldest.size - oldest.first
        self._queue.append(batch)
        self._offered.set()

    def wants_lines(self) -> bool:
        """It sends them."""
        return True

    def statistics(self) -> SyslogStats:
        """A frozen count."""
        return SyslogStats(self._sent, self._dropped, self._error, self._failing_since)

    async def run(self) -> None:
        """Send what is offered until cancelled."""
        try:
            while True:
                await self._offered.wait()
                self._offered = trio.Event()
                while self._queue:
                    await self._send(self._queue.popleft().lines())
        finally:
            await self._disconnect()

    async def _send(self, lines: list[bytes]) -> None:
        """Send one batch; after a fault the rest of it is dropped, and nothing sent for a while."""
        done = 0
        try:
            with trio.fail_after(SEND_TIMEOUT):
                self._transport = self._transport or await connect_syslog(self._config)
                for line in lines:
                    await self._transport.send(
                        format_message(decode_record(line), line, self._config.hostname)
                    )
                    done += 1
        except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
            self._error = type(error).__name__
        else:
            self._error, self._failing_since = "", None
        self._sent += done
        self._dropped += len(lines) - done
        if self._error:
            if self._failing_since is None:
                self._failing_since = self._world.monotonic()
            await self._disconnect()
            await self._world.sleep(RETRY_DELAY)

    async def _disconnect(self) -> None:
        wire, self._transport = self._transport, None
        if wire is not None:
            await trio.aclose_forcefully(wire)


class SyslogTransport(trio.abc.AsyncResource):
    """A connection that takes whole messages."""

    @abstractmethod
    async def send(self, message: bytes) -> None:
        """Send one. Raises `OSError` or `trio.BrokenResourceError`."""


class DatagramTransport(SyslogTransport):
    """One message a datagram (RFC 5426, and local sockets)."""

    def __init__(self, socket: trio.socket.SocketType) -> None:
        self._socket = socket

    async def send(self, message: bytes) -> None:
        """Send one, cut off at `MAX_DATAGRAM`."""
        await self._socket.send(message[:MAX_DATAGRAM])

    async def aclose(self) -> None:
        """Give the socket back."""
        self._socket.close()
        await trio.lowlevel.checkpoint()


class StreamTransport(SyslogTransport):
    """Messages with their length before them on one stream (RFC 6587, 3.4.1: octet counting)."""

    def __init__(self, stream: trio.abc.SendStream) -> None:
        self._stream = stream

    async def send(self, message: bytes) -> None:
        """Send one."""
        await self._stream.send_all(b"%d " % len(message) + message)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()


async def connect_syslog(config: SyslogConfig) -> SyslogTransport:
    """A wire to the receiver. Raises `OSError`."""
    if config.transport == "tcp":
        return StreamTransport(await trio.open_tcp_stream(config.host, config.port))
    if config.transport == "unix":
        return await _datagram_transport(trio.socket.AF_UNIX, config.host)
    found = await trio.socket.getaddrinfo(config.host, config.port, type=trio.socket.SOCK_DGRAM)
    return await _datagram_transport(found[0][0], found[0][4])


async def _datagram_transport(family: int, target: object) -> DatagramTransport:
    socket = trio.socket.socket(family, trio.socket.SOCK_DGRAM)
    try:
        await socket.connect(target)
    except BaseException:
        socket.close()
        raise
    return DatagramTransport(socket)


@asynccontextmanager
async def open_syslog(config: SyslogConfig, world: World) -> AsyncIterator[SyslogForwarder]:
    """A forwarder for the length of the block; what is queued at its end is dropped."""
    syslog = SyslogForwarder(config, world)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(syslog.run)
        yield syslog
        nursery.cancel_scope.cancel()
