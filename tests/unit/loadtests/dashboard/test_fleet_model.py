"""A seeded fleet."""

from control.model.agents import Presence
from loadtests.dashboard.fleet_model import MINUTE, ReportGenerator, make_fleet


def test_a_fleet_is_the_same_at_each_run() -> None:
    """Names are each another one, and most agents are heard."""
    fleet = make_fleet(100)
    assert fleet == make_fleet(100)
    assert len({each.name for each in fleet}) == 100
    assert sum(each.is_reporting for each in fleet) == 95
    assert {each.row(10**18).presence for each in fleet} == {
        Presence.ONLINE, Presence.LATE, Presence.OFFLINE,
    }  # fmt: skip


def test_totals_only_grow() -> None:
    """As an agent's do since its start: the requests of each report are in a bucket of times."""
    course = ReportGenerator(make_fleet(1)[0])
    first, second = course.report(MINUTE), course.report(2 * MINUTE)
    assert second.until - first.until == 60_000
    for before, after in zip(first.counters, second.counters, strict=True):
        assert after.value >= before.value
    assert second.counters[0].value > first.counters[0].value
    for before, after in zip(first.histograms[0].counts, second.histograms[0].counts, strict=True):
        assert after >= before
    assert sum(second.histograms[0].counts) > sum(first.histograms[0].counts)
