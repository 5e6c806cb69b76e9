"""screen.md."""

from loadtests.dashboard.report import render_page
from loadtests.dashboard.results import DashboardResult


def found(agents: int) -> DashboardResult:
    """A run."""
    return DashboardResult(
        agents=agents, opened=0.84, snapshot=2048, bytes_a_minute=1536.0, messages_a_minute=61.5,
        alert=[(50.0, 60.0), (52.0, 61.0), (90.0, 95.0)], link=[(10.0, 20.0)] * 3,
        heap=[3.62, 3.9], nodes=[1300, 1310], events=5_700,
    )  # fmt: skip


def test_each_fleet_is_a_column_with_median_and_worst() -> None:
    """The DOM and the frame that was drawn apart, and the load that the machine had."""
    lines = render_page([found(100), found(10_000)], {"processor": "2 cores"}, 4.5).splitlines()
    assert "|  | 100 agents | 10,000 agents |" in lines
    assert "| alert to DOM: p50, max | 52, 90 ms | 52, 90 ms |" in lines
    assert "| alert to drawn: p50, max | 61, 95 ms | 61, 95 ms |" in lines
    assert "| received a minute | 1.5 KiB | 1.5 KiB |" in lines
    assert "| heap before, after each hour | 3.6, 3.9 MiB | 3.6, 3.9 MiB |" in lines
    assert "Machine: processor: 2 cores. Load average afterwards: 4.50." in lines
