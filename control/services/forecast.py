"""Forecast of a figure: a straight line by least squares, and its prediction band. Pure.

There are two kinds of figure, with a band each. A figure that returns to its line (requests an
hour) has the regression's prediction interval (Montgomery, Peck, Vining: Introduction to Linear
Regression Analysis, 2.5), widened where errors of neighbouring days correlate (effective sample
size of an AR(1) process). A figure that continues from its last value (stored secrets) is a random
walk with drift, whose band grows with the root of time and with the uncertainty of the drift
(Hyndman, Athanasopoulos: Forecasting, 5.2). A figure counts as the second kind unless the
Dickey-Fuller test says that it returns.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import inf, sqrt
from statistics import NormalDist, fmean
from typing import Final, NamedTuple

from msgspec import Struct

MIN_DAYS: Final = 14
"""Days without which nothing is said: a line through fewer follows whatever happened last week."""
WEEK: Final = 7
MIN_DAYS_WEEKLY: Final = 4 * WEEK
CONFIDENCE: Final = 0.90
SIGNIFICANCE: Final = 2.6
"""What F(6, 20) exceeds once in twenty times by chance: from there on weekdays are told apart."""
EPSILON: Final = 1e-9
"""Of the largest value: errors below it are those of arithmetic."""
STATIONARITY: Final = -3.5
"""Dickey and Fuller's 5 % bound for a line and 50 days (Fuller: Introduction to Statistical Time
Series, table 10.A.2); -3.60 for 25, -3.45 for 100."""


class ForecastPoint(Struct, frozen=True):
    """The expected value of a day, and the band that contains it nine times of ten."""

    day: int
    expected: float
    low: float
    high: float


class Trend(Struct, frozen=True):
    """`per_day`: the slope. `weekly`: whether weekdays are distinguished."""

    per_day: float
    weekly: bool
    ahead: tuple[ForecastPoint, ...]


def forecast_trend(known: Sequence[tuple[int, float]], days: Sequence[int]) -> Trend | None:
    """The trend of (day, value) and its values at `days`; None for too little data.

    Days are whole numbers; days that are missing from `known` are not filled in.
    """
    if len(known) < MIN_DAYS:
        return None
    line = _fit(known, 1)
    if len(known) >= MIN_DAYS_WEEKLY and len({day % WEEK for day, _ in known}) == WEEK:
        weekly = _fit(known, WEEK)
        gained = (line.left - weekly.left) / (WEEK - 1)
        if gained > SIGNIFICANCE * weekly.left / weekly.freedom:
            line = weekly
    errors = line.errors(known)
    if _dickey_fuller(known, errors) < STATIONARITY:
        return Trend(line.slope, line.period > 1, tuple(map(line.at, days)))
    walk = _walk(line, errors)
    return Trend(line.slope + walk.drift, line.period > 1, tuple(map(walk.at, days)))


def student_t_quantile(freedom: int) -> float:
    """The quantile of Student's t for the two sides of `CONFIDENCE` (Abramowitz, Stegun 26.7.5).

    Within 0.001 from 8 degrees of freedom on.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


class _Line(NamedTuple):
    """One slope, and a level for each remainder of the day by `period` (day and value, means)."""

    period: int
    slope: float
    middles: list[tuple[float, float, int]]
    variation: float
    left: float
    freedom: int
    inflation: float

    def at(self, day: int) -> ForecastPoint:
        x, _, count = self.middles[day % self.period]
        expected = self.value(day)
        spread = sqrt(self.left / self.freedom) * self.inflation
        off = student_t_quantile(self.freedom) * spread
        off *= sqrt(1 + 1 / count + (day - x) ** 2 / self.variation)
        return _point(day, expected, off)

    def value(self, day: int) -> float:
        """The value of the line."""
        x, y, _ = self.middles[day % self.period]
        return y + self.slope * (day - x)

    def errors(self, known: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
        """The distance from the line, day by day."""
        return [(day, value - self.value(day)) for day, value in known]


class _Walk(NamedTuple):
    """Continues from the last day's error, by `drift` a day; `spread`: of a day's step."""

    line: _Line
    last: int
    error: float
    drift: float
    spread: float
    steps: int
    length: int

    def at(self, day: int) -> ForecastPoint:
        ahead = max(day - self.last, 0)
        expected = self.line.value(day) + self.error + self.drift * ahead
        off = (
            student_t_quantile(self.steps - 1) * self.spread * sqrt(ahead + ahead**2 / self.length)
        )
        return _point(day, expected, off)


def _point(day: int, expected: float, off: float) -> ForecastPoint:
    """Values below zero are cut: no figure here is negative."""
    return ForecastPoint(
        day, max(expected, 0.0), max(expected - off, 0.0), max(expected + off, 0.0)
    )


def _dickey_fuller(
    known: Sequence[tuple[int, float]], errors: Sequence[tuple[int, float]]
) -> float:
    """The Dickey-Fuller statistic: how surely an error is followed by a smaller one."""
    steps = [(a, b - a) for (x, a), (y, b) in pairwise(errors) if y == x + 1]
    whole = sum(a * a for a, _ in steps)
    scale = max(abs(value) for _, value in known) or 1.0
    if whole <= (scale * EPSILON) ** 2 * len(steps):
        return -inf  # on the line
    pull = sum(a * step for a, step in steps) / whole
    left = sum((step - pull * a) ** 2 for a, step in steps) / (len(steps) - 1)
    return pull / sqrt(left / whole) if left else -inf


def _walk(line: _Line, errors: Sequence[tuple[int, float]]) -> _Walk:
    (first, begin), (last, end) = errors[0], errors[-1]
    length = last - first
    drift = (end - begin) / length
    steps = [(b - a - drift * (y - x)) / sqrt(y - x) for (x, a), (y, b) in pairwise(errors)]
    spread = sqrt(sum(step * step for step in steps) / (len(steps) - 1)) * _autocorrelation_factor(
        steps
    )
    return _Walk(line, last, end, drift, spread, len(steps), length)


def _fit(known: Sequence[tuple[int, float]], period: int) -> _Line:
    """Least squares with a level for each weekday, around their own means (Frisch, Waugh)."""
    groups: list[list[tuple[int, float]]] = [[] for _ in range(period)]
    for day, value in known:
        groups[day % period].append((day, value))
    middles = [
        (fmean(day for day, _ in group), fmean(value for _, value in group), len(group))
        for group in groups
    ]
    off = [
        (day - middles[day % period][0], value - middles[day % period][1]) for day, value in known
    ]
    variation = sum(x * x for x, _ in off)
    slope = sum(x * y for x, y in off) / variation
    errors = [y - slope * x for x, y in off]
    left = sum(error * error for error in errors)
    freedom = len(known) - period - 1
    return _Line(period, slope, middles, variation, left, freedom, _autocorrelation_factor(errors))


def _autocorrelation_factor(errors: Sequence[float]) -> float:
    """The factor by which correlated errors widen the band."""
    whole = sum(error * error for error in errors)
    if not whole:
        return 1.0
    alike = sum(a * b for a, b in pairwise(errors)) / whole
    alike = min(max(alike, 0.0), 0.95)
    return sqrt((1 + alike) / (1 - alike))
