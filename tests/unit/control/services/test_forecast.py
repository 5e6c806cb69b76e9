"""Where a figure is going: right where it can be known, and honest about the rest."""

from collections.abc import Callable
from random import Random

import pytest

from control.services.forecast import MIN_DAYS, WEEK, Trend, forecast_trend, student_t_quantile


def must(found: Trend | None) -> Trend:
    """There is a forecast."""
    assert found is not None
    return found


def test_too_little_is_said_to_be_too_little() -> None:
    """One day fewer than enough is not enough."""
    days = [(day, float(day)) for day in range(MIN_DAYS)]
    assert forecast_trend(days[1:], [20]) is None
    assert forecast_trend(days, [20]) is not None


def test_a_line_is_found() -> None:
    """Without noise the band is the line; missing days are no zeros; nothing falls below zero."""
    days = [(day, 100 + 2.0 * day) for day in range(60) if day % 7 != 3]
    trend = must(forecast_trend(days, [60, 100]))
    assert trend.per_day == pytest.approx(2)
    assert not trend.weekly
    [soon, late] = trend.ahead
    assert (soon.expected, late.expected) == pytest.approx((220, 300))
    assert late.high - late.low < 1e-6
    falling = must(forecast_trend([(day, 100.0 - day) for day in range(20)], [200]))
    assert falling.ahead[0].expected == falling.ahead[0].low == 0


def noise(chance: Random, count: int) -> list[float]:
    """A line, and what is independent each day."""
    return [1000 + 3 * day + chance.gauss(0, 20) for day in range(count)]


def drifting(chance: Random, count: int) -> list[float]:
    """A line, and errors of which four fifths stay to the next day."""
    error, found = chance.gauss(0, 33), []
    for day in range(count):
        found.append(1000 + 3 * day + error)
        error = 0.8 * error + chance.gauss(0, 20)
    return found


def stored(chance: Random, count: int) -> list[float]:
    """What only grows, by so much a day on average: it comes back to no line."""
    value, found = 10_000.0, []
    for _ in range(count):
        found.append(value)
        value += max(chance.gauss(50, 40), 0)
    return found


def workdays(chance: Random, count: int) -> list[float]:
    """The same, and hardly at the weekend."""
    value, found = 10_000.0, []
    for day in range(count):
        found.append(value)
        grows = sum(chance.random() < 0.3 for _ in range(30))
        value += grows if day % WEEK < 5 else grows / 5
    return found


@pytest.mark.parametrize("ahead", [1, 30, 90])
@pytest.mark.parametrize("known", [14, 40, 90])
@pytest.mark.parametrize("series", [noise, drifting, stored, workdays])
def test_the_band_holds_what_it_promises(
    series: Callable[[Random, int], list[float]], known: int, ahead: int
) -> None:
    """A later day's value is in the band about nine times of ten, whatever kind of figure it is.

    300 series each, of a seed: a true 0.9 shows as 0.85 to 0.95. The test that tells the kinds
    apart errs with few days, which costs up to another 0.04; too wide a band is no broken promise.
    """
    chance, hits, tries = Random(5), 0, 300  # noqa: S311  # chance of a seed
    for _ in range(tries):
        values = series(chance, known + ahead)
        [found] = must(forecast_trend(list(enumerate(values[:known])), [known + ahead - 1])).ahead
        hits += found.low <= values[-1] <= found.high
    assert hits / tries >= 0.81


def test_a_band_is_not_wider_than_it_must_be() -> None:
    """Of a line with plain noise it holds nine of ten, not all."""
    chance, hits, tries = Random(5), 0, 400  # noqa: S311  # as above
    for _ in range(tries):
        values = noise(chance, 71)
        [found] = must(forecast_trend(list(enumerate(values[:40])), [70])).ahead
        hits += found.low <= values[70] <= found.high
    assert 0.86 <= hits / tries <= 0.95


def test_days_that_follow_each_other_widen_it() -> None:
    """Errors that drift say less than their number: the band is wider than that of white noise."""
    chance = Random(7)  # noqa: S311  # as above
    white = [chance.gauss(0, 10) for _ in range(60)]
    drift = [0.0]
    for step in white:
        drift.append(0.9 * drift[-1] + step)
    scale = (sum(e * e for e in white) / sum(e * e for e in drift)) ** 0.5
    bands = []
    for errors in (white, [e * scale for e in drift]):
        days = [(day, 500 + e) for day, e in enumerate(errors)]
        [ahead] = must(forecast_trend(days, [80])).ahead
        bands.append(ahead.high - ahead.low)
    assert bands[1] > 1.5 * bands[0]


def test_weekends_are_told_apart() -> None:
    """With four weeks a quiet weekend is expected to be quiet; without them it is not."""

    def value(day: int) -> float:
        return 100.0 if day % WEEK in (5, 6) else 1000.0

    trend = must(forecast_trend([(day, value(day)) for day in range(35)], range(35, 42)))
    assert trend.weekly
    assert [round(a.expected) for a in trend.ahead] == pytest.approx(
        [value(day) for day in range(35, 42)], abs=60
    )
    assert not must(forecast_trend([(day, value(day)) for day in range(21)], [22])).weekly


@pytest.mark.parametrize(("freedom", "table"), [(8, 1.860), (12, 1.782), (30, 1.697), (200, 1.653)])
def test_students_t(freedom: int, table: float) -> None:
    """As the tables have it, to three places."""
    assert student_t_quantile(freedom) == pytest.approx(table, abs=1e-3)
