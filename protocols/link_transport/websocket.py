"""A websocket as a `LinkTransport`; what it reads between two frames and every wait is bounded."""

import ssl
from collections.abc import Callable
from typing import Final

import trio
import trio_websocket as ws

from protocols.link import limits
from protocols.link.errors import TransportError
from protocols.link.transport import REFUSED

NORMAL: Final = 1000
POLICY: Final = 1008  # RFC 6455, 7.4.1: "a message that violates its policy"
TEXT: Final = "text"
"""The reason for whom sends text."""
_NOT_LET_IN: Final = (
    "the control plane does not let this agent in. It may be locked or retired there, or its "
    "certificate was withdrawn or has expired; ask the administrator of the fleet"
)


def do_nothing() -> None:
    """Nobody waits for the end."""


class BoundedStream(trio.abc.Stream):
    """A stream that breaks when too much comes in without a frame being taken."""

    def __init__(self, stream: trio.abc.Stream, head: bytes = b"") -> None:
        """`head`: what was read already, to be read again."""
        self._stream = stream
        self._head = head
        self.unread = 0
        self.on_end: Callable[[], None] = do_nothing
        """Called when the peer is gone: trio-websocket's handshakes do not notice."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As any stream."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """As any stream."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """As any stream; raises `BrokenResourceError` over the bound as well."""
        if self._head:
            head, self._head = self._head, b""
            return head
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError:
            self.on_end()
            raise
        if not data:
            self.on_end()
        self.unread += len(data)
        if self.unread > limits.MAX_UNREAD:
            raise trio.BrokenResourceError("too much came without a whole frame")
        return bytes(data)

    async def aclose(self) -> None:
        """As any stream."""
        await self._stream.aclose()


class WebSocketTransport:
    """A `LinkTransport` over a websocket."""

    def __init__(
        self,
        connection: ws.WebSocketConnection,
        wire: BoundedStream,
        peer: bytes,
        context: ssl.SSLContext,
    ) -> None:
        """Use `connect` or `serve`."""
        self._connection = connection
        self._wire = wire
        self._broken = False
        self.peer_certificate = peer
        self.context = context
        """What the TLS handshake was made with: says which certificate of ours the peer saw."""
        self.failure: BaseException | None = None
        """What the reader died of."""
        self.closed = trio.Event()

    async def send(self, frame: bytes) -> None:
        """See `LinkTransport`. Raises `TransportError`: `closed`, `slow`."""
        if self._broken:
            raise self._gone()
        self._broken = True  # until the whole frame is written
        with trio.move_on_after(limits.WRITE_SECONDS) as scope:
            try:
                await self._connection.send_message(frame)
            except ws.ConnectionClosed:
                raise self._gone() from self.failure
        if scope.cancelled_caught:
            await self.aclose()
            raise TransportError("slow", "the peer does not read")
        self._broken = False

    async def receive(self) -> bytes:
        """See `LinkTransport`. Raises `TransportError`: `closed`, `text`."""
        try:
            frame = await self._connection.get_message()
        except ws.ConnectionClosed:
            raise self._gone() from self.failure
        self._wire.unread = 0
        if isinstance(frame, bytes):
            return frame
        await self.aclose(TEXT)
        raise TransportError(TEXT, "frames are binary messages")

    async def aclose(self, fault: str = "") -> None:
        """See `LinkTransport`."""
        try:
            with trio.move_on_after(limits.CLOSE_SECONDS):
                await self._connection.aclose(POLICY if fault else NORMAL, fault or None)
        finally:
            await self.abort()

    async def abort(self) -> None:
        """Close at once, also when cancelled, without a word to the peer."""
        self.closed.set()
        await trio.aclose_forcefully(self._wire)

    def _gone(self) -> TransportError:
        why = self._connection.closed
        if why is not None and (why.code, why.reason) == (POLICY, REFUSED):
            return TransportError(REFUSED, _NOT_LET_IN)
        told = f" ({why.code} {why.reason or ''})" if why is not None else ""
        return TransportError("closed", f"the connection is closed{told}")
