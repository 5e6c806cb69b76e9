"""How an agent's backups do, as it reports to the control plane and to people."""

from enum import StrEnum

from msgspec import Struct


class BackupState(StrEnum):
    """The worst that applies; `OFF`: no schedule makes backups."""

    OFF = "off"
    GOOD = "good"
    LATE = "late"
    FAILED = "failed"
    UNPROVEN = "unproven"


class BackupReport(Struct, frozen=True):
    """`newest`, `proven`: when the newest backup was made, and the newest that was restored.

    Times in nanoseconds; 0 means never.
    """

    state: BackupState
    newest: int
    proven: int
    count: int


class RestoreProof(Struct, frozen=True):
    """The newest proven restore. Times in seconds; `certificate`: SHA-256, zeros without one.

    `rto`: how long the restore took; `rpo`: changes of so long would have been lost.
    """

    rto: int = 0
    rpo: int = 0
    certificate: bytes = bytes(32)
