"""What a page can follow while it is open, and where that lies in the path space of policies."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from vault.model.path import ResourcePath

TOPIC_PATHS: Final[Mapping[str, ResourcePath]] = {
    "health": ResourcePath.parse("sys/health"),
    "actors": ResourcePath.parse("sys/tree"),
    "link": ResourcePath.parse("sys/link"),
    "audit": ResourcePath.parse("sys/audit"),
    "verification": ResourcePath.parse("sys/audit-verification"),
}
"""Topic → what it takes `read` on, as the same thing does over REST."""

TopicRows = dict[str, dict[str, Any]]
ReadTopic = Callable[[], Awaitable[TopicRows]]
"""All rows of a topic as of now. Raises `VaultError`."""


@dataclass(frozen=True)
class TopicWatch:
    """A topic to follow: how to read it, and whether the subscriber still may."""

    read: ReadTopic
    is_allowed: Callable[[], bool]
