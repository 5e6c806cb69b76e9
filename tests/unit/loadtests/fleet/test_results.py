"""What a fleet's run makes for each agent."""

from dataclasses import replace

import pytest

from loadtests.fleet.results import CpuWindow, FleetResult, Percentiles, latest


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
