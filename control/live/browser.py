"""One browser that is connected: what it asks for, what it is told, and the end of its session."""

from typing import Final

import trio
from msgspec.structs import replace

from control.api.plane import Plane
from control.authn.sessions import Visit
from control.errors import ControlError, ValidationError
from control.live.hub import Hub, View
from control.live.topics import TOPICS
from control.model.operation import Operation
from control.model.people import Caller
from protocols.http.errors import SocketClosedError
from protocols.http.scope import Receive, Send
from protocols.live.feed import Feed
from protocols.live.limits import Bounds
from protocols.live.requests import Allowance, RequestError, Unwatch, Watch, parse

SESSION_OVER: Final = 4401
_NOT_TEXT: Final = 1003  # RFC 6455, 7.4.1
_POLICY: Final = 1008
_LATER: Final = 1013  # IANA's registry of close codes


class Browser:
    """One websocket. Three tasks: what it asks, what it is told, whether its session lasts."""

    def __init__(self, plane: Plane, hub: Hub, visit: Visit, op: Operation, bounds: Bounds) -> None:
        self._plane = plane
        self._hub = hub
        self._visit = visit
        self._op = op
        self._views: dict[int, View] = {}
        self._stirred = trio.Event()
        self._feed = Feed(bounds, self._stir)
        self._allowance = Allowance(bounds, plane.world.monotonic())

    async def run(self, receive: Receive, send: Send) -> None:
        """Until it is over."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell, send)
                nursery.start_soon(self._watch_over, send)
                await self._listen(receive, send)
                nursery.cancel_scope.cancel()
        finally:
            for number, view in self._views.items():
                self._hub.leave(view, self._feed, number)

    async def _tell(self, send: Send) -> None:
        try:
            while True:
                self._stirred = trio.Event()
                while (message := self._feed.next()) is not None:
                    await send({"type": "websocket.send", "text": message})
                    await trio.lowlevel.checkpoint()
                await self._stirred.wait()
        except SocketClosedError:
            return  # `_listen` hears of it

    async def _watch_over(self, send: Send) -> None:
        try:
            await self._plane.sessions.ended(self._visit)
        except ControlError:
            await _close(send, _LATER, "sessions cannot be looked at for now")
        else:
            await _close(send, SESSION_OVER, "the session is over")

    async def _listen(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text")
            if text is None:
                return await _close(send, _NOT_TEXT, "requests are text")
            try:
                self._allowance.spend(self._plane.world.monotonic())
                await self._do(parse(text))
            except RequestError as error:
                return await _close(send, _POLICY, str(error))
        return None

    async def _do(self, request: Watch | Unwatch) -> None:
        if isinstance(request, Unwatch):
            self._end(request.unwatch)
            return
        number = request.watch
        self._end(number)
        try:
            view = await self._allowed(request)
        except ControlError as error:
            self._feed.refuse(number, error.code, error.message)
            return
        self._hub.join(view, self._feed, number)
        self._views[number] = view

    def _end(self, number: int) -> None:
        self._feed.unwatch(number)
        view = self._views.pop(number, None)
        if view is not None:
            self._hub.leave(view, self._feed, number)

    async def _allowed(self, request: Watch) -> View:
        """What is asked for, if this caller may see it; refusals go on the trail as any other's."""
        kind = TOPICS.get(request.topic)
        if kind is None:
            raise ValidationError("topic_unknown", "there is no such topic")
        if bool(request.of) is not kind.of:
            raise ValidationError("of_missing", "this topic is about one agent: say which, or not")
        view = View(request.topic, request.org, request.of)
        op = replace(
            self._op,
            name="live.watch",
            request_id=self._plane.world.new_id(),
            org=request.org,
            role=kind.role,
            anyone=False,
            target="/".join(filter(None, (request.topic, request.of))),
        )

        async def exists(caller: Caller) -> View:
            if caller.org != view.org:
                await self._plane.users.organization(view.org)
            if view.of:
                await self._plane.registry.get(view.org, view.of)
            return view

        return await self._plane.pipeline.run(op, exists)

    def _stir(self) -> None:
        self._stirred.set()


async def _close(send: Send, code: int, reason: str) -> None:
    try:
        await send({"type": "websocket.close", "code": code, "reason": reason})
    except SocketClosedError:
        return
