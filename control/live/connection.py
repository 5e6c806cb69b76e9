"""One browser that is connected: what it asks for, what it is told, and the end of its session."""

from msgspec.structs import replace

from control.api.control_plane import ControlPlane
from control.authn.sessions import ActiveSession
from control.errors import ControlError, ValidationError
from control.live.hub import LiveHub, ViewKey
from control.live.topics import TOPICS
from control.model.operation import Operation
from control.model.people import Caller
from protocols.http.asgi import Receive, Send
from protocols.live.connection import CLOSE_SESSION_ENDED, CLOSE_TRY_AGAIN_LATER, FeedConnection
from protocols.live.limits import LiveLimits
from protocols.live.requests import UnwatchRequest, WatchRequest


class LiveConnection:
    """One websocket: what it asks for, what it is told, whether its session lasts."""

    def __init__(
        self,
        plane: ControlPlane,
        hub: LiveHub,
        visit: ActiveSession,
        op: Operation,
        bounds: LiveLimits,
    ) -> None:
        self._plane = plane
        self._hub = hub
        self._visit = visit
        self._op = op
        self._views: dict[int, ViewKey] = {}
        self._talk = FeedConnection(bounds, plane.world.monotonic)
        self._feed = self._talk.feed

    async def run(self, receive: Receive, send: Send) -> None:
        """Until it is over."""
        try:
            await self._talk.run(receive, send, self._handle_request, self._wait_session_end)
        finally:
            for number, view in self._views.items():
                self._hub.unsubscribe(view, self._feed, number)

    async def _wait_session_end(self) -> tuple[int, str]:
        try:
            await self._plane.sessions.wait_ended(self._visit)
        except ControlError:
            return CLOSE_TRY_AGAIN_LATER, "sessions cannot be looked at for now"
        return CLOSE_SESSION_ENDED, "the session is over"

    async def _handle_request(self, request: WatchRequest | UnwatchRequest) -> None:
        if isinstance(request, UnwatchRequest):
            self._end_view(request.unwatch)
            return
        number = request.watch
        self._end_view(number)
        try:
            view = await self._authorize_view(request)
        except ControlError as error:
            self._feed.refuse_watch(number, error.code, error.message)
            return
        self._hub.subscribe(view, self._feed, number)
        self._views[number] = view

    def _end_view(self, number: int) -> None:
        self._feed.remove_watch(number)
        view = self._views.pop(number, None)
        if view is not None:
            self._hub.unsubscribe(view, self._feed, number)

    async def _authorize_view(self, request: WatchRequest) -> ViewKey:
        """What is asked for, if this caller may see it; refusals go on the trail as any other's."""
        kind = TOPICS.get(request.topic)
        if kind is None:
            raise ValidationError(
                "topic_unknown", "there is no such topic: docs/spec/live.md lists them"
            )
        if bool(request.of) is not kind.of:
            raise ValidationError("of_missing", "this topic is about one agent: say which, or not")
        view = ViewKey(request.topic, request.org, request.of)
        op = replace(
            self._op,
            name="live.watch",
            request_id=self._plane.world.new_id(),
            org=request.org,
            role=kind.role,
            anyone=False,
            target="/".join(filter(None, (request.topic, request.of))),
        )

        async def exists(caller: Caller) -> ViewKey:
            if caller.org != view.org:
                await self._plane.users.get_organization(view.org)
            if view.of:
                await self._plane.agents.get_agent(view.org, view.of)
            return view

        return await self._plane.pipeline.run(op, exists)
