"""When a destination is due for a backup, and how its backups do: pure functions of times."""

from typing import Final

from msgspec import Struct

from protocols.cron import next_time
from protocols.instant import HOUR, MINUTE
from vault.model.backup import BackupState

FIRST_RETRY: Final = MINUTE
LONGEST_RETRY: Final = HOUR
LATENESS: Final = HOUR
"""How long after its time a backup counts as late, and a restore test as missing."""
_MOST_DOUBLINGS: Final = 10


class Failures(Struct, frozen=True):
    """Runs that failed at a destination since its last success, and the last one's reason."""

    count: int = 0
    last: int = 0  # Unix nanoseconds
    code: str = ""
    message: str = ""


NO_FAILURES: Final = Failures()


def scheduled_time(cron: str, newest: int, since: int) -> int:
    """When the next backup is due: the first time behind the newest one.

    `newest` 0: there is none, and the first one is due at once, which is `since`.
    """
    return next_time(cron, newest) if newest else since


def attempt_time(cron: str, newest: int, failures: Failures, *, since: int, now: int) -> int:
    """When the next attempt is made.

    After a failure that is after 1 minute, twice as long after each further one, at most an hour,
    but always at the next scheduled time.
    """
    due = scheduled_time(cron, newest, since)
    if not failures.count or failures.last > now:  # the clock was set back
        return due
    pause = FIRST_RETRY << min(failures.count - 1, _MOST_DOUBLINGS)
    retry = failures.last + min(pause, LONGEST_RETRY)
    return max(due, min(retry, next_time(cron, failures.last)))


def is_late(cron: str, newest: int, *, since: int, now: int) -> bool:
    """Whether the backup that is due is missing for more than an hour."""
    return now > scheduled_time(cron, newest, since) + LATENESS


def is_test_missing(cron: str, made: int, now: int) -> bool:
    """Whether a backup of the time `made` should have been restored as a test by now.

    `cron` is the schedule of the tests.
    """
    return now > next_time(cron, made) + LATENESS


def judge(
    *, enabled: bool, failed: bool, late: bool, proven: int | None, newest_full: int
) -> BackupState:
    """The worst that applies.

    `proven`: when the newest backup that was restored as a test was made; None: nothing tests.
    `newest_full`: when the newest full backup was made that should have been tested.
    """
    if not enabled:
        return BackupState.OFF
    if failed:
        return BackupState.FAILED
    if late:
        return BackupState.LATE
    if proven is not None and proven < newest_full:
        return BackupState.UNPROVEN
    return BackupState.GOOD
