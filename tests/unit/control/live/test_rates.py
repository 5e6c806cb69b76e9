"""What control.live.rates promises."""

import pytest

from control.live.rates import MAX_REPORT_AGE, UNKNOWN_COLUMNS, RequestRates, percentile
from protocols.link.vocabulary import BUCKETS_US
from tests.unit.control.live.conftest import metrics


def test_one_report_says_nothing_but_states() -> None:
    """Counters are totals since the agent's own start."""
    rates = RequestRates()
    assert rates.record_report("acme", "v", metrics(100, 5_000), 0.0) == {
        **UNKNOWN_COLUMNS,
        "secrets": 12,
    }
    assert rates.organization_total("acme", 0.0) == UNKNOWN_COLUMNS


def test_two_reports_say_how_busy_it_was_between_them() -> None:
    """By the agent's own times, not by when they came."""
    rates = RequestRates()
    rates.record_report("acme", "v", metrics(100, 5_000), 0.0)
    columns = rates.record_report("acme", "v", metrics(160, 5_600, errors=30, slow=100), 1.0)
    assert columns == {"requests": 10.0, "errors": 0.5, "p50": 5.0, "p99": 100.0, "secrets": 12}
    assert rates.columns_of("acme", "v", 1.0) == columns


@pytest.mark.parametrize("second", [metrics(160, 100), metrics(100, 6_000), metrics(90, 6_000)])
def test_nothing_is_known_across_a_restart_or_out_of_order(second: object) -> None:
    """A total that fell, or a time that did not move on."""
    rates = RequestRates()
    rates.record_report("acme", "v", metrics(100, 5_000), 0.0)
    assert rates.record_report("acme", "v", second, 1.0)["requests"] is None  # type: ignore[arg-type]


def test_old_figures_are_no_figures() -> None:
    """An agent that does not report any more is not busy; what it holds is still so."""
    rates = RequestRates()
    rates.record_report("acme", "v", metrics(100, 0), 0.0)
    rates.record_report("acme", "v", metrics(160, 600), 60.0)
    assert rates.columns_of("acme", "v", 60.0 + MAX_REPORT_AGE)["requests"] == 10.0
    assert rates.columns_of("acme", "v", 61.0 + MAX_REPORT_AGE) == {
        **UNKNOWN_COLUMNS,
        "secrets": 12,
    }
    assert rates.organization_total("acme", 61.0 + MAX_REPORT_AGE) == UNKNOWN_COLUMNS


def test_an_organization_is_the_sum_of_its_agents() -> None:
    """Rates add up, and a percentile is that of all requests together."""
    rates = RequestRates()
    for vault, count, slow in (("a", 600, 0), ("b", 1_200, 60)):
        rates.record_report("acme", vault, metrics(100, 0), 0.0)
        rates.record_report("acme", vault, metrics(160, count, slow=slow), 1.0)
    rates.record_report("other", "a", metrics(100, 0), 0.0)
    rates.record_report("other", "a", metrics(160, 60_000), 1.0)
    total = rates.organization_total("acme", 1.0)
    assert total == {"requests": 30.0, "errors": 0.0, "p50": 5.0, "p99": 100.0}
    assert sorted(rates.organizations()) == ["acme", "other"]


def test_a_percentile_is_the_bound_of_its_bucket() -> None:
    """Of the last one for what is above all; None for nothing."""
    counts = [0] * (len(BUCKETS_US) + 1)
    assert percentile(counts, 50) is None
    counts[0], counts[3] = 1, 1
    assert percentile(counts, 50) == BUCKETS_US[0] / 1000
    assert percentile(counts, 51) == BUCKETS_US[3] / 1000
    counts[-1] = 100
    assert percentile(counts, 99) == BUCKETS_US[-1] / 1000


def test_what_no_agent_can_have_measured_bends_no_curve() -> None:
    """The others' sum stays what it is."""
    rates = RequestRates()
    for vault, requests in (("v", 100), ("liar", 2**62)):
        rates.record_report("acme", vault, metrics(0, 0), 0.0)
        rates.record_report("acme", vault, metrics(requests, 1_000), 1.0)
    assert rates.organization_total("acme", 1.0)["requests"] == 10.0
