"""Whether a run of Locust passes: 1,000 requests a second, p95 below 100 ms, no failure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RATE = 1_000.0  # requests a second, of one instance
P95_MS = 100.0
STEADY = "soak"  # only where all users are there all the time do rate and times say something


@dataclass(frozen=True, kw_only=True)
class Run:
    """All requests of one run together."""

    shape: str
    seconds: float
    requests: int
    failures: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_us: float = 0.0  # of the server, for each request
    locust_us: float = 0.0  # of Locust; it has the same cores
    failed_before: bool = False  # something did, at a time that the counts are not of

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def misses(self) -> list[str]:
        """What the run missed of the bar; nothing when it passed."""
        found = []
        if self.failures:
            found.append(f"{self.failures} failures")
        if self.failed_before and not self.failures:
            found.append("something failed before the figures began")
        if not self.requests:
            found.append("not one request")
        if self.shape == STEADY and self.rate < RATE:
            found.append(f"{self.rate:,.0f} requests a second, wanted {RATE:,.0f}")
        if self.shape == STEADY and self.p95_ms >= P95_MS:
            found.append(f"p95 {self.p95_ms:.0f} ms, wanted less than {P95_MS:.0f}")
        return found


def judge_run(shape: str, entries: Sequence[Mapping[str, Any]]) -> Run:
    """From the entries of Locust's JSON: counts, and times rounded as Locust rounds them."""
    times: Counter[float] = Counter()
    for entry in entries:
        times.update({float(ms): count for ms, count in entry["response_times"].items()})
    begin = min((entry["start_time"] for entry in entries), default=0.0)
    end = max((entry["last_request_timestamp"] or begin for entry in entries), default=0.0)
    return Run(
        shape=shape, seconds=max(end - begin, 1e-3),
        requests=sum(entry["num_requests"] for entry in entries),
        failures=sum(entry["num_failures"] for entry in entries),
        p50_ms=share_of(times, 0.5), p95_ms=share_of(times, 0.95), p99_ms=share_of(times, 0.99),
    )  # fmt: skip


def share_of(times: Mapping[float, int], share: float) -> float:
    """The smallest time that at least this share of the requests took at most; 0 of none."""
    wanted, passed = share * sum(times.values()), 0
    for time, count in sorted(times.items()):
        passed += count
        if passed >= wanted:
            return time
    return 0.0
