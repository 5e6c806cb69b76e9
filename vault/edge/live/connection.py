"""One browser that is connected: what it asks for, what it is told, and the end of its session."""

from dataclasses import dataclass
from typing import Final

from actors.world import World
from protocols.http.asgi import Receive, Send
from protocols.live.connection import CLOSE_SESSION_ENDED, FeedConnection
from protocols.live.limits import LiveLimits
from protocols.live.requests import UnwatchRequest, WatchRequest
from vault import operations
from vault.authn.stream_subscriber import StreamSubscriber
from vault.edge.live.hub import TopicHub
from vault.errors import ValidationError, VaultError
from vault.model.live_topics import TOPIC_PATHS, TopicWatch
from vault.model.operation import Operation
from vault.model.payloads import Nothing
from vault.seal.manager import SealManager

SESSION_CHECK_INTERVAL: Final = 5.0
"""Seconds between looks at session and policies. A revocation does not wait for it."""


@dataclass(frozen=True)
class LiveContext:
    """What all browsers of this agent share."""

    seal: SealManager
    hub: TopicHub
    world: World
    bounds: LiveLimits = LiveLimits()  # noqa: RUF009  # frozen


class LiveConnection:
    """One websocket. `op` is what opened it: who asks, and from where."""

    def __init__(
        self,
        context: LiveContext,
        subscriber: StreamSubscriber,
        op: Operation[Nothing, StreamSubscriber],
    ) -> None:
        self._seal = context.seal
        self._hub = context.hub
        self._subscriber = subscriber
        self._op = op
        self._world = context.world
        self._watched: dict[int, TopicWatch] = {}
        self._talk = FeedConnection(context.bounds, context.world.monotonic)
        self._feed = self._talk.feed

    async def run(self, receive: Receive, send: Send) -> None:
        """Until it is over."""
        try:
            await self._talk.run(receive, send, self._do, self._over)
        finally:
            for number in list(self._watched):
                self._end(number)

    async def _over(self) -> tuple[int, str]:
        while True:
            await self._world.sleep(SESSION_CHECK_INTERVAL)
            try:
                if not await self._subscriber.is_still_valid():
                    return CLOSE_SESSION_ENDED, "the session is over"
            except VaultError:
                continue  # the database does not answer for now; nothing else does either
            for number, watched in list(self._watched.items()):
                if not watched.is_allowed():
                    self._end(number)
                    self._feed.refuse_watch(number, "permission_denied", "permission denied")

    async def _do(self, request: WatchRequest | UnwatchRequest) -> None:
        if isinstance(request, UnwatchRequest):
            self._end(request.unwatch)
            return
        number = request.watch
        self._end(number)
        try:
            watched = await self._allowed(request)
        except VaultError as error:
            self._feed.refuse_watch(number, error.code, error.message)
            return
        self._hub.subscribe(watched.read, self._feed, number)
        self._watched[number] = watched

    async def _allowed(self, request: WatchRequest) -> TopicWatch:
        path = TOPIC_PATHS.get(request.topic)
        if path is None:
            raise ValidationError("topic_unknown", "there is no such topic")
        op = Operation(
            type=operations.WATCH_TOPIC,
            path=path,
            payload=self._subscriber,
            request_id=self._world.new_request_id(),
            credential=self._op.credential,
            origin=self._op.origin,
        )
        return await self._seal.run_operation(op)

    def _end(self, number: int) -> None:
        self._feed.remove_watch(number)
        if (watched := self._watched.pop(number, None)) is not None:
            self._hub.unsubscribe(watched.read, self._feed, number)
