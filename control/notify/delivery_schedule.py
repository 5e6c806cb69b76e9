"""When notices are sent: pure decisions. Times are Unix nanoseconds."""

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from control.model.notices import ChannelTerms, Kind, LastNotice, Notice, Quiet
from control.model.records import Severity, is_at_least
from protocols.instant import SECOND

FIRST_RETRY: Final = 5.0  # seconds after the first failure
MAX_RETRY_DELAY: Final = 900.0
MAX_ATTEMPTS: Final = 12  # about an hour, all in all


def is_wanted(terms: ChannelTerms, notice: Notice, tags: frozenset[str]) -> bool:
    """Whether a channel sends the notice; `tags` are those of the agent that it is about."""
    if notice.kind not in terms.kinds:
        return False
    if notice.kind is Kind.RESOLVED and Kind.RAISED in terms.kinds:
        return True  # if it was told the start, see `is_news`
    if not is_at_least(terms.severity, notice.severity):
        return False
    if terms.events and notice.code not in terms.events:
        return False
    if not terms.tags and not terms.vaults:
        return True
    return notice.vault in terms.vaults or not tags.isdisjoint(terms.tags)


def is_news(terms: ChannelTerms, last: LastNotice | None, notice: Notice) -> bool:
    """Whether a channel sends it that has sent `last` of the same condition.

    An end goes where the start went. A channel for ends alone gets each.
    """
    if notice.kind is not Kind.RESOLVED or Kind.RAISED not in terms.kinds:
        return True
    return last is not None and last.kind is not Kind.RESOLVED


def is_repeat(last: LastNotice | None, notice: Notice, window: int) -> bool:
    """Whether the same was sent within the window, and nothing else of that alert since."""
    if last is None or last.kind is not notice.kind:
        return False
    return notice.at - last.at < window * SECOND


def is_urgent(terms: ChannelTerms, severity: Severity) -> bool:
    """Whether it waits for neither digest nor quiet hours."""
    return terms.urgent is not None and is_at_least(terms.urgent, severity)


def due_at(terms: ChannelTerms, notice: Notice, now: int, waiting: int | None) -> int:
    """When it is sent; `waiting`: when waiting notices of the channel are."""
    due = now
    if terms.digest and not is_urgent(terms, notice.effective_severity):
        due = now + terms.digest * SECOND
        due = due if waiting is None or waiting <= now else min(due, waiting)
    return not_before(terms, (notice,), due)


def not_before(terms: ChannelTerms, notices: Iterable[Notice], at: int) -> int:
    """`at`, or the end of quiet hours for what is not urgent."""
    if terms.quiet is None or any(
        is_urgent(terms, notice.effective_severity) for notice in notices
    ):
        return at
    return quiet_until(terms.quiet, at)


def quiet_until(quiet: Quiet, at: int) -> int:
    """`at`, or the end of the quiet hours that contain it."""
    zone = ZoneInfo(quiet.zone)
    local = datetime.fromtimestamp(at // SECOND, zone)
    begins, ends = time.fromisoformat(quiet.begins), time.fromisoformat(quiet.ends)
    clock = local.time()
    if begins < ends:
        inside, days = begins <= clock < ends, 0
    else:
        inside, days = clock >= begins or clock < ends, int(clock >= begins)
    if not inside:
        return at
    end = datetime.combine(local.date() + timedelta(days=days), ends, zone)
    if end.timestamp() * SECOND <= at:  # the clock was set back: the second time that it is so late
        end = end.replace(fold=1)
    return int(end.timestamp()) * SECOND


def retry_delay(attempts: int, chance: float, asked: float = 0.0) -> float:
    """Seconds until the next attempt: exponential, with half of it left to `chance` in [0, 1).

    `asked`: the receiver's wish; believed up to the longest delay.
    """
    delay = min(MAX_RETRY_DELAY, FIRST_RETRY * 2.0 ** min(attempts - 1, 32))
    return max(delay * (0.5 + chance / 2), min(asked, MAX_RETRY_DELAY))
