"""TLS on a socket, for one task that reads and one that sends at a time.

`trio.SSLStream` serves any stream and any number of tasks: it moves each byte through two buffers
and passes the scheduler several times an operation. Ten thousand links that ping pay more for that
than for all else, so here OpenSSL has the socket itself
(decision 15).
"""

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final, TypeVar

import trio

T = TypeVar("T")

RECORD: Final = 16 * 1024
"""Bytes of one read: no TLS record holds more (RFC 8446, section 5.1)."""


class TlsStream(trio.abc.Stream):
    """A stream of plain text. `do_handshake` comes first."""

    def __init__(
        self,
        tcp: trio.SocketStream,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> None:
        """Takes the socket over: `tcp` is of no use any more, whatever comes of it.

        Raises `OSError` when the peer is gone already.
        """
        plain = socket.socket(fileno=tcp.socket.detach())
        with contextlib.ExitStack() as undo:
            undo.callback(plain.close)
            plain.settimeout(0)
            self._tls = context.wrap_socket(
                plain,
                server_side=server_side,
                server_hostname=server_hostname,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=False,
            )
            undo.pop_all()
        self._closed = False

    async def do_handshake(self) -> None:
        """Raises `BrokenResourceError`, whose cause says why, when the peer fails it."""
        await self._retry(self._tls.do_handshake)

    def getpeercert(self) -> bytes | None:
        """The peer's certificate in DER, if it has shown one."""
        return self._tls.getpeercert(binary_form=True)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As any stream, but without a checkpoint when the kernel takes it all at once."""
        left = memoryview(data)
        while left:
            sent = await self._retry(lambda: self._tls.send(left))  # noqa: B023  # before it moves
            left = left[sent:]

    async def wait_send_all_might_not_block(self) -> None:
        """As any stream."""
        self._check_open()
        await trio.lowlevel.wait_writable(self._tls)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """As any stream. A peer that ends without saying so is a `BrokenResourceError`."""
        self._check_open()
        if self._tls.pending():
            await trio.lowlevel.checkpoint()
        else:
            await trio.lowlevel.wait_readable(self._tls)
        size = max_bytes or RECORD
        return await self._retry(lambda: self._tls.recv(size))

    async def aclose(self) -> None:
        """Close at once; unless cancelled, say so if the kernel takes that at once."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        try:
            await trio.lowlevel.checkpoint()
            with contextlib.suppress(OSError, ValueError):
                self._tls.unwrap()  # close_notify; the peer's own is not waited for
        finally:
            trio.lowlevel.notify_closing(self._tls)
            self._tls.close()

    async def _retry(self, operation: Callable[[], T]) -> T:
        """Do it once the socket lets OpenSSL."""
        while True:
            self._check_open()
            try:
                return operation()
            except ssl.SSLWantReadError:
                wait = trio.lowlevel.wait_readable
            except ssl.SSLWantWriteError:
                wait = trio.lowlevel.wait_writable
            except (ssl.SSLError, OSError) as error:
                raise trio.BrokenResourceError(f"TLS: {error}") from error
            try:
                await wait(self._tls)
            except trio.BusyResourceError as error:
                # Reading asks for room to answer a key update, and the writer waits for it too.
                raise trio.BrokenResourceError("TLS: the peer does not read") from error

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("the stream is closed")
