"""The one place that touches a socket: bytes in, bytes out, with or without TLS.

TLS runs over two memory buffers (ssl.MemoryBIO). trio.SSLStream does the same with two locks and
several checkpoints an operation, because it serves any stream and any number of tasks; here one
task reads and one sends, on a socket that is tried before it is waited for. Measured, that is
worth a quarter of a request (decision 2).
"""

import contextlib
import select
import socket
import ssl
import struct
from typing import Any

import trio

from protocols.http.coarse_clock import NEVER, CoarseClock
from protocols.http.errors import PeerLeftError
from protocols.http.limits import Limits
from protocols.http.proxy_protocol import ProxyHeader, parse_proxy_header
from protocols.http.readiness import ReadinessPoller
from protocols.http.response_budget import (
    ConnectionUsage,
    PendingWrite,
    Reservation,
    ResponseBudget,
)

_RECEIVE = 64 * 1024  # one read; also bounds what is parsed before the peer is asked for more
_RECORD = 16 * 1024  # RFC 8446 section 5.1: no record holds more plain text
_PIECE = 128 * 1024  # sealed at a time, so that a large answer is not held twice
_CONTROL = 256  # TLS answers of its own that a peer may leave unread
_COPIES = 2  # of an answer that waits: the application's and the one that is being sent
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close sends RST
_LEFT = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


class Transport:
    """A connected stream socket in non-blocking mode.

    `read_by` and `write_by` are the deadlines of the wait in hand; `tick` enforces both.
    """

    def __init__(
        self,
        sock: socket.socket,
        limits: Limits,
        clock: CoarseClock,
        readiness: ReadinessPoller,
        budget: ResponseBudget,
        *,
        usage: ConnectionUsage | None = None,
    ) -> None:
        """`usage`: on whose account is what waits to be sent; None: a stranger's."""
        self._sock = sock
        self._readiness = readiness.register(sock)
        self._limits = limits
        self._clock = clock
        self._budget = budget
        self.usage = usage or budget.usage_of(None)
        self._unsent: list[memoryview] = []
        self._flushing = False  # a task waits until the peer takes it
        self._unread: PendingWrite | None = None  # of this reader, since it was first waited for
        self._held = 0  # bytes in memory because of that
        self._whole = 0  # bytes of an answer that is sealed piece by piece
        self.read_by = NEVER
        self.write_by = NEVER
        self._interrupts = 0  # each is for whoever waits at that moment
        self._arrived = b""  # read, and not taken yet: in order, whoever it was read for
        self.read_expired = False  # `read_by` passed
        self.ended = False  # the peer ended its side
        self.gone = False  # nothing can be sent any more

    async def receive(self) -> bytes:
        """Next bytes; b"" when the peer has ended, was cut, or `read_by` has passed.

        Always lets other tasks run once.
        """
        interrupts = self._interrupts
        while True:
            if self._arrived:  # for one who was interrupted
                await trio.lowlevel.checkpoint()
            elif self._over():
                return b""
            else:
                await self._readiness.wait_readable(self._arrive)
            if interrupts != self._interrupts or self.gone or self.read_expired:
                return b""
            if self._arrived:
                data, self._arrived = self._arrived, b""
                return data

    async def send(self, data: bytes, reservation: Reservation | None = None) -> None:
        """Send all of `data`; returns without a checkpoint when the kernel takes it at once.

        While one task is in here, what others send is queued behind it and sent by it. When it has
        to wait, `data` is charged to the budget of the answers in place of what is reserved.
        Raises PeerLeftError when the peer is gone or too slow.
        """
        if not self._sent_at_once(data):
            await self._flush(len(data), reservation)

    async def receive_proxy_header(self) -> ProxyHeader:
        """The PROXY protocol header, ahead of TLS and of everything else.

        Raises PeerLeftError when the peer leaves or is too slow, ProxyHeaderError when it sends
        something else.
        """
        self.read_by = self._clock.deadline_after(self._limits.handshake_seconds)
        received = b""
        while (header := parse_proxy_header(received)) is None:
            data = await Transport.receive(self)
            if not data:
                raise PeerLeftError
            received += data
        self.read_by = NEVER
        self._arrived = received[header.size :]
        return header

    def charge_buffered(self, size: int) -> None:
        """So many bytes wait in memory for the send in hand to end."""
        if self._unread is not None and self._flushing:
            self._unread.charge_memory(self._held + size)

    def close(self) -> None:
        """Close at once; what the kernel already holds is still delivered."""
        trio.lowlevel.notify_closing(self._sock)
        self.gone = True
        self._unread = None
        self._readiness.unregister()
        self._sock.close()

    async def shutdown(self) -> None:
        """End our side, then read away what the peer still sends, for `close_seconds` at most.

        Without this a close with unread input makes the kernel send RST, which can destroy the
        last answer before the peer reads it (RFC 9112 section 9.6).
        """
        if self.gone:
            return
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        self.read_expired = False
        self.read_by = self._clock.deadline_after(self._limits.close_seconds)
        left = self._limits.discard_bytes
        while left > 0 and (data := await Transport.receive(self)):
            left -= len(data)

    def tick(self, now: float) -> None:
        """Enforce the deadlines: a late read ends as if at EOF, a late write cuts the peer."""
        if now >= self.write_by:
            self.abort()
        elif now >= self.read_by:
            self.read_by = NEVER
            self.read_expired = True
            self._readiness.cancel_wait()

    def interrupt_receive(self) -> None:
        """Make a pending receive return b"" without harm to the connection."""
        self._interrupts += 1
        self._readiness.cancel_wait()

    def abort(self) -> None:
        """Cut the peer: pending calls end, and the close that follows is a reset."""
        if not self.gone:
            self.gone = True
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            trio.lowlevel.notify_closing(self._sock)
            self._readiness.cancel_wait()

    def peer_left(self) -> bool:
        """Whether the peer has ended its side, asked of the kernel without reading."""
        if self.gone:
            return True
        poll = select.poll()
        poll.register(self._sock, _LEFT)
        return bool(poll.poll(0))

    def _over(self) -> bool:
        return self.gone or self.ended or self.read_expired

    def _arrive(self) -> bool:
        """Read once, in any task; whether something has arrived, or it is over."""
        self._arrived += self._read()
        return bool(self._arrived) or self._over()

    def _read(self) -> bytes:
        """Next bytes, if any are here."""
        try:
            data = self._sock.recv(_RECEIVE)
        except BlockingIOError:
            self._readiness.mark_drained()
            return b""
        except OSError:
            self.gone = True
            return b""
        if len(data) < _RECEIVE:
            self._readiness.mark_drained()
            self.ended = not data
        return data

    async def _flush(self, size: int, reservation: Reservation | None) -> None:
        """Send what is unsent, which is of a message of `size` bytes, as the peer takes it."""
        unread = self._unread
        if reservation is not None:
            reservation.give_back()
        if unread is not None and self._flushing:
            self._held += size * _COPIES
            unread.charge_memory(self._held)
            self._budget.grant_queued()
            return
        self._flushing = True
        self._held = max(size, self._whole) * _COPIES
        if unread is None:
            unread = self._unread = self._budget.track_write(self._held, self.abort, self.usage)
        else:
            unread.restart(self._held)
        self._budget.grant_queued()
        allowed = sum(map(len, self._unsent)) / self._limits.write_rate
        self.write_by = self._clock.deadline_after(allowed + self._limits.write_seconds)
        try:
            while self._unsent:
                if not self.gone:
                    with contextlib.suppress(trio.ClosedResourceError):  # `abort`, `close`
                        await trio.lowlevel.wait_writable(self._sock)
                unread.note_progress(self._push())
        finally:
            self.write_by = NEVER
            self._flushing = False
            if not self._whole or self.gone:
                unread.finish()
            if self.gone:
                self._unsent.clear()

    def _sent_at_once(self, data: bytes) -> bool:
        """Send it if the kernel takes all of it now; else it is among what is unsent."""
        if self._unsent or self._flushing:
            self._unsent.append(memoryview(data))
            return False
        sent = self._try_send(data)
        if self._unread is not None:  # before the first wait it filled buffers, nobody read it
            self._unread.note_progress(sent)
        if sent < len(data):
            self._unsent.append(memoryview(data)[sent:])
            return False
        return True

    def _push(self) -> int:
        """Send of the first unsent piece what the kernel takes; returns how much."""
        piece = self._unsent[0]
        sent = self._try_send(piece)
        if sent < len(piece):
            self._unsent[0] = piece[sent:]
        else:
            del self._unsent[0]
        return sent

    def _try_send(self, data: bytes | memoryview) -> int:
        if self.gone:
            raise PeerLeftError
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.abort()
            raise PeerLeftError from error


class TlsTransport(Transport):
    """The same over TLS; `handshake` comes first."""

    def __init__(
        self,
        sock: socket.socket,
        limits: Limits,
        clock: CoarseClock,
        readiness: ReadinessPoller,
        budget: ResponseBudget,
        *,
        context: ssl.SSLContext,
        usage: ConnectionUsage | None = None,
    ) -> None:
        super().__init__(sock, limits, clock, readiness, budget, usage=usage)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._open = False  # what is read is to be decrypted
        self._first = True

    async def handshake(self, turns: trio.Semaphore) -> str | None:
        """Returns the protocol agreed on by ALPN.

        No more of them are computed in one turn of the event loop than `turns` allows. Raises
        PeerLeftError when the peer fails it, leaves or is too slow, or its turn came too late.
        """
        self.read_by = self._clock.deadline_after(self._limits.handshake_seconds)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._send_control()
            except ssl.SSLError as error:
                await self._send_control()  # the alert
                raise PeerLeftError from error
            data = await super().receive()
            if not data:
                raise PeerLeftError
            self._incoming.write(data)
            async with turns:
                await trio.lowlevel.checkpoint()
            if self._over():
                raise PeerLeftError
        await self._send_control()
        self.read_by = NEVER
        self._open = True
        return self._tls.selected_alpn_protocol()

    def tls_info(self) -> dict[str, Any]:
        """What the application may know: `version`, `cipher`, `peer_certificate` (DER or None)."""
        cipher = self._tls.cipher()
        return {
            "version": self._tls.version(),
            "cipher": cipher[0] if cipher else None,
            "peer_certificate": self._tls.getpeercert(binary_form=True),
        }

    async def receive(self) -> bytes:
        """Next bytes of plain text; see Transport.receive."""
        if self._first:  # a client may put its request beside the end of its handshake
            self._first = False
            if plain := self._decrypt():
                return plain
        return await super().receive()

    async def send(self, data: bytes, reservation: Reservation | None = None) -> None:
        """Seal and send all of `data`; see Transport.send. `ResponseBudget` sees one wait."""
        if len(data) <= _PIECE or self._flushing:
            sealed = self._encrypt(data)
            if not self._sent_at_once(sealed):
                await self._flush(len(sealed), reservation)
            return
        view = memoryview(data)
        self._whole = len(view)
        try:
            for start in range(0, len(view), _PIECE):
                await super().send(self._encrypt(view[start : start + _PIECE]), reservation)
        finally:
            self._whole = 0
            if self._unread is not None:
                self._unread.finish()

    async def shutdown(self) -> None:
        """Say close_notify, then as Transport.finish."""
        if not self.gone:
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            self._answer_tls()
        self._open = False
        await super().shutdown()

    def _encrypt(self, data: bytes | memoryview) -> bytes:
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self.gone = True
            raise PeerLeftError from error
        return self._outgoing.read()

    def _read(self) -> bytes:
        data = super()._read()
        if not data or not self._open:
            return data
        self._incoming.write(data)
        plain = self._decrypt()
        if self._outgoing.pending:
            self._answer_tls()
        return plain

    def _decrypt(self) -> bytes:
        """Everything that can be read now. A broken or ended session cuts the peer."""
        read = self._tls.read
        try:
            plain = read(_RECORD)
            if not plain:  # close_notify
                self.ended = True
            if not self._incoming.pending and not self._tls.pending():
                return plain
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLError:
            self.ended = True
            return b""
        pieces = [plain]
        try:
            while plain := read(_RECORD):
                pieces.append(plain)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self.ended = True
        return b"".join(pieces)

    async def _send_control(self) -> None:
        if self._outgoing.pending:
            await super().send(self._outgoing.read())

    def _answer_tls(self) -> None:
        """TLS's own answers (alerts, key updates): sent now if the kernel takes them, else queued.

        The reader must not wait for the socket here: the writer may hold it.
        """
        self._unsent.append(memoryview(self._outgoing.read()))
        if len(self._unsent) > _CONTROL:
            self.abort()
        elif not self._flushing:
            with contextlib.suppress(PeerLeftError):
                self._push()
