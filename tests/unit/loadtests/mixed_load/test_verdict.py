"""Whether a run under Locust passes."""

from dataclasses import replace
from typing import Any

import pytest

from loadtests.mixed_load.verdict import judge_run


def entry(count: int, ms: float, *, seconds: float = 1.0, failures: int = 0) -> dict[str, Any]:
    """One kind of request as Locust's JSON has it."""
    return {
        "name": "read", "num_requests": count, "num_failures": failures,
        "response_times": {str(ms): count}, "start_time": 100.0,
        "last_request_timestamp": 100.0 + seconds,
    }  # fmt: skip


def test_a_run_that_reaches_the_bar_passes() -> None:
    """1,000 a second with 95 of 100 below 100 ms."""
    assert judge_run("soak", [entry(950, 99), entry(50, 5_000)]).misses == []


@pytest.mark.parametrize(
    ("entries", "missed"),
    [
        ([entry(999, 10)], "999 requests a second, wanted 1,000"),
        ([entry(940, 10), entry(60, 100)], "p95 100 ms, wanted less than 100"),
        ([entry(2_000, 10, failures=1)], "1 failures"),
        ([], "not one request"),
    ],
)
def test_one_miss_fails_the_soak(entries: list[dict[str, Any]], missed: str) -> None:
    """And says by how much."""
    assert missed in judge_run("soak", entries).misses


@pytest.mark.parametrize("shape", ["ramp", "spike"])
def test_other_shapes_fail_only_by_failures(shape: str) -> None:
    """Their rate is that of the users who were there."""
    assert judge_run(shape, [entry(10, 5_000)]).misses == []
    assert judge_run(shape, [entry(10, 10, failures=2)]).misses == ["2 failures"]


def test_a_failure_before_the_figures_begin_fails_the_run() -> None:
    """Locust forgets it when all have joined."""
    run = replace(judge_run("soak", [entry(2_000, 10)]), failed_before=True)
    assert run.misses == ["something failed before the figures began"]


def test_times_of_all_kinds_count_together() -> None:
    """The median of the run is not a mean of medians."""
    run = judge_run("soak", [entry(1, 1), entry(9, 7, seconds=2)])
    assert (run.requests, run.seconds, run.rate, run.p50_ms, run.p99_ms) == (10, 2, 5, 7, 7)
