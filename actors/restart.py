"""The restart decision: a pure function of policy, failure times, now and chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

_MAX_DOUBLINGS = 62  # keeps 2**n an exact float however high an intensity is allowed


class Restart(Enum):
    """When a child that ended is started again (OTP's words)."""

    PERMANENT = "permanent"
    """Always; an end of its own will counts as a failure."""
    TRANSIENT = "transient"
    """After a failure only."""
    TEMPORARY = "temporary"
    """Never."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """At most `intensity` restarts within `window` seconds, then escalate.

    The n-th failure within the window waits `backoff_base * 2**(n-1)` seconds, at most
    `backoff_cap`, of which jitter takes up to half.
    """

    intensity: int = 5
    window: float = 60.0
    backoff_base: float = 0.1
    backoff_cap: float = 5.0

    def __post_init__(self) -> None:
        if self.intensity < 0 or self.window <= 0:
            raise ValueError("intensity is at least 0 and window above 0")
        if not 0 <= self.backoff_base <= self.backoff_cap:
            raise ValueError("0 <= backoff_base <= backoff_cap")


@dataclass(frozen=True, slots=True)
class RestartAfter:
    """Restart after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class Escalate:
    """Too many failures: the supervisor itself fails."""

    failures: int


def recent_failures(
    policy: RestartPolicy, failure_times: Sequence[float], now: float
) -> list[float]:
    """The failures that still count: those younger than the window."""
    return [time for time in failure_times if now - time < policy.window]


def decide_restart(
    policy: RestartPolicy, failure_times: Sequence[float], now: float, jitter: float
) -> RestartAfter | Escalate:
    """What follows the last of `failure_times` (seconds, any order; jitter in [0, 1))."""
    failures = len(recent_failures(policy, failure_times, now))
    if failures > policy.intensity:
        return Escalate(failures)
    doublings = min(max(failures - 1, 0), _MAX_DOUBLINGS)
    delay = min(policy.backoff_base * 2.0**doublings, policy.backoff_cap)
    return RestartAfter(delay * (1.0 - jitter / 2.0))
