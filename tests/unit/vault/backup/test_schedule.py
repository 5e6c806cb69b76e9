"""vault.backup.schedule: when a destination is due, and how its backups do."""

from typing import Final

import pytest

from protocols.instant import HOUR, MINUTE, SECOND
from vault.backup.schedule import (
    NO_FAILURES,
    Failures,
    attempt_time,
    is_late,
    is_test_missing,
    judge,
)
from vault.model.backup import BackupState

MIDNIGHT: Final = 1_800_057_600 * SECOND  # 2027-01-16T00:00:00Z
HOURLY: Final = "0 * * * *"


def attempt(newest: int, failures: Failures, cron: str = HOURLY, now: int = MIDNIGHT + HOUR) -> int:
    """The next attempt of an agent that was opened at midnight, in minutes behind it."""
    found = attempt_time(cron, newest, failures, since=MIDNIGHT, now=now)
    return (found - MIDNIGHT) // MINUTE


def test_the_first_one_is_due_at_once_and_others_behind_the_newest() -> None:
    """Whatever was missed."""
    assert attempt(0, NO_FAILURES) == 0
    assert attempt(MIDNIGHT, NO_FAILURES) == 60
    assert attempt(MIDNIGHT - 90 * MINUTE, NO_FAILURES) == -60


@pytest.mark.parametrize(("count", "pause"), [(1, 1), (2, 2), (5, 16), (6, 32), (7, 60), (50, 60)])
def test_pauses_grow(count: int, pause: int) -> None:
    """From a minute to an hour."""
    assert attempt(0, Failures(count, MIDNIGHT), "0 0 1 1 *") == pause


def test_a_scheduled_time_ends_a_pause() -> None:
    """The pause would last 32 minutes."""
    assert attempt(0, Failures(6, MIDNIGHT + 50 * MINUTE)) == 60


def test_a_failure_from_the_future_is_no_pause() -> None:
    """The clock was set back since."""
    assert attempt(0, Failures(6, MIDNIGHT + 9 * HOUR)) == 0


def test_a_failure_does_not_make_a_backup_due_before_its_time() -> None:
    """One that was asked for by hand failed."""
    assert attempt(MIDNIGHT, Failures(1, MIDNIGHT + MINUTE)) == 60


def test_late_is_more_than_an_hour_behind_the_time() -> None:
    """Of the first one: behind the opening."""
    due = MIDNIGHT + HOUR
    assert not is_late(HOURLY, MIDNIGHT, since=0, now=due + HOUR)
    assert is_late(HOURLY, MIDNIGHT, since=0, now=due + HOUR + 1)
    assert not is_late(HOURLY, 0, since=MIDNIGHT, now=due)
    assert is_late(HOURLY, 0, since=MIDNIGHT, now=due + 1)


def test_a_restore_test_is_missing_an_hour_after_its_time() -> None:
    """Of a backup of any time between two tests."""
    due = MIDNIGHT + HOUR
    for made in (MIDNIGHT, due - 1):
        assert not is_test_missing(HOURLY, made, due + HOUR)
        assert is_test_missing(HOURLY, made, due + HOUR + 1)
    assert not is_test_missing(HOURLY, due, due + HOUR + 1)


@pytest.mark.parametrize(
    ("enabled", "failed", "late", "proven", "state"),
    [
        (False, True, True, 0, BackupState.OFF),
        (True, True, True, 0, BackupState.FAILED),
        (True, False, True, 0, BackupState.LATE),
        (True, False, False, 9, BackupState.UNPROVEN),
        (True, False, False, 10, BackupState.GOOD),
        (True, False, False, None, BackupState.GOOD),
    ],
)
def test_the_worst_state_counts(
    enabled: bool, failed: bool, late: bool, proven: int | None, state: BackupState
) -> None:
    """The newest full one was made at 10."""
    found = judge(enabled=enabled, failed=failed, late=late, proven=proven, newest_full=10)
    assert found is state
