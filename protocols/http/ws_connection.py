"""A websocket over HTTP/1.1: ASGI's two callables, one task that reads, and the end of it all."""

from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Any, Final, TypeAlias

import trio
from wsproto.frame_protocol import CloseReason

from protocols.http.asgi import Message, build_scope
from protocols.http.coarse_clock import NEVER
from protocols.http.errors import (
    AppError,
    PeerLeftError,
    RefusedError,
    SocketClosedError,
    SocketViolationError,
)
from protocols.http.h1_exchange import ExchangeConnection, H1Exchange
from protocols.http.h1_parser import RequestHead
from protocols.http.h1_response import ResponseEncoder
from protocols.http.server_log import log_app_failure, log_websocket_violation
from protocols.http.ws_frames import CloseReceived, MessageReceived, PingReceived, WebSocketFrames
from protocols.http.ws_handshake import (
    acceptance,
    check_offer,
    offered_subprotocols,
    offers_websocket,
)

_RESTART: Final = CloseReason.SERVICE_RESTART  # 1012, IANA's registry of close codes
_DENIAL: Final = "websocket."  # what ASGI puts before the kinds of a denial's messages


class WebSocketState(Enum):
    """Where a websocket is."""

    OFFERED = auto()
    DENYING = auto()
    OPEN = auto()
    CLOSING = auto()
    """Our Close is out, the peer's is not in."""
    OVER = auto()


class WebSocket:
    """One websocket, from its offer to its end; its connection carries nothing afterwards.

    Whatever the peer does, the application sees `websocket.disconnect`, and its sends raise
    SocketClosedError; it then has `linger_seconds` to end.
    """

    def __init__(
        self, connection: ExchangeConnection, head: RequestHead, exchange: H1Exchange
    ) -> None:
        self._connection = connection
        self._transport = connection.transport
        self._shared = connection.state
        self._exchange = exchange
        self._head = head
        self._key = b""
        self._offered: list[str] = []
        self._state = WebSocketState.OFFERED
        self._frames = WebSocketFrames(self._shared.limits, self._shared.clock.now)
        self._denial = ResponseEncoder(
            head.method,
            head.version,
            False,  # noqa: FBT003 - keep_alive
            self._shared.clock.date_line,
        )
        self._writing = trio.Lock()
        self._scope = trio.CancelScope()
        self._over_at = NEVER  # when a handler whose peer left is cancelled
        self._close_by = NEVER  # when the peer's Close is no longer waited for
        self._asked = False  # a ping of ours is out
        self._greeted = False
        self._code: int = CloseReason.ABNORMAL_CLOSURE
        self._reason = ""
        self._inbox, self._arrivals = trio.open_memory_channel[Message](
            self._shared.limits.socket_queue
        )
        self._done = trio.Event()

    async def run(self) -> None:
        """Have the application serve it. Raises RefusedError when the server has to answer."""
        self._key = check_offer(self._head)
        self._offered = offered_subprotocols(self._head)
        admission = self._shared.admission
        if not admission.try_admit_websocket():
            raise RefusedError(503, "overloaded", "too many websockets are open")
        try:
            failed = await self._serve()
        finally:
            admission.websockets -= 1
        if self._state is WebSocketState.OFFERED and self._over_at == NEVER:
            if not failed:
                log_app_failure(AppError("neither accepted nor denied"), self._connection.peer)
            raise RefusedError(500, "internal", "internal error")
        if self._state is WebSocketState.DENYING:
            self._transport.abort()  # half an answer

    def tick(self, now: float) -> None:
        """Enforce how long a handler may go on; called once a tick."""
        if self._over_at == NEVER:
            if self._state is WebSocketState.OFFERED and self._transport.peer_left():
                self._disconnect(CloseReason.ABNORMAL_CLOSURE)
            return
        if now >= self._over_at:
            self._scope.cancel()

    # --- the application's two callables ----------------------------------------------------------

    async def receive(self) -> Message:
        """ASGI receive: connect, then messages, then disconnect for ever."""
        if not self._greeted:
            self._greeted = True
            return {"type": "websocket.connect"}
        try:
            return await self._arrivals.receive()
        except trio.EndOfChannel:
            return {"type": "websocket.disconnect", "code": self._code, "reason": self._reason}

    async def send(self, message: Message) -> None:
        """ASGI send. Raises SocketClosedError once it is over, AppError for a broken contract."""
        kind = message["type"]
        if self._state in (WebSocketState.CLOSING, WebSocketState.OVER) or self._transport.gone:
            raise SocketClosedError("the websocket is closed")
        if kind == "websocket.send" and self._state is WebSocketState.OPEN:
            await self._write(self._frames.encode_message(_data(message)))
        elif kind == "websocket.accept" and self._state is WebSocketState.OFFERED:
            await self._accept(message)
        elif kind == "websocket.close" and self._state is WebSocketState.OPEN:
            await self._close(message.get("code", 1000), message.get("reason") or "")
        elif kind == "websocket.close" and self._state is WebSocketState.OFFERED:
            await self._refuse()
        elif kind.startswith("websocket.http.") and self._state in (
            WebSocketState.OFFERED,
            WebSocketState.DENYING,
        ):
            await self._deny({**message, "type": kind.removeprefix(_DENIAL)})
        else:
            raise AppError("this message has no place here")

    async def _accept(self, message: Message) -> None:
        data = acceptance(
            self._key,
            message.get("subprotocol"),
            self._offered,
            list(message.get("headers", ())),
            self._shared.clock.date_line,
        )
        self._state = WebSocketState.OPEN
        self._exchange.release_slot()
        await self._write(data)
        self._nursery.start_soon(self._read)

    async def _refuse(self) -> None:
        """ASGI: a close in place of an accept is a 403."""
        headers, body = self._shared.refuse(403, "forbidden", "this websocket is not for you")
        await self._deny({"type": "http.response.start", "status": 403, "headers": headers})
        await self._deny({"type": "http.response.body", "body": body})

    async def _deny(self, message: Message) -> None:
        data = self._denial.encode(message)
        self._state = WebSocketState.DENYING
        await self._write(data)
        if self._denial.done:
            self._state = WebSocketState.OVER
            self._disconnect(CloseReason.ABNORMAL_CLOSURE)

    # --- the life of it ---------------------------------------------------------------------------

    async def _serve(self) -> bool:
        """Run the handler to its end and close; whether it failed."""
        failed = False
        async with trio.open_nursery() as self._nursery:
            with self._scope:
                try:
                    await self._shared.app(self._asgi_scope(), self.receive, self.send)
                except SocketClosedError:
                    pass  # nobody is left to be told
                except Exception as error:  # noqa: BLE001 - whatever the app raises ends here
                    failed = True
                    left = self._state is WebSocketState.OVER
                    log_app_failure(error, self._connection.peer, after_disconnect=left)
            self._exchange.release_slot()
            await self._part(CloseReason.INTERNAL_ERROR if failed else CloseReason.NORMAL_CLOSURE)
            self._nursery.cancel_scope.cancel()
        return failed

    async def _part(self, code: int) -> None:
        """Close, if that was not done, and give the peer a moment to agree."""
        try:
            if self._state is WebSocketState.OPEN:
                await self._close(code, "")
        except SocketClosedError:
            return
        if self._state is WebSocketState.CLOSING:
            await self._done.wait()

    def _asgi_scope(self) -> dict[str, Any]:
        head, peer = self._head, self._connection.peer
        any_path = self._shared.any_path
        scope = build_scope(
            peer, head.version, head.method, head.target, head.headers, any_path=any_path
        )
        del scope["method"]
        secure = peer.scheme == "https"
        return {
            **scope,
            "type": "websocket",
            "scheme": "wss" if secure else "ws",
            "subprotocols": self._offered,
            "extensions": {**peer.extensions, "websocket.http.response": {}},
        }

    async def _close(self, code: int, reason: str) -> None:
        data = self._frames.encode_close(code, reason)
        self._state = WebSocketState.CLOSING
        self._close_by = self._shared.clock.deadline_after(self._shared.limits.close_seconds)
        self._disconnect(code, reason)
        await self._write(data)
        self._transport.interrupt_receive()  # the reader has a deadline from now on

    def _disconnect(self, code: int, reason: str = "") -> None:
        """Have the application hear of the end; only the first reason counts."""
        if self._over_at == NEVER:
            self._code, self._reason = int(code), reason
            self._over_at = self._shared.clock.deadline_after(self._shared.limits.linger_seconds)
            self._inbox.close()

    async def _write(self, data: bytes) -> None:
        """All of it, after whatever is being written. Raises SocketClosedError."""
        try:
            async with self._writing:
                await self._transport.send(data)
        except PeerLeftError:
            self._state = WebSocketState.OVER
            self._disconnect(CloseReason.ABNORMAL_CLOSURE)
            raise SocketClosedError("the peer is gone, or did not read") from None

    # --- reading ----------------------------------------------------------------------------------

    async def _read(self) -> None:
        data: bytes | None = self._connection.reader.take_remaining()
        try:
            while data is not None and self._state is not WebSocketState.OVER:
                if data:
                    await self._take(data)
                if self._connection.draining and self._state is WebSocketState.OPEN:
                    await self._close(_RESTART, "the server restarts")
                data = await self._next()
        except SocketViolationError as error:
            await self._cut_off(error)
        except SocketClosedError:
            pass
        finally:
            self._state = WebSocketState.OVER
            self._disconnect(CloseReason.ABNORMAL_CLOSURE)
            self._done.set()

    async def _take(self, data: bytes) -> None:
        for event in self._frames.feed(data, self._shared.clock.now):
            match event:
                case MessageReceived(data=content):
                    if self._state is WebSocketState.OPEN:
                        await self._deliver(content)
                case PingReceived(payload=payload):
                    if self._state is WebSocketState.OPEN:
                        await self._write(self._frames.encode_pong(payload))
                case CloseReceived(code=code, reason=reason):
                    await self._agree(code, reason)

    async def _deliver(self, content: str | bytes) -> None:
        key = "text" if isinstance(content, str) else "bytes"
        with suppress(trio.ClosedResourceError):  # closed by us while it waited
            await self._inbox.send({"type": "websocket.receive", key: content})

    async def _agree(self, code: int, reason: str) -> None:
        """The peer said its Close: answer if we did not say ours first."""
        was_open = self._state is WebSocketState.OPEN
        self._state = WebSocketState.OVER
        self._disconnect(code, reason)
        if was_open:
            await self._write(self._frames.encode_close(code, ""))

    async def _cut_off(self, error: SocketViolationError) -> None:
        log_websocket_violation(error, self._connection.peer)
        if self._state is not WebSocketState.OPEN:
            return
        self._state = WebSocketState.OVER
        self._disconnect(error.code, error.reason)
        try:
            await self._write(self._frames.encode_close(error.code, error.reason))
        except SocketClosedError:
            return

    async def _next(self) -> bytes | None:
        """More bytes; none when something else woke us; None when there is nobody any more."""
        transport, clock = self._transport, self._shared.clock
        if self._state is WebSocketState.CLOSING and clock.now >= self._close_by:
            return None
        quiet = clock.deadline_after(self._shared.limits.socket_ping_seconds)
        transport.read_by = min(quiet, self._close_by)
        data = await transport.receive()
        transport.read_by = NEVER
        if data:
            self._asked = False
            return data
        if transport.ended or transport.gone or self._state is WebSocketState.OVER:
            return None
        if not transport.read_expired:
            return b""
        transport.read_expired = False
        if self._asked or self._state is WebSocketState.CLOSING:
            return None
        self._asked = True
        await self._write(self._frames.encode_ping())
        return b""


UpgradeConnection: TypeAlias = Callable[
    [ExchangeConnection, RequestHead, H1Exchange], WebSocket | None
]


def upgrade_to_websocket(
    connection: ExchangeConnection, head: RequestHead, exchange: H1Exchange
) -> WebSocket | None:
    """What the connection becomes with this request; None when it offers no websocket."""
    return WebSocket(connection, head, exchange) if offers_websocket(head) else None


def _data(message: Message) -> str | bytes:
    """ASGI: exactly one of both, the other may be None."""
    text: str | None = message.get("text")
    data: bytes | None = message.get("bytes")
    if (text is None) == (data is None):
        raise AppError("a message is either text or bytes")
    return text if text is not None else data or b""
