"""Rounds of two servers, held against each other round by round. Pure."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class RoundRatios(NamedTuple):
    """The second figure of a round as a multiple of the first: the middle of all rounds.

    Half of the rounds lie between `low` and `high`.
    """

    median: float
    low: float
    high: float


def compare_rounds(before: Sequence[float], after: Sequence[float]) -> RoundRatios:
    """Raises `ValueError` for fewer than two rounds, or where one is missing."""
    ratios = [second / first for first, second in zip(before, after, strict=True)]
    if len(ratios) < 2:  # noqa: PLR2004
        raise ValueError("one round says nothing")
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return RoundRatios(median, low, high)
