"""Backups, and the runs that make or validate them, as operations ask for them and show them."""

from enum import StrEnum

from msgspec import Struct

from vault.model.backup import BackupState


class ListBackups(Struct, frozen=True, kw_only=True):
    """`destination`: of this one alone. `cursor`: of the page before."""

    destination: str = ""
    cursor: str = ""
    limit: int = 100


class CreateBackup(Struct, frozen=True, kw_only=True):
    """Make a backup at these destinations; none: at all of them. `full`: not an incremental one."""

    destinations: tuple[str, ...] = ()
    full: bool = False


class SelectBackup(Struct, frozen=True, kw_only=True):
    """The backup of the path, at this destination; empty: at the first one that has it."""

    destination: str = ""


class StoredBackup(Struct, frozen=True, kw_only=True):
    """A backup as its manifest says.

    `fault`: why nothing relies on it; empty: the vault has signed it, and what it builds on is
    there. `created` in Unix nanoseconds; 0: the manifest cannot be read.
    """

    id: str
    destination: str
    created: int = 0
    kind: str = ""
    base: str = ""
    commits: int = 0
    rows: int = 0
    bytes: int = 0
    fault: str = ""


class DestinationFault(Struct, frozen=True):
    """Why a destination does not list its backups."""

    destination: str
    code: str
    message: str


class BackupPage(Struct, frozen=True):
    """Some backups, the newest first; an empty `cursor` marks the last page."""

    backups: tuple[StoredBackup, ...]
    faults: tuple[DestinationFault, ...]
    cursor: str


class RunKind(StrEnum):
    """What a run does."""

    BACKUP = "backup"
    VALIDATION = "validation"


class RunOutcome(StrEnum):
    """How a run has ended, or that it has not."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunResult(Struct, frozen=True, kw_only=True):
    """What a run did at one destination. `removed`: backups that retention has removed.

    `rows_verified` of a validation; false: the backup is for recipients, so signatures and chunks
    were verified, and not the rows.
    """

    destination: str
    backup: str = ""
    kind: str = ""
    rows: int = 0
    bytes: int = 0
    removed: int = 0
    rows_verified: bool | None = None
    error_code: str = ""
    error: str = ""


class RunState(Struct, frozen=True, kw_only=True):
    """How far a run is. `total`: rows, about; None: not known. `bytes`: written or read so far.

    `phase` and `destination`: what it does now. Times in Unix nanoseconds; `ended` 0: not yet.
    """

    id: str
    kind: RunKind
    requested_by: str
    phase: str
    destination: str
    done: int
    total: int | None
    bytes: int
    started: int
    ended: int
    outcome: RunOutcome
    error_code: str
    error: str
    results: tuple[RunResult, ...]


class DestinationState(Struct, frozen=True, kw_only=True):
    """A destination. `failures`: runs that failed there since the last success; times as usual."""

    name: str
    location: str
    newest: int
    newest_full: int
    count: int
    next: int
    failures: int
    failed: int
    error_code: str
    error: str


class ScheduleState(Struct, frozen=True, kw_only=True):
    """When backups are made and how they do. `next`: 0 without a schedule. Durations in ns."""

    enabled: bool
    schedule: str
    full_interval: int
    retention_count: int
    retention_age: int
    state: BackupState
    next: int
    newest: int
    proven: int
    count: int
    destinations: tuple[DestinationState, ...]


class RunRequester(Struct, frozen=True, kw_only=True):
    """Who asked for a run, for the audit record of its end."""

    request_id: str
    id: str
    name: str
    method: str
    credential: str = ""
