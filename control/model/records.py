"""What is only ever added: figures, alerts, what people did, and what was witnessed."""

from enum import StrEnum
from typing import Any

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


class Alert(Struct, frozen=True):
    """Something that a person should know. `vault` is empty for what concerns no single agent."""

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
    """What it is about by the agent's own random id, in hexadecimal; empty for nothing."""
    note: str = ""
    """What the person who acknowledged it had to say. It is told to nobody by a channel."""


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


class Witnessed(Struct, frozen=True):
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
