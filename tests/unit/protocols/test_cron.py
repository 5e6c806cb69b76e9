"""protocols.cron: times of five fields, in UTC."""

import pytest

from protocols.cron import next_time
from protocols.instant import DAY, HOUR, MINUTE, SECOND

MIDNIGHT = 1_800_057_600 * SECOND  # 2027-01-16T00:00:00Z


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("0 2 * * *", MIDNIGHT, MIDNIGHT + 2 * HOUR),
        ("0 2 * * *", MIDNIGHT + 2 * HOUR, MIDNIGHT + 2 * HOUR + DAY),
        ("0 2 * * *", MIDNIGHT + 2 * HOUR - 1, MIDNIGHT + 2 * HOUR),
        ("*/15 * * * *", MIDNIGHT + MINUTE, MIDNIGHT + 15 * MINUTE),
    ],
)
def test_the_time_is_behind_the_given_one(expression: str, after: int, expected: int) -> None:
    """Never at it."""
    assert next_time(expression, after) == expected


@pytest.mark.parametrize("expression", ["", "0 2 * *", "0 0 2 * * *", "61 * * * *", "@daily"])
def test_what_is_no_expression_is_refused(expression: str) -> None:
    """Seconds, too."""
    with pytest.raises(ValueError, match="five cron fields"):
        next_time(expression, 0)


def test_a_time_that_never_comes_is_refused() -> None:
    """The 31st of February."""
    with pytest.raises(ValueError, match="that comes"):
        next_time("0 0 31 2 *", 0)
