"""A live feed over its websocket: hears what a browser asks, tells it what there is to tell.

Who may see what is its owner's: `handle` is given each request, `wait_ended` returns when nothing
more may be told. Codes are those of docs/spec/live.md.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from protocols.http.asgi import Receive, Send
from protocols.http.errors import SocketClosedError
from protocols.live.feed import LiveFeed
from protocols.live.limits import HEARTBEAT_SECONDS, LiveLimits
from protocols.live.requests import (
    UnwatchRequest,
    WatchRequest,
    WatchRequestError,
    parse_request,
)
from protocols.token_bucket import TokenBucket

CLOSE_SESSION_ENDED: Final = 4401
CLOSE_SERVICE_RESTART: Final = 1012  # IANA's registry of close codes
CLOSE_TRY_AGAIN_LATER: Final = 1013
_NOT_TEXT: Final = 1003  # RFC 6455, 7.4.1
_POLICY: Final = 1008

_HEARTBEAT: Final = f'{{"heartbeat":{HEARTBEAT_SECONDS:g}}}'

HandleRequest = Callable[[WatchRequest | UnwatchRequest], Awaitable[None]]
WaitEnded = Callable[[], Awaitable[tuple[int, str]]]
"""Returns the code and the words that it is closed with."""


class FeedConnection:
    """With one browser. What it follows is told to `feed`."""

    def __init__(self, bounds: LiveLimits, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._pending = trio.Event()
        self._bucket = TokenBucket(bounds.burst, bounds.rate, monotonic())
        self.feed = LiveFeed(bounds, self._notify_pending)

    async def run(
        self, receive: Receive, send: Send, handle: HandleRequest, wait_ended: WaitEnded
    ) -> None:
        """Until it is over, or the browser has gone."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_messages, send)
            nursery.start_soon(self._close_when_ended, send, wait_ended)
            await self._receive_requests(receive, send, handle)
            nursery.cancel_scope.cancel()

    async def _send_messages(self, send: Send) -> None:
        try:
            while True:
                self._pending = trio.Event()
                while (message := self.feed.next_message()) is not None:
                    await send({"type": "websocket.send", "text": message})
                    await trio.lowlevel.checkpoint()
                with trio.move_on_after(HEARTBEAT_SECONDS) as silence:
                    await self._pending.wait()
                if silence.cancelled_caught:
                    await send({"type": "websocket.send", "text": _HEARTBEAT})
        except SocketClosedError:
            return  # `_receive_requests` hears of it

    async def _close_when_ended(self, send: Send, wait_ended: WaitEnded) -> None:
        await close_websocket(send, *await wait_ended())

    async def _receive_requests(self, receive: Receive, send: Send, handle: HandleRequest) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text")
            if text is None:
                return await close_websocket(send, _NOT_TEXT, "requests are text")
            try:
                if not self._bucket.try_consume(self._monotonic()):
                    raise WatchRequestError("too many requests")  # noqa: TRY301  # the one way out
                await handle(parse_request(text))
            except WatchRequestError as error:
                return await close_websocket(send, _POLICY, str(error))
        return None

    def _notify_pending(self) -> None:
        self._pending.set()


async def close_websocket(send: Send, code: int, reason: str) -> None:
    """Close it, if it still is open."""
    try:
        await send({"type": "websocket.close", "code": code, "reason": reason})
    except SocketClosedError:
        return
