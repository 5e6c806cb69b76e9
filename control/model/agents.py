"""Agents and their life cycle."""

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


LIFECYCLE_TRANSITIONS: Final[dict[Life, frozenset[Life]]] = {
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


class Health(StrEnum):
    """How an agent says that it is; what it said last stands while it is silent."""

    UNSAID = ""
    SERVING = "serving"
    DEGRADED = "degraded"
    """It serves, and something is wrong with it."""
    SEALED = "sealed"
    REFUSING = "refusing"
    """It is open and serves nothing: no audit sink accepts records."""


class State(StrEnum):
    """The one word for an agent that pages, API, CLI, metrics and reports show."""

    PENDING = "pending"
    LOCKED = "locked"
    RETIRED = "retired"
    UNKNOWN = "unknown"
    OFFLINE = "offline"
    SEALED = "sealed"
    REFUSING = "refusing"
    LATE = "late"
    DEGRADED = "degraded"
    ONLINE = "online"


SERVING: Final = frozenset({State.ONLINE, State.DEGRADED})
"""States of agents that are heard and give out secrets."""


def status_of(life: Life, presence: Presence, health: Health) -> State:
    """The state of an agent: life goes before presence, presence before health."""
    if life is not Life.ACTIVE:
        return State(life.value)
    if presence in (Presence.UNKNOWN, Presence.OFFLINE):
        return State(presence.value)
    if health in (Health.SEALED, Health.REFUSING):
        return State(health.value)
    if presence is Presence.LATE:
        return State.LATE
    return State.DEGRADED if health is Health.DEGRADED else State.ONLINE


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
    health: Health = Health.UNSAID
    vault_id: str = ""
    """Of the vault that it serves, as it says; empty for one that does not say it."""

    @property
    def state(self) -> State:
        """The one word for it."""
        return status_of(self.life, self.presence, self.health)


class TargetedAgent(NamedTuple):
    """The fields that decide which policies an agent has, and whether it is waited for."""

    vault: str
    life: Life
    tags: tuple[str, ...]
    presence: Presence
    last_seen: int


def with_life(agent: Agent, life: Life, reason: str, *, now: int) -> Agent:
    """The agent with another life.

    An agent that is not active is not heard: its last message stays.
    """
    presence = agent.presence if life is Life.ACTIVE else Presence.UNKNOWN
    health = agent.health if life is Life.ACTIVE else Health.UNSAID
    return replace(
        agent, life=life, reason=reason, presence=presence, health=health, changed_at=now
    )


def new_agent(org: str, vault: str, life: Life, *, now: int, tags: tuple[str, ...] = ()) -> Agent:
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
    state: State | None = None
    release: str = ""
    vault_id: str = ""
    after: str = ""
    limit: int = 100
