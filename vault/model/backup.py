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
