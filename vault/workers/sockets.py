"""Websockets between worker and leader: the worker has the connection, the leader the application.

The leader calls the worker's `receive` and `send` as if they were its own, and each call waits for
its answer: a slow browser holds up its own feed, and nothing is gathered on the way to it.
"""

import logging
from collections.abc import MutableMapping
from typing import Any, Final, TypeAlias

import trio
from msgspec import Struct

from protocols.errors import locate
from protocols.http.asgi import App, Receive, Scope, Send
from protocols.http.errors import SocketClosedError
from vault.workers.wire import Lane

MOST_CALLS: Final = 64  # of one websocket at a time; an application has a few
Message: TypeAlias = MutableMapping[str, Any]

log: Final = logging.getLogger("freehold.workers")


class Met(Struct, frozen=True, array_like=True, tag="met"):
    """Worker: a websocket is offered."""

    id: int
    path: str
    headers: list[tuple[bytes, bytes]]
    client: tuple[str, int] | None


class Did(Struct, frozen=True, array_like=True, tag="did"):
    """Worker: what a call came to. `closed`: the websocket is."""

    id: int
    call: int
    message: Message | None = None
    closed: bool = False


class Left(Struct, frozen=True, array_like=True, tag="left"):
    """Worker: it is over here."""

    id: int


class Do(Struct, frozen=True, array_like=True, tag="do"):
    """Leader: send this; without a message, receive."""

    id: int
    call: int
    message: Message | None


class Over(Struct, frozen=True, array_like=True, tag="over"):
    """Leader: the application has returned, or has `failed`."""

    id: int
    failed: bool


FromWorker: TypeAlias = Met | Did | Left
FromLeader: TypeAlias = Do | Over


class SocketRelay:
    """The worker's: an ASGI application that has the leader serve. `run` must run meanwhile."""

    def __init__(self, lane: Lane[FromLeader]) -> None:
        self._lane = lane
        self._open: dict[int, trio.MemorySendChannel[FromLeader]] = {}
        self._last = 0

    async def run(self) -> None:
        """Hand out what the leader asks for, until the lane closes."""
        while True:
            order = await self._lane.next_message()
            orders = self._open.get(order.id)
            if orders is not None:  # else it is over here, and the leader will hear of it
                orders.send_nowait(order)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one websocket. Raises `RuntimeError` when the leader's application has failed."""
        self._last = number = self._last + 1
        self._open[number], orders = trio.open_memory_channel[FromLeader](MOST_CALLS)
        failed = False
        try:
            self._lane.post(Met(number, scope["path"], scope["headers"], scope.get("client")))
            async with trio.open_nursery() as nursery:
                async for order in orders:
                    if isinstance(order, Over):
                        failed = order.failed
                        nursery.cancel_scope.cancel()
                        break
                    nursery.start_soon(self._do, order, receive, send)
        finally:
            del self._open[number]
            self._lane.post(Left(number))
        if failed:
            raise RuntimeError("the leader could not serve this websocket")

    async def _do(self, order: Do, receive: Receive, send: Send) -> None:
        told = None
        try:
            if order.message is None:
                told = await receive()
            else:
                await send(order.message)
        except SocketClosedError:
            self._lane.post(Did(order.id, order.call, closed=True))
        else:
            self._lane.post(Did(order.id, order.call, told))


class SocketDesk:
    """The leader's, for one worker: has each websocket served, in a task of its own."""

    def __init__(self, lane: Lane[FromWorker], app: App) -> None:
        self._lane = lane
        self._app = app
        self._far: dict[int, _Far] = {}

    async def run(self) -> None:
        """Until the lane closes."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._lane.run)
            while True:
                match await self._lane.receive():
                    case Met() as met:
                        far = self._far[met.id] = _Far(self._lane, met.id)
                        nursery.start_soon(self._serve, met, far)
                    case Did() as did:
                        if did.id in self._far:
                            self._far[did.id].settle(did)
                    case Left(id=number):
                        if number in self._far:
                            self._far[number].scope.cancel()

    async def _serve(self, met: Met, far: "_Far") -> None:
        scope = {
            "type": "websocket",
            "path": met.path,
            "headers": met.headers,
            "client": met.client,
        }
        failed = False
        try:
            with far.scope:
                await self._app(scope, far.receive, far.send)
        except SocketClosedError:
            pass  # nobody is left to be told
        except Exception as error:  # noqa: BLE001  # as in a server: one browser's fault is no other's
            log.error("a websocket failed: %s", locate(error))  # noqa: TRY400  # its text could hold a secret
            failed = True
        del self._far[met.id]
        self._lane.post(Over(met.id, failed))


class _Far:
    """`receive` and `send` of a websocket that a worker has."""

    def __init__(self, lane: Lane[FromWorker], number: int) -> None:
        self.scope = trio.CancelScope()
        self._lane = lane
        self._id = number
        self._last = 0
        self._waiting: dict[int, tuple[trio.Event, list[Did]]] = {}

    async def receive(self) -> Message:
        return await self._ask(None) or {}

    async def send(self, message: Message) -> None:
        await self._ask(message)

    def settle(self, did: Did) -> None:
        """What a call came to."""
        if (slot := self._waiting.get(did.call)) is not None:
            slot[1].append(did)
            slot[0].set()

    async def _ask(self, message: Message | None) -> Message | None:
        self._last = call = self._last + 1
        there, found = self._waiting[call] = (trio.Event(), [])
        try:
            self._lane.post(Do(self._id, call, message))
            await there.wait()
        finally:
            del self._waiting[call]
        if found[0].closed:
            raise SocketClosedError("the websocket is closed")
        return found[0].message
