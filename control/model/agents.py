"""Agents as the control plane knows them, and the table of their life."""

from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace


class Life(StrEnum):
    """Where an agent is in its life; a person decides."""

    PENDING = "pending"
    ACTIVE = "active"
    LOCKED = "locked"
    RETIRED = "retired"


NEXT: Final[dict[Life, frozenset[Life]]] = {
    Life.PENDING: frozenset({Life.ACTIVE, Life.RETIRED}),
    Life.ACTIVE: frozenset({Life.LOCKED, Life.RETIRED}),
    Life.LOCKED: frozenset({Life.ACTIVE, Life.RETIRED}),
    Life.RETIRED: frozenset(),
}
"""What may follow what. Retired is for good: a name that comes back would inherit a history."""


class Presence(StrEnum):
    """Whether an agent is heard; its silence decides."""

    UNKNOWN = "unknown"
    """Never heard since it became active; so is one that is locked or retired."""
    ONLINE = "online"
    LATE = "late"
    OFFLINE = "offline"


class Agent(Struct, frozen=True):
    """One vault of one organization. `last_seen` is 0 before the first word."""

    org: str
    vault: str
    life: Life
    reason: str
    tags: tuple[str, ...]
    presence: Presence
    last_seen: int
    facts: dict[str, str | int]
    """What its registration said: release, platform, backend and so on."""
    created_at: int
    changed_at: int


class Member(NamedTuple):
    """What decides which policies an agent has, and whether they are waited for."""

    vault: str
    life: Life
    tags: tuple[str, ...]
    presence: Presence
    last_seen: int


def living(agent: Agent, life: Life, reason: str, *, now: int) -> Agent:
    """The agent in another life. Nobody listens for one that is not active: its last word stays."""
    presence = agent.presence if life is Life.ACTIVE else Presence.UNKNOWN
    return replace(agent, life=life, reason=reason, presence=presence, changed_at=now)


def newcomer(org: str, vault: str, life: Life, *, now: int, tags: tuple[str, ...] = ()) -> Agent:
    """An agent that was never heard."""
    return Agent(
        org=org,
        vault=vault,
        life=life,
        reason="",
        tags=tags,
        presence=Presence.UNKNOWN,
        last_seen=0,
        facts={},
        created_at=now,
        changed_at=now,
    )


class AgentFilter(Struct, frozen=True, kw_only=True):
    """Which agents of an organization; unset means any. In the order of their names."""

    tag: str = ""
    life: Life | None = None
    presence: Presence | None = None
    release: str = ""
    after: str = ""
    limit: int = 100
