"""The dashboard in a browser: screen.md under docs/benchmarks. See `loadtests.dashboard.report`."""

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import Final

import trio

from loadtests import machine
from loadtests.dashboard.environment import running_environment
from loadtests.dashboard.measure import measure_fleet
from loadtests.dashboard.report import render_page
from loadtests.dashboard.results import DashboardResult

SIZE: Final = 100
FULL: Final = 10_000
LEFT_OUT: Final = ("OpenBao", "wrk", "h2load")  # of the machine's description: they take no part


def main() -> int:
    """Measure each size; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make bench-screen", description=__doc__)
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} agents too")
    parser.add_argument("--agents", type=int, action="append", help="this many; may be repeated")
    parser.add_argument("--minutes", type=float, default=1.0, help="for which bytes are counted")
    parser.add_argument("--hours", type=int, default=2, help="that are played quickly")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"), help="where to write")
    chosen = parser.parse_args()
    found: list[DashboardResult] = []
    chosen.out.mkdir(parents=True, exist_ok=True)
    described = machine.describe_machine(chosen.out)
    where = {what: described[what] for what in described if what not in LEFT_OUT}
    for agents in chosen.agents or [SIZE, *([FULL] if chosen.full else [])]:
        found.append(trio.run(_measured, agents, chosen.minutes, chosen.hours))
        print(f"  {found[-1]}", flush=True)
        (chosen.out / "screen.md").write_text(render_page(found, where, os.getloadavg()[0]))
    return 0


async def _measured(agents: int, minutes: float, hours: int) -> DashboardResult:
    async with running_environment(agents, hours) as made:
        return await trio.to_thread.run_sync(partial(measure_fleet, made, agents, minutes, hours))


if __name__ == "__main__":
    sys.exit(main())
