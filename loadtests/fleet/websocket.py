"""A websocket client over mutual TLS with nothing but what the control plane can tell apart.

The clients share two cores with what they measure, so what is theirs alone is left out: wsproto,
a mask that hides anything (its key is zero: RFC 6455 asks proxies to be spared, and there is
none), one context for each agent.
"""

import ssl
import struct
from pathlib import Path
from typing import Final, NamedTuple

import trio

from protocols.link import limits
from protocols.link.errors import TransportError
from protocols.link_transport.tls_stream import TlsStream

_ASKED: Final = (
    f"GET {limits.PATH} HTTP/1.1\r\nHost: fleet\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: ZmxlZXRmbGVldGZsZWV0IQ==\r\nSec-WebSocket-Version: 13\r\n"
    f"Sec-WebSocket-Protocol: {limits.SUBPROTOCOL}\r\n\r\n"
).encode()
_SWITCHED: Final = b"HTTP/1.1 101 "
_BINARY: Final = 0x82  # the last and only part of a binary message (RFC 6455, 5.2)
_MASKED: Final = 0x80
_NO_MASK: Final = bytes(4)
_SHORT: Final = 125
_TWO: Final = 126


class ClientCertificate(NamedTuple):
    """The certificate that an agent shows: `file` has its chain and key, for this context."""

    context: ssl.SSLContext
    file: Path

    def secured(self, tcp: trio.SocketStream) -> TlsStream:
        """OpenSSL copies the certificate of a context when a connection is made of it.

        So one context serves all agents of a process, which would otherwise be gigabytes of them.
        """
        self.context.load_cert_chain(self.file)
        return TlsStream(tcp, self.context)


class WebSocketClient:
    """A `LinkTransport`; one task sends and one receives. A cancelled `receive` loses nothing."""

    def __init__(self, tls: TlsStream, peer: bytes) -> None:
        """Use `connect`."""
        self._tls = tls
        self._buffer = bytearray()
        self.peer_certificate = peer

    @classmethod
    async def connect(cls, address: tuple[str, int], shown: ClientCertificate) -> "WebSocketClient":
        """Connected and switched to a websocket. Raises `TransportError`."""
        with trio.move_on_after(limits.CONNECT_SECONDS):
            return await cls._dial(address, shown)
        raise TransportError("timeout", "the control plane did not finish its handshake in time")

    @classmethod
    async def _dial(cls, address: tuple[str, int], shown: ClientCertificate) -> "WebSocketClient":
        sock = trio.socket.socket()
        try:
            await sock.connect(address)
            tls = shown.secured(trio.SocketStream(sock))
        except OSError as error:
            sock.close()
            raise TransportError("unreachable", str(error)) from error
        try:
            return await cls._opened(tls)
        except trio.BrokenResourceError as error:
            raise TransportError("tls", str(error)) from error
        except BaseException:
            await trio.aclose_forcefully(tls)
            raise

    @classmethod
    async def _opened(cls, tls: TlsStream) -> "WebSocketClient":
        await tls.do_handshake()
        wire = cls(tls, tls.getpeercert() or b"")
        await tls.send_all(_ASKED)
        while (end := wire._buffer.find(b"\r\n\r\n")) < 0:
            await wire._more()
        head, wire._buffer = bytes(wire._buffer[:end]), wire._buffer[end + 4 :]
        if not head.startswith(_SWITCHED):
            raise TransportError("refused", head.decode(errors="replace")[:40])
        return wire

    async def send(self, frame: bytes) -> None:
        """See `LinkTransport`."""
        size = len(frame)
        if size <= _SHORT:
            head = bytes((_BINARY, _MASKED | size))
        elif size < 1 << 16:
            head = struct.pack(">BBH", _BINARY, _MASKED | _TWO, size)
        else:
            head = struct.pack(">BBQ", _BINARY, _MASKED | _TWO + 1, size)
        try:
            await self._tls.send_all(head + _NO_MASK + frame)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise TransportError("closed", str(error)) from error

    async def receive(self) -> bytes:
        """See `LinkTransport`."""
        while True:
            start, end = self._bounds()
            if end and len(self._buffer) >= end:
                break
            await self._more()
        kind, frame = self._buffer[0], bytes(self._buffer[start:end])
        del self._buffer[:end]
        if kind != _BINARY:
            raise TransportError("closed", f"kind {kind:#x}: {frame[2:].decode(errors='replace')}")
        return frame

    async def aclose(self) -> None:
        """Close at once."""
        await trio.aclose_forcefully(self._tls)

    def _bounds(self) -> tuple[int, int]:
        """Where the first frame's payload begins and ends; zeros if that is not known yet."""
        buffer = self._buffer
        if len(buffer) < struct.calcsize(">BB"):
            return 0, 0
        size = buffer[1]
        if size <= _SHORT:
            return 2, 2 + size
        form, start = (">H", 4) if size == _TWO else (">Q", 10)
        if len(buffer) < start:
            return 0, 0
        return start, start + int(struct.unpack_from(form, buffer, 2)[0])

    async def _more(self) -> None:
        try:
            data = await self._tls.receive_some()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise TransportError("closed", str(error)) from error
        if not data:
            raise TransportError("closed", "the control plane has ended the connection")
        self._buffer += data
