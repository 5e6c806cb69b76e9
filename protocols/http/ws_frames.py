"""Websocket frames to whole messages and back (RFC 6455), without I/O, on wsproto.

No extension is spoken: `permessage-deflate` would hold 32 KiB and more of window for each open
connection, lets 1 KiB become 1 MiB, and compresses secrets beside what an attacker can choose.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import (
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason

from protocols.http.errors import ProtocolViolationError, SocketViolationError
from protocols.http.h2_frame_meter import FrameMeter
from protocols.http.limits import Limits

_SMALL: Final = 64  # bytes; a fragment below this costs more to handle than it carries


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A whole message."""

    data: str | bytes


@dataclass(frozen=True, slots=True)
class PingReceived:
    """To be answered with the same bytes."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class CloseReceived:
    """The peer's Close; 1005 when it gave no code."""

    code: int
    reason: str


class WebSocketFrames:
    """The server's side of one websocket."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._connection = Connection(ConnectionType.SERVER)
        self._limits = limits
        self._meter = FrameMeter(limits, now)
        self._parts: list[str] | list[bytes] = []
        self._size = 0

    def feed(
        self, data: bytes, now: float
    ) -> Iterator[MessageReceived | PingReceived | CloseReceived]:
        """What these bytes complete. Raises SocketViolationError; then nothing more may be fed."""
        self._meter.refill(now)
        self._connection.receive_data(data)
        for event in self._connection.events():
            try:
                found = self._take(event)
            except ProtocolViolationError:
                code = CloseReason.POLICY_VIOLATION
                raise SocketViolationError(code, "too many frames") from None
            if found is not None:
                yield found

    def encode_message(self, data: str | bytes) -> bytes:
        """A message as one frame."""
        if isinstance(data, str):
            return self._connection.send(TextMessage(data=data))
        return self._connection.send(BytesMessage(data=data))

    def encode_ping(self) -> bytes:
        """Ask whether the peer is there."""
        return self._connection.send(Ping())

    def encode_pong(self, payload: bytes) -> bytes:
        """The answer to a ping."""
        return self._connection.send(Pong(payload=payload))

    def encode_close(self, code: int, reason: str) -> bytes:
        """Our Close, or the answer to the peer's; nothing comes after it."""
        return self._connection.send(CloseConnection(code=code, reason=reason or None))

    def _take(self, event: Event) -> MessageReceived | PingReceived | CloseReceived | None:
        match event:
            case TextMessage() | BytesMessage():
                return self._assemble(event)
            case Ping(payload=payload):
                self._meter.spend(1)
                return PingReceived(bytes(payload))
            case CloseConnection(code=code, reason=reason):
                if self._connection.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
                    # wsproto's word for a breach; its text repeats what the peer sent
                    raise SocketViolationError(code, "not websocket")
                return CloseReceived(int(code), reason or "")
            case _:
                self._meter.spend(1)
                return None

    def _assemble(self, event: TextMessage | BytesMessage) -> MessageReceived | None:
        piece = event.data
        self._size += len(piece.encode()) if isinstance(piece, str) else len(piece)
        if self._size > self._limits.socket_message:
            raise SocketViolationError(CloseReason.MESSAGE_TOO_BIG, "message is too long")
        if not event.message_finished:
            if event.frame_finished and len(piece) < _SMALL:
                self._meter.spend(1)
            self._parts.append(piece)  # type: ignore[arg-type]  # all of one kind: wsproto's promise
            return None
        parts, self._parts, self._size = self._parts, [], 0
        if not parts:
            return MessageReceived(piece if isinstance(piece, str) else bytes(piece))
        empty = piece[:0]
        return MessageReceived(empty.join([*parts, piece]))  # type: ignore[arg-type,list-item]  # as above
