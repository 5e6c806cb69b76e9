"""How long a kind is kept follows from rule and settings."""

import pytest

from control.model.retention import MAX_RULE_DAYS, Kind, RetentionRule, effective_rule


@pytest.mark.parametrize(
    ("kind", "days", "limits", "rule"),
    [
        (Kind.TRAIL, None, {}, RetentionRule(0, 365, MAX_RULE_DAYS, 0, set=False)),
        (Kind.TRAIL, 400, {}, RetentionRule(400, 365, MAX_RULE_DAYS, 0, set=True)),
        (Kind.ALERTS, None, {Kind.ALERTS: 365}, RetentionRule(365, 30, 365, 365, set=False)),
        (Kind.ALERTS, 90, {Kind.ALERTS: 365}, RetentionRule(90, 30, 365, 365, set=True)),
        (Kind.ALERTS, 300, {Kind.ALERTS: 100}, RetentionRule(100, 30, 100, 100, set=True)),
        (Kind.METRICS, None, {Kind.METRICS: 3}, RetentionRule(3, 3, 3, 3, set=False)),
    ],
)
def test_a_rule_shortens_what_the_settings_say(
    kind: Kind, days: int | None, limits: dict[Kind, int], rule: RetentionRule
) -> None:
    """Never less than its least, never more than the settings keep."""
    assert effective_rule(kind, days, limits) == rule
