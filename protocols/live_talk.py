"""A live feed over its websocket: hears what a browser asks, tells it what there is to tell.

Who may see what is its owner's: `do` is given each request, `over` returns when nothing more may be
told. Codes are those of docs/spec/live.md.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from protocols.http.errors import SocketClosedError
from protocols.http.scope import Receive, Send
from protocols.live.feed import Feed
from protocols.live.limits import HEARTBEAT_SECONDS, Bounds
from protocols.live.requests import Allowance, RequestError, Unwatch, Watch, parse

SESSION_OVER: Final = 4401
RESTARTS: Final = 1012  # IANA's registry of close codes
LATER: Final = 1013
_NOT_TEXT: Final = 1003  # RFC 6455, 7.4.1
_POLICY: Final = 1008

_HEARTBEAT: Final = f'{{"heartbeat":{HEARTBEAT_SECONDS:g}}}'

Do = Callable[[Watch | Unwatch], Awaitable[None]]
Over = Callable[[], Awaitable[tuple[int, str]]]
"""Returns the code and the words that it is closed with."""


class Talk:
    """With one browser. What it follows is told to `feed`."""

    def __init__(self, bounds: Bounds, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._stirred = trio.Event()
        self._allowance = Allowance(bounds, monotonic())
        self.feed = Feed(bounds, self._stir)

    async def run(self, receive: Receive, send: Send, do: Do, over: Over) -> None:
        """Until it is over, or the browser has gone."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell, send)
            nursery.start_soon(self._watch_over, send, over)
            await self._listen(receive, send, do)
            nursery.cancel_scope.cancel()

    async def _tell(self, send: Send) -> None:
        try:
            while True:
                self._stirred = trio.Event()
                while (message := self.feed.next()) is not None:
                    await send({"type": "websocket.send", "text": message})
                    await trio.lowlevel.checkpoint()
                with trio.move_on_after(HEARTBEAT_SECONDS) as silence:
                    await self._stirred.wait()
                if silence.cancelled_caught:
                    await send({"type": "websocket.send", "text": _HEARTBEAT})
        except SocketClosedError:
            return  # `_listen` hears of it

    async def _watch_over(self, send: Send, over: Over) -> None:
        await close(send, *await over())

    async def _listen(self, receive: Receive, send: Send, do: Do) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text")
            if text is None:
                return await close(send, _NOT_TEXT, "requests are text")
            try:
                self._allowance.spend(self._monotonic())
                await do(parse(text))
            except RequestError as error:
                return await close(send, _POLICY, str(error))
        return None

    def _stir(self) -> None:
        self._stirred.set()


async def close(send: Send, code: int, reason: str) -> None:
    """Close it, if it still is open."""
    try:
        await send({"type": "websocket.close", "code": code, "reason": reason})
    except SocketClosedError:
        return
