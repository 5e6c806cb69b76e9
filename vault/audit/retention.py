"""Which closed segments of the log may go: those that are old enough, a week after the notice.

The age is judged by a `SlewedClock`, so one wrong reading of the machine's clock deletes nothing.
Before anything goes there is an alert in the log itself, and time to take back what made it old.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import Struct

from actors.slewed_clock import SlewedClock
from protocols.instant import SECOND, rfc3339
from vault.audit.record import AuditEvent, service_alert
from vault.audit.record import RetentionBody as Released

DAY: Final = 86_400 * SECOND
NOTICE_PERIOD: Final = 7 * DAY
"""From the announcement to the deletion; not longer than the retention itself."""


class RetentionNotice(Struct, frozen=True):
    """Segments to `through` go at `due` (Unix ns); `first` is then the first record."""

    through: int
    first: int
    due: int


class RetentionStep(NamedTuple):
    """What one look has found. To be written: `event`, `released`, or neither.

    `notice` is what is announced once that is durable; `trouble` is for people.
    """

    notice: RetentionNotice | None
    event: AuditEvent | None = None
    released: Released | None = None
    trouble: str = ""


class RetentionSchedule:
    """The state of one log's retention; the commit stamp stores `notice` in the database."""

    def __init__(
        self, clock: SlewedClock, days: int, notice: RetentionNotice | None = None
    ) -> None:
        self.clock = clock
        self._notice = notice
        self._steps = clock.steps  # of the clock, when the notice was looked at
        self._days = days
        self._reported = False  # that it is suspended

    @property
    def notice(self) -> RetentionNotice | None:
        """What is announced. None after a step of the clock, which may have carried it past `due`.

        Whoever can have the clock confirmed would have the deletion in an hour, not in a week.
        """
        return self._notice if self._steps == self.clock.steps else None

    @notice.setter
    def notice(self, notice: RetentionNotice | None) -> None:
        """What a look has found, and is durable. A step since that look makes nothing of it."""
        self._notice = notice

    def plan(
        self, expired_segments: Callable[[int], Released | None], new_id: Callable[[], str]
    ) -> RetentionStep:
        """What to do now. `expired_segments` is a sink's; raises what it raises.

        It changes nothing but that a notice of before a step of the clock is forgotten.
        """
        if (steps := self.clock.steps) != self._steps:
            self._notice, self._steps = None, steps
        if self.clock.is_suspended:
            return self._suspended(new_id)
        self._reported = False
        now, kept = self.clock.now(), self._days * DAY
        period, notice = (
            min(NOTICE_PERIOD, kept),
            self.notice,
        )  # after `now`, which a step could change
        if notice is None or notice.due > now + period:  # by a clock that was wrong
            return self._announced(expired_segments(now - kept + period), now + period, new_id)
        if now < notice.due:
            return RetentionStep(notice)
        found = expired_segments(now - kept)
        if found is not None and found.through > notice.through:
            found = Released(notice.through, notice.first)
        return RetentionStep(None, released=found)

    def _announced(
        self, found: Released | None, due: int, new_id: Callable[[], str]
    ) -> RetentionStep:
        if found is None:
            return RetentionStep(None)
        notice = RetentionNotice(found.through, found.first, due)
        what = (
            f"segments up to {notice.through} (records before {notice.first}) will be deleted "
            f"after {rfc3339(due)}: they are older than audit.retention_days then"
        )
        return RetentionStep(notice, event=_event("audit.retention_notice", what, new_id()))

    def _suspended(self, new_id: Callable[[], str]) -> RetentionStep:
        days = self.clock.lag // DAY
        what = (
            f"the machine's clock is {days} days ahead of the time that is known to have passed; "
            "nothing is deleted. Correct the clock, or run `freehold operator confirm-clock`"
        )
        was_reported, self._reported = self._reported, True
        event = None if was_reported else _event("audit.retention_suspended", what, new_id())
        return RetentionStep(self.notice, event=event, trouble=f"retention is suspended: {what}")


def _event(operation: str, what: str, request_id: str) -> AuditEvent:
    return service_alert("retention", operation, "sys/audit", what, request_id)
