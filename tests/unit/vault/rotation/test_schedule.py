"""When a secret is due."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.instant import DAY, HOUR, SECOND, parse_rfc3339
from vault.errors import ValidationError
from vault.model.rotation import RetryPolicy, RotationPolicy
from vault.rotation.schedule import NEVER, check_cron, may_begin, next_due, retry_delay

MINUTE: Final = 60 * SECOND
NOON: Final = parse_rfc3339("2026-12-01T12:00:00Z", "now")


def policy(**fields: object) -> RotationPolicy:
    """One for generated values."""
    return RotationPolicy(rotator="generated", **fields)  # type: ignore[arg-type]  # as tests say


@given(
    interval=st.integers(MINUTE, 400 * DAY),
    age=st.integers(0, 800 * DAY),
    waited=st.integers(0, 30 * DAY),
    phase=st.floats(0, 1, exclude_max=True),
)
def test_an_interval_is_exceeded_only_by_what_spreads_the_overdue(
    interval: int, age: int, waited: int, phase: float
) -> None:
    """Due within the interval; what was overdue comes soon. It is the same whenever it is asked."""
    since = NOON - waited
    due = next_due(policy(interval=interval), NOON - age, since, NOON, phase, HOUR)
    assert due == next_due(policy(interval=interval), NOON - age, since, NOON + DAY, phase, HOUR)
    assert due >= since
    assert due <= max(NOON - age + interval, since + min(interval // 10, HOUR))


def test_a_cron_time_opens_a_window() -> None:
    """Due within it, and what is missed waits for the next one."""
    daily = policy(cron="0 3 * * *", window=2 * HOUR)
    three = NOON + 15 * HOUR
    assert next_due(daily, 0, NOON, NOON, 0.0, HOUR) == three
    assert next_due(daily, 0, NOON, NOON, 0.5, HOUR) == three + HOUR
    assert next_due(daily, 0, NOON, three + 1, 0.5, HOUR) == three + HOUR, "it is not over"
    assert next_due(daily, 0, NOON, three + HOUR, 0.5, HOUR) == three + DAY + HOUR
    assert [may_begin(daily, three + late) for late in (-SECOND, 0, HOUR, 2 * HOUR + SECOND)] == [
        False, True, True, False,
    ]  # fmt: skip


def test_without_a_time_it_is_never_due() -> None:
    """On request alone; nor while it is disabled."""
    for one in (policy(), policy(interval=DAY, enabled=False)):
        assert next_due(one, NOON - 9 * DAY, NOON, NOON, 0.5, HOUR) == NEVER
        assert may_begin(one, NOON)


@pytest.mark.parametrize("cron", ["* * * *", "0 0 0 * * *", "61 * * * *", "0 0 31 2 *", "x"])
def test_a_cron_that_is_none_is_refused(cron: str) -> None:
    """With a text that says what it has to be."""
    with pytest.raises(ValidationError) as refused:
        check_cron(cron)
    assert refused.value.code == "cron_invalid"


@pytest.mark.parametrize(
    "fields",
    [
        {"interval": DAY, "cron": "0 3 * * *"},
        {"interval": 59 * SECOND},
        {"cron": "0 3 * * *", "window": SECOND},
        {"retry": RetryPolicy(base=2 * HOUR, cap=HOUR)},
    ],
)
def test_settings_that_contradict_each_other_are_refused(fields: dict[str, object]) -> None:
    """And not one of them ignored."""
    with pytest.raises(ValueError, match=r"give interval or cron|at least"):
        policy(**fields)


@given(attempt=st.integers(1, 200), jitter=st.floats(0, 1, exclude_max=True))
def test_tries_are_further_and_further_apart(attempt: int, jitter: float) -> None:
    """Up to the cap, and half of it drawn."""
    retry = RetryPolicy(base=SECOND, cap=HOUR)
    delay = retry_delay(retry, attempt, jitter)
    whole = min(SECOND * 2 ** (attempt - 1), HOUR)
    assert whole // 2 <= delay <= whole
