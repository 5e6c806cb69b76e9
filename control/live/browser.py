"""One browser that is connected: what it asks for, what it is told, and the end of its session."""

from msgspec.structs import replace

from control.api.plane import Plane
from control.authn.sessions import Visit
from control.errors import ControlError, ValidationError
from control.live.hub import Hub, View
from control.live.topics import TOPICS
from control.model.operation import Operation
from control.model.people import Caller
from protocols.http.scope import Receive, Send
from protocols.live.limits import Bounds
from protocols.live.requests import Unwatch, Watch
from protocols.live_talk import LATER, SESSION_OVER, Talk


class Browser:
    """One websocket: what it asks for, what it is told, whether its session lasts."""

    def __init__(self, plane: Plane, hub: Hub, visit: Visit, op: Operation, bounds: Bounds) -> None:
        self._plane = plane
        self._hub = hub
        self._visit = visit
        self._op = op
        self._views: dict[int, View] = {}
        self._talk = Talk(bounds, plane.world.monotonic)
        self._feed = self._talk.feed

    async def run(self, receive: Receive, send: Send) -> None:
        """Until it is over."""
        try:
            await self._talk.run(receive, send, self._do, self._over)
        finally:
            for number, view in self._views.items():
                self._hub.leave(view, self._feed, number)

    async def _over(self) -> tuple[int, str]:
        try:
            await self._plane.sessions.ended(self._visit)
        except ControlError:
            return LATER, "sessions cannot be looked at for now"
        return SESSION_OVER, "the session is over"

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
            raise ValidationError(
                "topic_unknown", "there is no such topic: docs/spec/live.md lists them"
            )
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
