"""How fast one connection may say what costs us a write though nothing of it is durable.

What is durable has its window and its cursor, pings have a pace of the session's own. Without these
one connection would decide how much of the writer's time is left for all others.

They do not bound an agent that comes anew for each word. It has them anew then, and its coming is a
write by itself. Nothing counts how often one comes: it has so many connections at a time
(`connections.MAX_CONNECTIONS_PER_AGENT`), its address so many handshakes
(`protocols.link.connection_admission`), and writes that wait are made together. To lock the agent
ends it.
"""

from typing import Final, NamedTuple, Self

from protocols.link.token_bucket import TokenBucket

REGISTRATIONS_PER_MINUTE: Final = 1
"""Agents register once in a session. With it goes the bundle anew, if the agent has lost it."""
HEALTH_CHANGES_PER_MINUTE: Final = 10
"""Changes of health and phase that are put on record. Those beyond are told with a later heartbeat,
if they last: of the shortest 1 s, most commonly of a minute."""
REPLAY_RESULTS_PER_MINUTE: Final = 80
"""And as many at once. An agent ends a session with more than 60 questions at once and 60 a minute,
and works on 8 more from before."""


class ConnectionRateLimits(NamedTuple):
    """Of one connection; the next one begins with all of them unused."""

    registrations: TokenBucket
    health_changes: TokenBucket
    replay_results: TokenBucket

    @classmethod
    def unused(cls, now: float) -> Self:
        """All of them unused."""
        a_minute = (REGISTRATIONS_PER_MINUTE, HEALTH_CHANGES_PER_MINUTE, REPLAY_RESULTS_PER_MINUTE)
        return cls(*(TokenBucket(each, each, now) for each in a_minute))
