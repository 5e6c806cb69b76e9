"""What pages follow while they are open. To begin is on record; what is told then is not each time.

So whoever follows is looked at again while he does: his credential, and his policies.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from actors.world import World
from vault import operations
from vault.authn.stream_registry import StreamRegistry
from vault.authn.stream_subscriber import StreamSubscriber
from vault.authn.tokens import Tokens
from vault.authz.access import AccessRequest
from vault.authz.authorizer import Authorizer
from vault.errors import ValidationError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.identity import Method
from vault.model.live_topics import TOPIC_PATHS, ReadTopic, TopicWatch
from vault.model.operation import Capability
from vault.model.payloads import Nothing


@dataclass(frozen=True)
class SubscriberAccess:
    """What says who may follow, and for how long."""

    tokens: Tokens
    streams: StreamRegistry
    authorizer: Authorizer
    world: World


@dataclass(frozen=True)
class LiveHandlers:
    """The handlers of `live.*`. `topics` has a reader for each of `TOPIC_PATHS`."""

    topics: Mapping[str, ReadTopic]
    access: SubscriberAccess

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.OPEN_FEED,
                run=self.open,
                capability=None,
                is_self_service=True,
                audit_response=_nothing,
            ),
            Handler(
                operations.WATCH_TOPIC,
                run=self.watch,
                capability=Capability.READ,
                audit_request=_nothing,
                audit_response=_nothing,
            ),
        )

    async def open(self, call: Call[Nothing]) -> StreamSubscriber:
        """Let a browser in. A page has a session, so it comes with a token."""
        if call.identity.method is not Method.TOKEN:
            raise ValidationError("session_missing", "a feed is opened by a browser's session")
        found = self.access
        return StreamSubscriber(call.identity, found.tokens, found.streams, found.world)

    async def watch(self, call: Call[StreamSubscriber]) -> TopicWatch:
        """Follow the topic whose path was authorized; the payload is the guest who asks."""
        guest = call.payload
        topic = next((name for name, path in TOPIC_PATHS.items() if path == call.op.path), "")
        if topic not in self.topics:
            raise ValidationError("topic_unknown", "there is no such topic")

        def allowed() -> bool:
            access = AccessRequest(
                capability=Capability.READ,
                path=call.op.path,
                identity=guest.identity,
                origin=call.op.origin,
                now=self.access.world.now(),
            )
            return self.access.authorizer.decide(access).allowed

        return TopicWatch(self.topics[topic], allowed)


def _nothing(_: object) -> None:
    """Guest and readers are no data: who follows what is in the record's name and path."""
