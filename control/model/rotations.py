"""Rotations and leases of vaults as their agents report them, and what follows from them.

One node of a vault counts them at a time. The newest look counts, so a node that reported before
neither fires an alert nor ends one.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from msgspec import Struct

from control.model.conditions import (
    LEASES_IRREVOCABLE,
    LEASES_UNRENEWED,
    ROTATION_LAGGING,
    ROTATION_OVERDUE,
    ROTATION_STUCK,
)
from control.model.vault_reports import ReportRecord
from protocols.instant import HOUR

LATE_AFTER: Final = 2 * HOUR
"""Behind the time that a rotation was due, if no report says that it was done."""


class RotationDebt(StrEnum):
    """How the rotations of a vault do: the worst that applies."""

    NONE = "none"
    """No secret has a rotation policy."""
    GOOD = "good"
    FAILING = "failing"
    """A rotation was undone; it is tried again."""
    OVERDUE = "overdue"
    STUCK = "stuck"


class RotationRecord(ReportRecord, frozen=True):
    """What an agent reported last. Times are Unix nanoseconds, 0 for never."""

    counted_at: int
    policies: int
    unmanaged: int
    due: int
    overdue: int
    overdue_since: int
    next_due: int
    running: int
    waiting: int
    failing: int
    stuck: int
    rotated_day: int
    rotated_month: int
    leases: int
    revoking: int
    irrevocable: int
    notices: tuple[str, ...]
    """Ids of the notices that were in it: they are told once."""
    at: int
    """When it was received."""
    lagging: int = 0
    """Rotations whose new value an application is late to fetch; 0 from an agent that does not say
    it, as is the next."""
    unrenewed: int = 0
    """Clients that ask for new credentials instead of renewing."""


class VaultRotations(Struct, frozen=True):
    """The rotations and leases of a vault, as of one moment."""

    state: RotationDebt
    counts: RotationRecord
    overdue: int
    overdue_since: int
    conditions: frozenset[str] = frozenset()
    """Codes of the alerts that fire."""

    @property
    def owed(self) -> int:
        """The rotation debt: what should have been rotated, and what waits for a person."""
        return self.overdue + self.counts.stuck


def judge_rotations(rows: Iterable[RotationRecord], now: int) -> VaultRotations | None:
    """The state of a vault by the reports of its nodes; None if there is none."""
    row = max(rows, key=_authority, default=None)
    if row is None:
        return None
    overdue, since = row.overdue, row.overdue_since
    if row.next_due and now - row.next_due > LATE_AFTER:  # the agent is away, sealed or paused
        overdue, since = overdue + 1, min(since or row.next_due, row.next_due)
    conditions = {
        code
        for code, count in (
            (ROTATION_OVERDUE, overdue),
            (ROTATION_STUCK, row.stuck),
            (LEASES_IRREVOCABLE, row.irrevocable),
            (ROTATION_LAGGING, row.lagging),
            (LEASES_UNRENEWED, row.unrenewed),
        )
        if count
    }
    state = RotationDebt.GOOD if row.policies else RotationDebt.NONE
    if row.failing:
        state = RotationDebt.FAILING
    if overdue:
        state = RotationDebt.OVERDUE
    if row.stuck:
        state = RotationDebt.STUCK
    return VaultRotations(state, row, overdue, since, frozenset(conditions))


def _authority(row: RotationRecord) -> tuple[int, int, str]:
    """The newest look counts, whatever the agent's clock shows."""
    return min(row.counted_at, row.at), row.at, row.vault
