"""A fleet on one control plane: fleet.md under docs/benchmarks. See `loadtests.fleet.report`."""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import trio

from loadtests import machine
from loadtests.fleet.clients import Clients, clients
from loadtests.fleet.crew import enrol
from loadtests.fleet.figures import Found, Spread, Window, losses, merged
from loadtests.fleet.plane import ORG, Plane
from loadtests.fleet.report import page
from loadtests.servers import many_files

SIZES: Final = (100, 1_000)
FULL: Final = 10_000
PROCESSES: Final = 4
REST: Final = 30.0  # seconds
BEATING: Final = 10.0
SETTLING: Final = 5.0
LEFT_OUT: Final = ("OpenBao", "wrk", "h2load")  # of the machine's description: they take no part


def main() -> int:
    """Measure each size; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make bench-fleet", description=__doc__)
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} agents too")
    parser.add_argument("--agents", type=int, action="append", help="this many; may be repeated")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"), help="where to write")
    chosen = parser.parse_args()
    sizes = chosen.agents or [*SIZES, *([FULL] if chosen.full else [])]
    if many_files() < 2 * max(sizes):
        sys.exit(f"needs `ulimit -n` of {2 * max(sizes)} for {max(sizes)} agents")
    found = []
    chosen.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="freehold-fleet-") as name:
        where = machine.describe(Path(name))
        where = {what: where[what] for what in where if what not in LEFT_OUT}
        for agents in sizes:
            found.append(measure(Path(name) / str(agents), agents))
            print(f"  {found[-1]}", flush=True)
            (chosen.out / "fleet.md").write_text(page(found, where))
    wrong = [miss for each in found for miss in each.misses]
    for miss in wrong:
        print(f"not as it must be: {miss}", file=sys.stderr)
    return 1 if wrong else 0


def measure(folder: Path, agents: int) -> Found:
    """One size, from an empty folder."""
    print(f"{agents:,} agents", flush=True)
    plane = Plane(folder)
    plane.start()
    try:
        plane.found_organization()
        plane.stop()
        files = trio.run(enrol, folder, ORG, agents, PROCESSES)
        plane.start()
        with clients(files, "127.0.0.1", plane.link_port) as crowd:
            return _measured(plane, crowd, agents)
    finally:
        plane.stop()


def _measured(plane: Plane, crowd: Clients, agents: int) -> Found:
    empty, (began, cpu) = plane.resident(), _clock(plane)
    linked = crowd.ask(do="connect")
    connect = Window(seconds=max(merged(linked, "times")) - began, cpu=plane.cpu_seconds() - cpu)
    time.sleep(SETTLING)
    full, rest = plane.resident(), _rest(plane)
    mark = _clock(plane)
    beats = crowd.ask(do="beat", seconds=BEATING)
    beating = _since(plane, mark)
    time.sleep(SETTLING)
    version = plane.write_policy()
    mark = _clock(plane)
    crowd.begin(do="applied", version=version)
    plane.roll_out(version)
    answers = crowd.answers()
    push = _since(plane, mark)
    times = [each - mark[0] for each in merged(answers, "times")]
    return Found(
        agents=agents,
        linked=plane.links(),
        shown_applied=plane.applied(),
        empty=empty,
        full=full,
        connect=connect,
        rest=rest,
        beating=beating,
        beats=sum(answer["beats"] for answer in beats),
        trip=Spread.of(merged(beats, "trips")),
        policy=Spread.of(times),
        push=Window(seconds=max(times), cpu=push.cpu),
        losses=losses(answers),
        warnings=plane.warnings(),
    )


def _rest(plane: Plane) -> Window:
    mark = _clock(plane)
    time.sleep(REST)
    return _since(plane, mark)


def _clock(plane: Plane) -> tuple[float, float]:
    return time.monotonic(), plane.cpu_seconds()


def _since(plane: Plane, mark: tuple[float, float]) -> Window:
    return Window(seconds=time.monotonic() - mark[0], cpu=plane.cpu_seconds() - mark[1])


if __name__ == "__main__":
    sys.exit(main())
