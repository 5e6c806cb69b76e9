"""When a secret is rotated next. Pure. Times are Unix nanoseconds.

Times of cron expressions are in UTC, which has no hour that is skipped or repeated.
"""

from typing import Final

from protocols.cron import next_time
from vault.errors import ValidationError
from vault.model.rotation import RetryPolicy, RotationPolicy

NEVER: Final = 0
_SPREAD: Final = 10  # an interval ends up to a tenth earlier: what began together drifts apart


def check_cron(cron: str) -> None:
    """Raise `ValidationError` (`cron_invalid`) unless it is one that is due again and again."""
    try:
        next_time(cron, 0)
    except ValueError as error:
        raise ValidationError("cron_invalid", str(error), field="cron") from None


def next_due(  # noqa: PLR0917  # instants, in the order of time
    policy: RotationPolicy, written: int, since: int, now: int, phase: float, spread: int
) -> int:
    """When it is due, for a value that was written then; `NEVER` if time alone does not say.

    `phase`, from 0 to below 1, is the secret's own. An interval ends up to a tenth earlier, at most
    `spread`. What was overdue `since` comes within the same time behind it, so that a policy for a
    million secrets is no stampede.
    """
    if not policy.enabled:
        return NEVER
    if policy.interval:
        early = int(min(policy.interval // _SPREAD, spread) * phase)
        due = written + policy.interval - early
        return due if due > since else since + early
    if policy.cron:
        late = int(policy.window * phase)
        return next_time(policy.cron, now - late) + late
    return NEVER


def may_begin(policy: RotationPolicy, now: int) -> bool:
    """Whether a rotation that is due by schedule may begin now: within the window of a time."""
    return not policy.cron or next_time(policy.cron, now - policy.window) <= now


def retry_delay(retry: RetryPolicy, attempt: int, jitter: float) -> int:
    """Nanoseconds until the next try, after so many that failed; `jitter`, below 1, of half."""
    whole = min(retry.base << min(attempt - 1, 40), retry.cap)
    return whole // 2 + int(whole // 2 * jitter)
