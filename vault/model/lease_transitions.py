"""The transitions of a lease. Pure: each takes a row and returns what to store.

    creating → active → revoking (→ irrevocable) → revoked
    creating ─────────→ revoking

A lease is renewed or ended by whichever transaction comes first: from `revoking` on nothing renews
it, and as long as it is active and not expired nothing drops its user.
"""

from typing import Final

from msgspec.structs import replace

from protocols.instant import HOUR, SECOND
from vault.errors import ConflictError, ValidationError
from vault.model.dynamic import STANDING, LeaseState
from vault.model.records import DynamicLeaseRow

CREATING_TIME: Final = 60 * SECOND
"""Longer than any call to a target takes: what is still `creating` then has lost its caller."""
RETRY_BASE: Final = 5 * SECOND
RETRY_CAP: Final = HOUR
MAX_ERROR: Final = 500  # characters
NEVER: Final = 0


def activate(row: DynamicLeaseRow) -> DynamicLeaseRow:
    """The user is there. Raises `ConflictError` (`lease_ended`): somebody has ended the lease."""
    if row.state != LeaseState.CREATING:
        raise ConflictError("lease_ended", "the lease was revoked while its user was created")
    return replace(row, state=LeaseState.ACTIVE, next_at=row.expires_at)


def renew(row: DynamicLeaseRow, increment: int, now: int) -> DynamicLeaseRow:
    """It lasts for `increment` ns from now (0: for its TTL), as far as it may.

    Raises `ValidationError` (`lease_not_renewable`).
    """
    if row.state != LeaseState.ACTIVE or row.expires_at <= now:
        raise ValidationError(
            "lease_not_renewable", "the lease has ended: ask for new credentials", field="lease"
        )
    expires_at = min(now + (increment or row.ttl), row.max_expires_at)
    return replace(row, renewed_at=now, expires_at=expires_at, next_at=expires_at)


def is_overdue(row: DynamicLeaseRow, now: int) -> bool:
    """Whether it stands, and its time is over."""
    return row.state in STANDING and 0 < row.next_at <= now


def end(row: DynamicLeaseRow, reason: str, now: int) -> DynamicLeaseRow:
    """From now on nothing renews it, and its user is dropped. One that has ended stays as it is."""
    if row.state not in STANDING:
        return row
    return replace(row, state=LeaseState.REVOKING, parent="", reason=reason, attempt=0, next_at=now)


def retry(row: DynamicLeaseRow, now: int) -> DynamicLeaseRow:
    """Have its user dropped now, whenever the next try was to be."""
    if row.state not in {LeaseState.REVOKING, LeaseState.IRREVOCABLE}:
        return row
    return replace(row, next_at=now)


def drop(row: DynamicLeaseRow, now: int) -> DynamicLeaseRow:
    """The target has no such user any more, or need not be asked."""
    return replace(
        row, state=LeaseState.REVOKED, parent="", next_at=NEVER, ended_at=now, error_code="",
        error="",
    )  # fmt: skip


def fail(
    row: DynamicLeaseRow, code: str, text: str, *, attempts: int, now: int, jitter: float
) -> DynamicLeaseRow:
    """Its user could not be dropped: it is tried again, after so many `attempts` seldom."""
    count = row.attempt + 1
    is_over = count >= attempts
    whole = RETRY_CAP if is_over else min(RETRY_BASE << min(count - 1, 40), RETRY_CAP)
    return replace(
        row,
        state=LeaseState.IRREVOCABLE if is_over else row.state,
        attempt=count,
        next_at=now + whole // 2 + int(whole // 2 * jitter),
        error_code=code,
        error=text[:MAX_ERROR],
    )
