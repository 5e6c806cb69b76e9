"""Topics that web pages follow while they are open.

Only the beginning of a subscription is on the audit log, not each update. So the credential and the
policies of the subscriber are checked again while the subscription lasts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import Struct

from actors.tree import Node
from actors.world import World
from protocols.instant import SECOND
from vault import operations
from vault.audit.query import AuditQuery
from vault.authn.stream_registry import StreamRegistry
from vault.authn.stream_subscriber import StreamSubscriber
from vault.authn.tokens import Tokens
from vault.authz.access import AccessRequest
from vault.authz.authorizer import Authorizer
from vault.errors import ValidationError
from vault.handlers.audit import AuditSearch
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.live_topics import TOPIC_PATHS, ReadTopic, TopicRows, TopicWatch
from vault.model.operation import Capability
from vault.model.payloads import Nothing

MAX_EVENTS: Final = 50
"""The newest so many are followed; older ones are searched for."""
INSTANT_FIELDS: Final = frozenset(
    {
        "opened_at", "key_created_at", "since", "certificate_expires", "connected_at",
        "policy_expires", "began", "ended", "time",
    }
)  # fmt: skip
MICRO: Final = 1e6


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
        if not call.identity.holds_token:
            raise ValidationError("session_missing", "a feed is opened by a browser's session")
        found = self.access
        return StreamSubscriber(call.identity, found.tokens, found.streams, found.world)

    async def watch(self, call: Call[StreamSubscriber]) -> TopicWatch:
        """Follow the topic whose path was authorized; the payload is the subscriber."""
        subscriber = call.payload
        topic = next((name for name, path in TOPIC_PATHS.items() if path == call.op.path), "")
        if topic not in self.topics:
            raise ValidationError("topic_unknown", "there is no such topic")

        def allowed() -> bool:
            access = AccessRequest(
                capability=Capability.READ,
                path=call.op.path,
                identity=subscriber.identity,
                origin=call.op.origin,
                now=self.access.world.now(),
            )
            return self.access.authorizer.decide(access).allowed

        return TopicWatch(self.topics[topic], allowed)


def _nothing(_: object) -> None:
    """Subscriber and readers are no data: who follows what is in the record's name and path."""


def state_reader(state: Callable[[], Struct]) -> ReadTopic:
    """One row, `now`, with the state's fields."""

    async def read() -> TopicRows:
        return {"now": _columns(state())}

    return read


def actor_reader(tree: Callable[[], Node]) -> ReadTopic:
    """A row for each actor, by its path."""

    async def read() -> TopicRows:
        return {node.name: _actor(node) for node in tree().walk()}

    return read


def event_reader(index: AuditSearch) -> ReadTopic:
    """A row for each of the newest events, by its number."""

    async def read() -> TopicRows:
        page = await index.search(AuditQuery(limit=MAX_EVENTS))
        return {str(row.seq): _columns(row) for row in page.events}

    return read


def _columns(state: Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(state)
    return {
        name: value / SECOND if name in INSTANT_FIELDS and isinstance(value, int) else value
        for name, value in plain.items()
    }


def _actor(node: Node) -> dict[str, Any]:
    box = node.mailbox
    return {
        "path": node.name,
        "state": node.state,
        "restarts": node.restarts,
        "handled": node.handled,
        "mean_us": round(node.mean_time * MICRO),
        "max_us": round(node.max_time * MICRO),
        "depth": box.depth if box else 0,
        "bound": box.bound if box else 0,
        "refused": box.refused if box else 0,
        "dropped": box.dropped if box else 0,
    }
