"""Samples, alerts, audit events, witnessed checkpoints."""

from enum import StrEnum
from typing import Any, Final

from msgspec import Struct


class Sample(Struct, frozen=True):
    """Figures of one series over `resolution` seconds from `at` (Unix seconds); 0: a single one."""

    at: int
    count: int
    total: float
    low: float
    high: float
    last: float


class Severity(StrEnum):
    """How soon somebody should look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


_RANKS: Final = {severity: rank for rank, severity in enumerate(Severity)}


def is_at_least(least: Severity, severity: Severity) -> bool:
    """Whether `severity` is at least `least`."""
    return _RANKS[severity] >= _RANKS[least]


def most_severe(one: Severity, other: Severity) -> Severity:
    """The more severe of two."""
    return one if is_at_least(other, one) else other


class AlertState(StrEnum):
    """Where an alert is. An acknowledged one still fires; a resolved one is over."""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Alert(Struct, frozen=True):
    """One condition that a person should know, from its start to its end.

    A condition is named by organization, agent, code and subject. While it lasts there is one alert
    of it, however often it is reported. `vault` is empty for what concerns no single agent. Times
    are Unix nanoseconds, 0: not yet.
    """

    id: str
    org: str
    vault: str
    code: str
    severity: Severity
    message: str
    at: int
    acknowledged_by: str
    acknowledged_at: int
    subject: str = ""
    """What it is about: the agent's own random id, in hexadecimal, a roll-out's id, the other
    agent whose log it is, or the head that an audit log lacks; empty for nothing."""
    note: str = ""
    """What the person who acknowledged it had to say. It is told to nobody by a channel."""
    count: int = 1
    """How often it was reported."""
    last_at: int = 0
    """When it was reported last, by the control plane's clock."""
    ended_at: int = 0
    reopened: int = 0
    """How often it came back shortly after its end."""
    resolve_at: int = 0
    """When its end is to be notified; 0 once it was, and while it fires."""

    @property
    def state(self) -> AlertState:
        """Firing, acknowledged or resolved."""
        if self.ended_at:
            return AlertState.RESOLVED
        return AlertState.ACKNOWLEDGED if self.acknowledged_at else AlertState.FIRING

    @property
    def condition(self) -> tuple[str, str, str, str]:
        """What it is about: alerts with the same one are about the same thing."""
        return self.org, self.vault, self.code, self.subject


class AuditEvent(Struct, frozen=True):
    """One record of what somebody did or tried; `hash` commits to it and to all before it."""

    org: str
    seq: int
    at: int
    request_id: str
    actor: str
    token: str
    ip: str
    operation: str
    target: str
    phase: str
    """`intent` before a change, `outcome` after it or after a refusal."""
    result: str
    """`ok`, `denied` or `failed`."""
    code: str
    detail: dict[str, Any]
    previous: bytes
    hash: bytes


class WitnessedCheckpoint(Struct, frozen=True):
    """The newest checkpoint of an agent's audit log that was cosigned, at that time."""

    org: str
    vault: str
    size: int
    root: bytes
    note: str
    at: int
    fault: str
    """`fork`, `rollback` or `key` once the agent showed a log that contradicts; else empty."""
    signer: bytes = b""
    """The log's own key, pinned when it was first seen; empty until then."""


class WitnessedLog(Struct, frozen=True):
    """The newest checkpoint of one log that was cosigned, whichever enrolment showed it.

    A log is its origin and its key. `org` and `vault` are those of the enrolment that showed it.
    """

    origin: str
    signer: bytes
    size: int
    root: bytes
    note: str
    at: int
    org: str
    vault: str
    disputed: bool = False
    """Whether an enrolment has shown another history since: a person may accept that."""
