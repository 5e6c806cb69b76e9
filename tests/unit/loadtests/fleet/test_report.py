"""fleet.md."""

from loadtests.fleet.report import render_page
from loadtests.fleet.results import CpuWindow, FleetResult, Percentiles


def found(agents: int, **losses: int) -> FleetResult:
    """A run."""
    return FleetResult(
        agents=agents, linked=agents, shown_applied=agents, empty=100 << 20, full=228 << 20,
        connect=CpuWindow(seconds=12.34, cpu=2.0), rest=CpuWindow(seconds=10.0, cpu=0.2),
        beating=CpuWindow(seconds=5.0, cpu=4.0), beats=10_000, trip=Percentiles.of([0.25]),
        policy=Percentiles.of([1.0, 2.5]), push=CpuWindow(seconds=2.5, cpu=1.5), losses=losses,
        answered=0.05, first=0.5, clients=64 << 20, took=99.6,
    )  # fmt: skip


def test_each_fleet_is_a_column() -> None:
    """In the order of the runs, totals and shares alike."""
    lines = render_page(
        [found(100), found(1_000, timeout=7)], {"processor": "2 cores"}
    ).splitlines()
    assert lines.count("|  | 100 agents | 1,000 agents |") == 2
    assert "| all linked | 12.3 s | 12.3 s |" in lines
    assert "| memory | 1,311 KiB | 131 KiB |" in lines
    assert "| connections lost or refused | none | 7 timeout |" in lines


def test_times_have_their_units() -> None:
    """A policy in seconds, ten heartbeats in milliseconds."""
    text = render_page([found(100)], {"processor": "2 cores"})
    assert "| policy applied by all: p50, p99, longest | 1.00, 2.50, 2.50 s |" in text
    assert "| ten heartbeats and a ping: p50, p99, longest | 250, 250, 250 ms |" in text
    assert "| request answered, policy applied by the first | 0.05 s, 0.50 s |" in text
    assert "| the whole run, with enrolling them | 100 s |" in text
    assert "| resident, all clients | 64 MiB |" in text
    assert "Machine: processor: 2 cores." in text
