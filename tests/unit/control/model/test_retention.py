"""How long a kind is kept follows from rule and settings."""

import pytest

from control.model.retention import MOST, Kind, Rule, rule_of


@pytest.mark.parametrize(
    ("kind", "days", "limits", "rule"),
    [
        (Kind.TRAIL, None, {}, Rule(0, 365, MOST, 0, set=False)),
        (Kind.TRAIL, 400, {}, Rule(400, 365, MOST, 0, set=True)),
        (Kind.ALERTS, None, {Kind.ALERTS: 365}, Rule(365, 30, 365, 365, set=False)),
        (Kind.ALERTS, 90, {Kind.ALERTS: 365}, Rule(90, 30, 365, 365, set=True)),
        (Kind.ALERTS, 300, {Kind.ALERTS: 100}, Rule(100, 30, 100, 100, set=True)),
        (Kind.METRICS, None, {Kind.METRICS: 3}, Rule(3, 3, 3, 3, set=False)),
    ],
)
def test_a_rule_shortens_what_the_settings_say(
    kind: Kind, days: int | None, limits: dict[Kind, int], rule: Rule
) -> None:
    """Never less than its least, never more than the settings keep."""
    assert rule_of(kind, days, limits) == rule
