"""Rotation policies, and the states that a rotation goes through. Instants are Unix nanoseconds.

A policy is kept with its secret, or with a folder for all secrets in it that have none of their
own. A rotation is one change of one secret's value, at its target and here.
"""

from enum import StrEnum, unique
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from protocols.instant import DAY, HOUR, SECOND
from protocols.link.limits import MAX_NOTIFY_CHANNELS
from protocols.link.vocabulary import RotationEvent

LEAST_INTERVAL: Final = 60 * SECOND
"""Between two rotations of one secret: whoever held the lease before is over by then."""
MOST_ATTEMPTS: Final = 100
MOST_GRACE: Final = 366 * DAY
MOST_ADOPTION_WINDOW: Final = 89 * DAY
"""A day less than consumers are kept (`vault.handlers.consumer_recorder.KEPT`)."""


class RetryPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a step is tried, and how long it waits in between: `base`, twice that, … `cap`."""

    attempts: Annotated[int, Meta(ge=1, le=MOST_ATTEMPTS)] = 5
    base: Annotated[int, Meta(ge=SECOND)] = 30 * SECOND
    cap: Annotated[int, Meta(ge=SECOND)] = HOUR


ChannelName = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=r"\A[!-~](?:[ -~]*[!-~])?\Z")
]


class Notify(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told of the rotations: channels of the control plane, by their names."""

    channels: Annotated[tuple[ChannelName, ...], Meta(min_length=1, max_length=MAX_NOTIFY_CHANNELS)]
    events: Annotated[
        tuple[RotationEvent, ...], Meta(min_length=1, max_length=len(RotationEvent))
    ] = (RotationEvent.FAILED, RotationEvent.STUCK, RotationEvent.LAGGING)


class RotationPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a secret is rotated, and how.

    `interval`: so long after its value was written; `cron`: at these times (UTC), beginning within
    `window`; `max_reads`: once the value was read so often since the last rotation, also beside
    one of the others; none of them: on request only.
    `rotator` and `config` are the kind and its settings; `connection` is the path of the secret
    that lets the rotator in at the target. `grace`: the old value works for so long behind the new
    one at most, even if an application has not fetched the new one yet, and shorter once all have
    that fetched the secret within `adoption_window` before the rotation began (0: never shorter).
    """

    rotator: str
    config: dict[str, Any] = {}
    connection: str = ""
    enabled: bool = True
    interval: int = 0
    cron: str = ""
    window: int = HOUR
    max_reads: Annotated[int, Meta(ge=0)] = 0
    grace: Annotated[int, Meta(ge=0, le=MOST_GRACE)] = DAY
    adoption_window: Annotated[int, Meta(ge=0, le=MOST_ADOPTION_WINDOW)] = 30 * DAY
    retry: RetryPolicy = RetryPolicy()
    notify: Notify | None = None

    def __post_init__(self) -> None:
        """Raise `ValueError` for settings that contradict each other."""
        if self.interval and self.cron:
            raise ValueError("give interval or cron, not both")
        if self.interval and self.interval < LEAST_INTERVAL:
            raise ValueError("interval is at least 1m")
        if self.cron and self.window < LEAST_INTERVAL:
            raise ValueError("window is at least 1m")
        if self.retry.cap < self.retry.base:
            raise ValueError("retry.cap is at least retry.base")


@unique
class RotationState(StrEnum):
    """What is durable of a rotation. The next step is tried until it is done, or given up."""

    PLANNED = "planned"
    """Nothing has happened. Next: make a new value and store it."""
    DRAFTED = "drafted"
    """The target makes the value, and how is stored. Next: have it do so, and store the value."""
    STORED = "stored"
    """The new value is stored, and nobody else has it. Next: apply it at the target."""
    APPLIED = "applied"
    """The target was told. Next: log in with the new value."""
    VERIFIED = "verified"
    """The new value works. Next: make it the secret's current version."""
    CURRENT = "current"
    """Applications get the new value. Next: wait until all users of the old one have fetched it."""
    ADOPTED = "adopted"
    """Nobody needs the old value. Next: retire it at the target."""
    RETIRED = "retired"
    """Over: the target refuses the old value."""
    UNDOING = "undoing"
    """The new value did not come to work. Next: put the target back to the old one."""
    UNDONE = "undone"
    """Over: the secret is what it was before."""
    STUCK = "stuck"
    """A step that must be done could not be: somebody has to look, and says how to go on."""


ENDED: Final = frozenset({RotationState.RETIRED, RotationState.UNDONE})
"""After these another rotation of the secret may begin."""


@unique
class RotationCause(StrEnum):
    """Why a rotation was begun."""

    SCHEDULE = "schedule"
    REQUEST = "request"
    COMPROMISE = "compromise"


ADOPTION_INCOMPLETE: Final = "adoption_incomplete"
"""Error code of a rotation whose grace period was over before all had fetched its value."""

ABANDONED: Final = "abandoned"
"""Error code of a rotation that a person gave up while it was stuck: its target was left as it was.
It is retired if its value is current, and undone otherwise."""


@unique
class AdoptionState(StrEnum):
    """Whether those who have an old value have the new one."""

    WAITING = "waiting"
    """Some have not, or it is not known yet."""
    ADOPTED = "adopted"
    """All have."""
    UNKNOWN = "unknown"
    """Nobody knows: the grace period decides."""


class AdoptionStatus(Struct, frozen=True, kw_only=True):
    """How far a new value has come. `laggards`: the names of those who have not fetched it.

    `fetched`: how many have. `reason`: why it is not known, or not yet.
    """

    state: AdoptionState
    laggards: list[str] = []
    fetched: int = 0
    reason: str = ""
