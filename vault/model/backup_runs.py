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


class RestoreSecrets(Struct, frozen=True, kw_only=True):
    """Put secrets of the backup of the path back into the vault, each as a new version.

    `names` that end with a slash are folders. `overwrite`: also where there is a value now.
    """

    destination: str = ""
    names: tuple[str, ...] = ()
    dry_run: bool = False
    overwrite: bool = False


class StoredCertificate(Struct, frozen=True, kw_only=True):
    """A restore certificate that the vault has signed. `finished` in Unix nanoseconds.

    `rto_ms` None: only signatures and chunks were verified, since the backup is for recipients.
    """

    name: str
    finished: int
    depth: str
    rto_ms: int | None
    rpo_ms: int
    rows: int
    sha256: str


class StoredBackup(Struct, frozen=True, kw_only=True):
    """A backup as its manifest says.

    `fault`: why nothing relies on it; empty: the vault has signed it, and what it builds on is
    there. `created` in Unix nanoseconds; 0: the manifest cannot be read. `certificate`: the newest.
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
    certificate: StoredCertificate | None = None


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
    RESTORE = "restore"


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


class RestoreAction(StrEnum):
    """What a restore does with a secret, or did.

    `create`: there was none. `write`: a version on top of the ones that are there. `keep`: there is
    a value, and `overwrite` was not asked for. `skip`: the backup has no value of it. `missing`:
    the backup has nothing of this name that the caller may write. `failed`: its write was refused.
    """

    CREATE = "create"
    WRITE = "write"
    KEEP = "keep"
    SKIP = "skip"
    MISSING = "missing"
    FAILED = "failed"


class RestoredSecret(Struct, frozen=True, kw_only=True):
    """What a restore did with a secret; of a dry run, what it would do.

    `current_version`: before it; 0: there was none. `written_version` 0: nothing was written.
    `error_code`: of the write that was refused, or of what came after it.
    """

    name: str
    action: RestoreAction
    backup_version: int = 0
    current_version: int = 0
    written_version: int = 0
    error_code: str = ""
    note: str = ""


class ListRestored(Struct, frozen=True, kw_only=True):
    """`cursor`: of the page before."""

    cursor: str = ""
    limit: int = 100


class RestoredPage(Struct, frozen=True):
    """Some secrets of a restore by name; an empty `cursor` marks the last page."""

    secrets: tuple[RestoredSecret, ...]
    cursor: str


class RunState(Struct, frozen=True, kw_only=True):
    """How far a run is. `total`: rows, about; None: not known. `bytes`: written or read so far.

    `node`: of the agent whose run it is. `phase` and `destination`: what it does now. Times in Unix
    nanoseconds; `ended` 0: not yet. `secrets`: of a restore, how many by `RestoreAction`.
    """

    id: str
    node: str
    kind: RunKind
    dry_run: bool
    secrets: dict[str, int]
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
