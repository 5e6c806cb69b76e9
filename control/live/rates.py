"""Request rates of each agent, between its last two reports, and of whole organizations.

Kept for all agents from the start of the process on: about 1 KiB each. An agent's counters are
totals since its own start, so the first report gives no rate.
"""

from collections.abc import Sequence
from operator import add, sub
from typing import Any, Final

from msgspec import Struct

from control.model.reported_values import is_plausible
from protocols.link import messages as m
from protocols.link.vocabulary import BUCKETS_US, CounterName, GaugeName, HistogramName

MAX_REPORT_AGE: Final = 180.0
"""Seconds for which a report counts: three of the usual intervals."""
UNKNOWN_COLUMNS: Final[dict[str, Any]] = {
    "requests": None,
    "errors": None,
    "p50": None,
    "p99": None,
}
_NONE: Final = (0,) * (len(BUCKETS_US) + 1)

AgentKey = tuple[str, str]


class AgentRate(Struct):
    """The rate of one agent. `heard`: on the monotonic clock; `until`: Unix milliseconds."""

    heard: float
    until: int
    requests: int
    errors: int
    counts: tuple[int, ...]
    secrets: int | None
    known: bool = False
    per_second: float = 0.0
    failing: float = 0.0
    lately: tuple[int, ...] = _NONE
    columns: dict[str, Any] = {}  # made once: a list of all agents is made of them


class RequestRates:
    """The rates of all agents."""

    def __init__(self) -> None:
        self._rates: dict[str, dict[str, AgentRate]] = {}

    def record_report(self, org: str, vault: str, told: m.Metrics, now: float) -> dict[str, Any]:
        """Take a report; the columns that follow from it."""
        counters = {c.name: c.value for c in told.counters if is_plausible(c.name, c.value)}
        gauges = {g.name: g.value for g in told.gauges if is_plausible(g.name, g.value)}
        times = {
            h.name: h.counts for h in told.histograms if all(is_plausible("", n) for n in h.counts)
        }
        new = AgentRate(
            heard=now,
            until=told.until,
            requests=counters.get(CounterName.REQUESTS, 0),
            errors=counters.get(CounterName.SERVER_ERRORS, 0),
            counts=tuple(times.get(HistogramName.REQUEST_DURATION, _NONE)),
            secrets=gauges.get(GaugeName.SECRETS),
        )
        rates = self._rates.setdefault(org, {})
        before = rates.get(vault)
        if before is not None:
            _update_rate(before, new)
        new.columns = _rate_columns(new)
        rates[vault] = new
        return new.columns

    def columns_of(self, org: str, vault: str, now: float) -> dict[str, Any]:
        """The columns; null for what is unknown or too old."""
        rate = self._rates.get(org, {}).get(vault)
        if rate is None:
            return {**UNKNOWN_COLUMNS, "secrets": None}
        if now - rate.heard > MAX_REPORT_AGE:
            return {**UNKNOWN_COLUMNS, "secrets": rate.secrets}
        return rate.columns

    def organizations(self) -> list[str]:
        """Organizations with an agent that has reported."""
        return list(self._rates)

    def organization_total(self, org: str, now: float) -> dict[str, Any]:
        """The sum over agents with a recent report."""
        fresh = [
            rate
            for rate in self._rates.get(org, {}).values()
            if rate.known and now - rate.heard <= MAX_REPORT_AGE
        ]
        if not fresh:
            return dict(UNKNOWN_COLUMNS)
        counts: Sequence[int] = _NONE
        for rate in fresh:
            counts = list(map(add, counts, rate.lately))
        return {
            "requests": round(sum(rate.per_second for rate in fresh), 2),
            "errors": round(sum(rate.failing for rate in fresh), 2),
            "p50": percentile(counts, 50),
            "p99": percentile(counts, 99),
        }


def percentile(counts: Sequence[int], percent: int) -> float | None:
    """Upper bound in milliseconds of the percentile's bucket; of the last one for what is above.

    None where nothing was counted.
    """
    total = sum(counts)
    if total <= 0:
        return None
    wanted, seen = total * percent, 0
    for bound, count in zip(BUCKETS_US, counts, strict=False):
        seen += count
        if seen * 100 >= wanted:
            return bound / 1000
    return BUCKETS_US[-1] / 1000


def _update_rate(before: AgentRate, new: AgentRate) -> None:
    """Compute the rate between two reports; unknown across a restart of the agent."""
    seconds = (new.until - before.until) / 1000
    lately = tuple(map(sub, new.counts, before.counts))
    if seconds <= 0 or new.requests < before.requests or min(lately) < 0:
        return
    new.known = True
    new.per_second = (new.requests - before.requests) / seconds
    new.failing = max(0, new.errors - before.errors) / seconds
    new.lately = lately


def _rate_columns(rate: AgentRate) -> dict[str, Any]:
    if not rate.known:
        return {**UNKNOWN_COLUMNS, "secrets": rate.secrets}
    return {
        "requests": round(rate.per_second, 2),
        "errors": round(rate.failing, 2),
        "p50": percentile(rate.lately, 50),
        "p99": percentile(rate.lately, 99),
        "secrets": rate.secrets,
    }
