"""Replays: a candidate policy and agents' answers about past accesses."""

from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

MAX_AGENTS: Final = 1_000  # of one replay


class State(StrEnum):
    """How far it is at one agent."""

    WAITING = "waiting"
    """The agent was not there to be asked so far."""
    ASKED = "asked"
    DONE = "done"
    REFUSED = "refused"
    """The agent's owner does not answer these."""
    TOO_MANY = "too_many"
    INVALID = "invalid"
    UNAVAILABLE = "unavailable"
    EXPIRED = "expired"
    """It was asked and has not answered in time."""
    TOO_OLD = "too_old"
    """Its version of the link has no such question."""
    OFFLINE = "offline"
    """It was not there in time."""


OPEN_STATES: Final = (State.WAITING, State.ASKED)


class Replay(Struct, frozen=True):
    """What is asked. Times are Unix nanoseconds; `version` 0 is a draft that was never saved."""

    org: str
    id: str
    policy: str
    version: int
    document: Any
    since: int
    until: int
    created_by: str
    created_at: int
    expires_at: int


class Change(Struct, frozen=True):
    """Accesses of one identity to one secret, by opaque ids in hex; `secret` empty for none."""

    identity: str
    secret: str
    denied: int
    allowed: int


class ReplayNumbers(Struct, frozen=True, kw_only=True):
    """What an agent told (reference/policies.md); all 0 unless it is done. `reached`: Unix ns."""

    reached: int = 0
    records: int = 0
    accesses: int = 0
    unchanged: int = 0
    denied: int = 0
    allowed: int = 0
    drifted: int = 0
    undecided: dict[str, int] = {}
    changes: tuple[Change, ...] = ()


class ReplayAgent(Struct, frozen=True):
    """One agent of a replay."""

    org: str
    replay: str
    vault: str
    state: State
    numbers: ReplayNumbers
    changed_at: int

    def as_of(self, now: int, expires_at: int) -> "ReplayAgent":
        """As it counts now: what was not answered in time never will be."""
        if self.state not in OPEN_STATES or now < expires_at:
            return self
        over = State.OFFLINE if self.state is State.WAITING else State.EXPIRED
        return ReplayAgent(self.org, self.replay, self.vault, over, self.numbers, expires_at)
