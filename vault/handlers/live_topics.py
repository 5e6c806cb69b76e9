"""How each topic reads as rows: times in Unix seconds, durations in milliseconds.

Pages of either side draw the same things, so a topic has the columns that the control plane's has.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from actors.tree import Node
from vault.audit.query import AuditQuery
from vault.handlers.audit import AuditSearch
from vault.model.instant import SECOND
from vault.model.live_topics import ReadTopic, TopicRows

MAX_EVENTS: Final = 50
"""The newest so many are followed; older ones are searched for."""
INSTANT_FIELDS: Final = frozenset(
    {
        "opened_at", "key_created_at", "since", "certificate_expires", "connected_at",
        "policy_expires", "began", "ended", "time",
    }
)  # fmt: skip
MICRO: Final = 1e6


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
