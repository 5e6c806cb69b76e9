"""Retention rules and legal holds."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct


class Kind(StrEnum):
    """What a rule can be about."""

    METRICS = "metrics"
    ALERTS = "alerts"
    TRAIL = "trail"
    USAGE = "usage"
    REPORTS = "reports"
    DELIVERIES = "deliveries"
    HISTORY = "history"
    """How things stood when: roles, presence, certificates, policies in force."""
    NOTES = "notes"
    """What people added to controls."""
    HOLDS = "holds"
    """Legal holds that were lifted."""


RetentionLimits = Mapping[Kind, int]
"""Days after which the control plane's own settings delete; what is not there stays for ever."""

MIN_DAYS: Final[dict[Kind, int]] = {
    Kind.METRICS: 7,
    Kind.ALERTS: 30,
    Kind.TRAIL: 365,
    Kind.USAGE: 30,
    Kind.REPORTS: 30,
    Kind.DELIVERIES: 7,
    Kind.HISTORY: 90,
    Kind.NOTES: 365,
    Kind.HOLDS: 365,
}
"""Days that a rule has to leave. A year where an auditor of the last one may ask: what most rules
for audit logs want."""
MAX_RULE_DAYS: Final = 3650


class RetentionRule(NamedTuple):
    """How long a kind is kept: `days`, 0 for ever. A rule may say `least` to `most` days.

    `default`: what holds without one; an organization may shorten what the settings say, for
    they delete whatever is older.
    """

    days: int
    least: int
    most: int
    default: int
    set: bool


def effective_rule(kind: Kind, days: int | None, limits: RetentionLimits) -> RetentionRule:
    """Of what is set (None: nothing), and the settings' limits."""
    limit = limits.get(kind, 0)
    most = max(limit, 1) if limit else MAX_RULE_DAYS
    least = min(MIN_DAYS[kind], most)
    chosen = limit if days is None else min(days, most)
    return RetentionRule(chosen, least, most, limit, days is not None)


class LegalHold(Struct, frozen=True, kw_only=True):
    """A legal hold: what it covers is not deleted. `vault` empty: the whole organization.

    `since` included, `until` not (Unix nanoseconds); 0 is without that bound.
    """

    org: str
    id: str
    vault: str
    since: int
    until: int
    reason: str
    created_by: str
    created_at: int
    lifted_by: str = ""
    lifted_at: int = 0
    lifted_why: str = ""


class PurgeCount(Struct, frozen=True, kw_only=True):
    """What a rule deletes, or would: `held` of the rows that are old enough stay for a hold.

    `before`: Unix nanoseconds; 0 where everything is kept.
    """

    kind: Kind
    days: int
    before: int
    rows: int
    held: int
