"""When a secret is rotated next. Pure. Times are Unix nanoseconds; `jitter` is from 0 to below 1.

Times of cron expressions are in UTC, which has no hour that is skipped or repeated.
"""

from typing import Final

from protocols.cron import next_time
from protocols.instant import HOUR
from vault.errors import ValidationError
from vault.model.rotation import RetryPolicy, RotationPolicy

NEVER: Final = 0
_SPREAD: Final = 10  # an interval ends up to a tenth earlier: what began together drifts apart
_MOST_SPREAD: Final = HOUR


def check_cron(cron: str) -> None:
    """Raise `ValidationError` (`cron_invalid`) unless it is one that is due again and again."""
    try:
        next_time(cron, 0)
    except ValueError as error:
        raise ValidationError("cron_invalid", str(error), field="cron") from None


def next_due(policy: RotationPolicy, written: int, now: int, jitter: float) -> int:
    """When it is due, for a value that was written then; `NEVER` if time alone does not say.

    What is overdue comes within an hour, or a tenth of the interval if that is shorter, so that a
    policy for a million secrets is no stampede.
    """
    if not policy.enabled:
        return NEVER
    if policy.interval:
        spread = int(min(policy.interval // _SPREAD, _MOST_SPREAD) * jitter)
        due = written + policy.interval - spread
        return due if due > now else now + spread
    if policy.cron:
        return next_time(policy.cron, now) + int(policy.window * jitter)
    return NEVER


def may_begin(policy: RotationPolicy, now: int) -> bool:
    """Whether a rotation that is due by schedule may begin now: within the window of a time."""
    return not policy.cron or next_time(policy.cron, now - policy.window) <= now


def retry_delay(retry: RetryPolicy, attempt: int, jitter: float) -> int:
    """Nanoseconds until the next try, after so many that failed: half of it is drawn."""
    whole = min(retry.base << min(attempt - 1, 40), retry.cap)
    return whole // 2 + int(whole // 2 * jitter)
