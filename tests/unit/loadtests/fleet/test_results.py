"""What a fleet's run makes for each agent."""

from dataclasses import replace

import pytest

from loadtests.fleet.results import CpuWindow, FleetResult, Percentiles, latest, losses, merged


def found() -> FleetResult:
    """A run with 100 agents, in round figures."""
    return FleetResult(
        agents=100, linked=100, shown_applied=100, empty=100 << 20, full=(100 << 20) + (100 << 17),
        connect=CpuWindow(seconds=2.0, cpu=0.5), rest=CpuWindow(seconds=10.0, cpu=0.1),
        beating=CpuWindow(seconds=5.0, cpu=4.0), beats=10_000,
        trip=Percentiles.of([0.1]), policy=Percentiles.of([1.0, 2.0]),
        push=CpuWindow(seconds=2.0, cpu=0.4),
    )  # fmt: skip


def test_costs_are_by_the_agent() -> None:
    """128 KiB; 5 ms to link; 1 % of a core at rest is 100 us a second for each.

    A policy took 0.4 s, 0.02 s of it for the fleet at rest.
    """
    run = found()
    assert run.kib_each == 128
    assert run.connect_ms_each == pytest.approx(5.0)
    assert run.rest.share == pytest.approx(0.01)
    assert run.rest_us_each == pytest.approx(100.0)
    assert run.push_ms_each == pytest.approx(3.8)


def test_heartbeats_by_time_and_by_cpu() -> None:
    """10,000 in 5 s for 4 CPU seconds, of which 0.05 s are the fleet's at rest."""
    assert found().beats_a_second == pytest.approx(2_000.0)
    assert found().beat_us == pytest.approx(395.0)


@pytest.mark.parametrize(
    ("values", "spread"),
    [
        ([3.0], (3.0, 3.0, 3.0)),
        ([4.0, 1.0, 3.0, 2.0], (2.0, 4.0, 4.0)),
        ([float(n) for n in range(1, 101)], (50.0, 99.0, 100.0)),
        ([float(n) for n in range(1, 102)], (51.0, 100.0, 101.0)),
    ],
)
def test_a_spread_is_of_times_that_were_measured(
    values: list[float], spread: tuple[float, float, float]
) -> None:
    """Nearest rank (no interpolation): at least the share is not longer."""
    of = Percentiles.of(values)
    assert (of.p50, of.p99, of.longest) == spread


def test_nothing_measured_is_no_figure() -> None:
    """A run without answers fails instead of showing zeros."""
    with pytest.raises(ValueError, match="nothing was measured"):
        Percentiles.of([])
    with pytest.raises(ValueError, match="nobody was there in time"):
        latest([])
    assert latest([2.0, 3.0, 1.0]) == 3.0


def test_a_fleet_that_is_whole_misses_nothing() -> None:
    """And one agent less is told."""
    assert found().misses == []
    assert replace(found(), linked=99).misses == ["99 of 100 linked"]
    assert replace(found(), shown_applied=0).misses == ["0 of 100 shown as applied"]


def test_answers_of_several_clients_become_one() -> None:
    """Lists one after the other; reasons summed."""
    answers = [
        {"times": [1.0], "losses": {"tls": 1, "timeout": 2}},
        {"times": [2.0, 3.0], "losses": {"timeout": 3}},
    ]
    assert merged(answers, "times") == [1.0, 2.0, 3.0]
    assert losses(answers) == {"timeout": 5, "tls": 1}
