"""Backups of vaults as their agents report them, and what follows from their age.

The nodes of a vault report the same backups. The newest report counts, so that a node that was
away for a while, or makes none, neither fires an alert nor ends one. An agent that says the
id of another one's vault can so end that vault's alerts: that it came raises `vault_joined`
(docs/concepts/security.md).
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from control.model.conditions import BACKUP_FAILED, BACKUP_LATE, BACKUP_UNPROVEN
from control.model.vault_reports import ReportRecord
from protocols.instant import DAY, HOUR, SECOND
from protocols.link.vocabulary import BackupState

GRACE: Final = 2 * HOUR
"""How much later than by its schedule a backup may come."""
DEFAULT_PERIOD: Final = DAY
"""Of an agent that does not report the period of its schedule."""
PROOF_AGE: Final = 7 * DAY
"""A certificate is fresh while the backup that it proves is younger, or than two periods."""
NO_CERTIFICATE: Final = bytes(32)
_URGENCY: Final = {
    BackupState.OFF: 0,
    BackupState.GOOD: 1,
    BackupState.UNPROVEN: 2,
    BackupState.LATE: 3,
    BackupState.FAILED: 4,
}


class BackupRecord(ReportRecord, frozen=True):
    """What an agent reported last. Times are Unix nanoseconds, 0 for never; the rest seconds."""

    state: str
    newest: int
    proven: int
    count: int
    period: int
    rto: int
    rpo: int
    certificate: bytes
    at: int
    """When a report with this `newest` was first received; without one, the start of its age."""

    @property
    def reference(self) -> int:
        """The start of the age of its newest backup, whatever the agent's clock shows."""
        return min(self.newest, self.at) if self.newest else self.at


class VaultBackup(Struct, frozen=True):
    """The backups of a vault, as of one moment."""

    state: BackupState
    newest: int
    proven: int
    count: int
    rto: int
    rpo: int
    certificate: bytes
    is_fresh: bool
    """Whether a restore certificate proves a recent backup."""
    conditions: frozenset[str] = frozenset()
    """Codes of the alerts that fire."""

    @property
    def certificate_hex(self) -> str:
        """The hash of the newest restore certificate; empty without one."""
        return "" if self.certificate == NO_CERTIFICATE else self.certificate.hex()


def follow_report(before: BackupRecord | None, row: BackupRecord) -> BackupRecord:
    """The row to store: without another backup, the age goes on.

    Also if the agent knows of none any more: it was restarted, or its destination is away.
    """
    if before is None or before.state == BackupState.OFF:
        return row
    if before.newest == row.newest:
        return replace(row, at=before.at)
    return row if row.newest else replace(row, at=before.reference)


def judge_backups(rows: Iterable[BackupRecord], now: int) -> VaultBackup | None:
    """The state of a vault by the reports of its nodes; None if there is none."""
    known = list(rows)
    making = [row for row in known if row.state != BackupState.OFF] or known
    if not making:
        return None
    row = max(making, key=_authority)
    state = BackupState(row.state)
    conditions = set()
    if state is not BackupState.OFF and is_overdue(row, now):
        conditions.add(BACKUP_LATE)
        if state in (BackupState.GOOD, BackupState.UNPROVEN):
            state = BackupState.LATE
    match row.state:
        case BackupState.LATE:
            conditions.add(BACKUP_LATE)
        case BackupState.FAILED:
            conditions.add(BACKUP_FAILED)
        case BackupState.UNPROVEN:
            conditions.add(BACKUP_UNPROVEN)
    return VaultBackup(
        state=state,
        newest=row.newest,
        proven=row.proven,
        count=row.count,
        rto=row.rto,
        rpo=row.rpo,
        certificate=row.certificate,
        is_fresh=has_fresh_certificate(row, now),
        conditions=frozenset(conditions),
    )


def is_overdue(row: BackupRecord, now: int) -> bool:
    """Whether the next backup should have been made, by the clock of the control plane."""
    return now - row.reference > _period(row) + GRACE


def has_fresh_certificate(row: BackupRecord, now: int) -> bool:
    """Whether a restore certificate proves a recent backup."""
    age = now - min(row.proven, row.reference)
    is_proven = row.proven > 0 and row.certificate != NO_CERTIFICATE
    return is_proven and age <= max(PROOF_AGE, 2 * _period(row))


def _authority(row: BackupRecord) -> tuple[int | bytes, ...]:
    """Of reports of one vault the greatest counts, of equal ones the worst; in any order."""
    newest = row.reference if row.newest else 0
    urgency = _URGENCY[BackupState(row.state)]
    return newest, row.proven, urgency, -_period(row), -row.at, row.newest, row.certificate


def _period(row: BackupRecord) -> int:
    return row.period * SECOND if row.period else DEFAULT_PERIOD
