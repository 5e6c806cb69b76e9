"""What the runtime looks like right now, frozen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MailboxStats:
    """One mailbox. Counts are since its supervisor's start and survive restarts."""

    depth: int
    bound: int
    overflow: str
    waiting: int
    """Senders that wait for room."""
    dropped: int
    """Queued messages that made room for newer ones."""
    refused: int
    """Messages turned away for want of room."""
    expired: int
    """Asks whose deadline passed, begun or not."""
    lost: int
    """Accepted messages that were never begun, because the actor stopped for good."""


@dataclass(frozen=True, slots=True)
class Node:
    """One actor or supervisor of the tree. Times are in seconds."""

    name: str
    """The path from the root: `supervisor/child`."""
    kind: str
    """The class of the actor, or the strategy of a supervisor."""
    state: str
    """down, starting, running, ended (about to be judged) or done (will not come back)."""
    restarts: int = 0
    last_failure: str | None = None
    """The type of the last failure; never its text, which could carry a secret."""
    handled: int = 0
    """Messages served without a crash."""
    mean_time: float = 0.0
    """Busy time per message served."""
    max_time: float = 0.0
    """The longest turn (a whole batch counts as one)."""
    mailbox: MailboxStats | None = None
    children: tuple[Node, ...] = ()

    def walk(self) -> Iterator[Node]:
        """This node, then all below it, in start order."""
        yield self
        for child in self.children:
            yield from child.walk()
