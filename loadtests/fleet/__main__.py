"""A fleet on one control plane: fleet.md under docs/benchmarks. See `loadtests.fleet.report`."""

import argparse
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import trio

from loadtests import machine
from loadtests.fleet.bulk_enrolment import enrol_agents
from loadtests.fleet.clients import ClientProcesses, running_clients
from loadtests.fleet.control_plane import ORG, ControlPlaneProcess
from loadtests.fleet.report import render_page
from loadtests.fleet.results import CpuWindow, FleetResult, Percentiles, latest, losses, merged
from loadtests.servers import raise_file_limit

SIZES: Final = (100, 1_000)
FULL: Final = 10_000
PROCESSES: Final = 2
"""Of clients: they and the control plane share two cores."""
APPLIED_WITHIN: Final = 120.0
"""Seconds; who has not applied a policy by then is counted as missing."""
LEFT_OUT: Final = ("OpenBao", "wrk", "h2load")  # of the machine's description: they take no part


def linked_within(agents: int) -> float:
    """Seconds; who is not linked by then is counted as missing."""
    return 60.0 + agents / 30.0


class Lengths(NamedTuple):
    """Seconds: of rest, of heartbeats as fast as they go, and between two figures."""

    rest: float = 30.0
    beating: float = 10.0
    settling: float = 5.0


# Whether a machine has room for so many agents: files of a process, ports of an address.
#
# Each agent is one socket of the control plane and one of a client, and takes one port of the one
# address that all of them come from.


SPARE: Final = 1_000
"""Files and ports for all else: databases, pipes, the REST API; agents that come a second time."""
PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def files_for(agents: int) -> int:
    """How many files the control plane's process may have to open."""
    return agents + SPARE


def missing_capacity(agents: int, files: int, ports: int) -> str:
    """What there is too little of and what to do; "" if there is enough.

    `files`: that a process may open; `ports`: that the kernel gives to those who connect.
    """
    if files < files_for(agents):
        return (
            f"{agents:,} agents need {files_for(agents):,} open files, and a process has {files:,} "
            f"here: `ulimit -Hn {files_for(agents)}` as root (systemd: LimitNOFILE) raises it"
        )
    if ports < agents + SPARE:
        return (
            f"{agents:,} agents need {agents + SPARE:,} ports, and the kernel has {ports:,}: "
            f'`sysctl -w net.ipv4.ip_local_port_range="20000 60999"` as root'
        )
    return ""


def ports_of(text: str) -> int:
    """How many the kernel gives to those who connect, by the text of `PORTS`."""
    first, last = map(int, text.split())
    return last - first + 1


def main() -> int:
    """Measure each size; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make bench-fleet", description=__doc__)
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} agents too")
    parser.add_argument("--agents", type=int, action="append", help="this many; may be repeated")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"), help="where to write")
    chosen = parser.parse_args()
    sizes = chosen.agents or [*SIZES, *([FULL] if chosen.full else [])]
    most = max(sizes)
    if lack := missing_capacity(
        most, raise_file_limit(files_for(most)), ports_of(PORTS.read_text())
    ):
        sys.exit(lack)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))  # with its processes
    found = []
    chosen.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="freehold-fleet-") as name:
        where = machine.describe_machine(Path(name))
        where = {what: where[what] for what in where if what not in LEFT_OUT}
        for agents in sizes:
            found.append(measure(Path(name) / str(agents), agents))
            print(f"  {found[-1]}", flush=True)
            (chosen.out / "fleet.md").write_text(render_page(found, where))
    wrong = [miss for each in found for miss in each.misses]
    for miss in wrong:
        print(f"not as it must be: {miss}", file=sys.stderr)
    return 1 if wrong else 0


LONG: Final = Lengths()


def measure(folder: Path, agents: int, lengths: Lengths = LONG) -> FleetResult:
    """One size, in a folder that is not there yet. Raises `ValueError` if nobody is linked."""
    say = ProgressLog(agents)
    say("begun")
    plane = ControlPlaneProcess(folder)
    plane.start()
    try:
        plane.create_organization()
        plane.stop()
        files = trio.run(enrol_agents, folder, ORG, agents, PROCESSES)
        say("enrolled")
        plane.start()
        with running_clients(files, "127.0.0.1", plane.link_port) as crowd:
            say("control plane and clients started")
            found = _measured(plane, crowd, agents, lengths, say)
    finally:
        plane.stop()
    say("stopped")
    return replace(found, took=say.seconds)


class ProgressLog:
    """Says what is done, and after how long: a run of 10,000 takes minutes."""

    def __init__(self, agents: int) -> None:
        self._agents = agents
        self._began = time.monotonic()

    def __call__(self, what: str) -> None:
        """To whoever waits."""
        print(f"{self._agents:,} agents, {self.seconds:.0f} s: {what}", flush=True)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began


def _measured(
    plane: ControlPlaneProcess,
    crowd: ClientProcesses,
    agents: int,
    lengths: Lengths,
    say: ProgressLog,
) -> FleetResult:
    empty, mark = plane.resident(), CpuMark.now(plane, crowd)
    linked = crowd.call(do="connect", within=linked_within(agents))
    connect = mark.until(latest(merged(linked, "times")))
    say(f"{len(merged(linked, 'times')):,} linked")
    time.sleep(lengths.settling)
    full, mark = plane.resident(), CpuMark.now(plane, crowd)
    time.sleep(lengths.rest)
    rest, mark = mark.until(), CpuMark.now(plane, crowd)
    say(f"rested, at {rest.share:.0%} of a core")
    beats = crowd.call(do="beat", seconds=lengths.beating)
    beating = mark.until()
    say("heartbeats taken")
    time.sleep(lengths.settling)
    version = plane.write_policy()
    mark = CpuMark.now(plane, crowd)
    crowd.send(do="applied", version=version, within=APPLIED_WITHIN)
    plane.roll_out(version)
    answered = time.monotonic() - mark.at
    answers = crowd.answers(APPLIED_WITHIN)
    times = [each - mark.at for each in merged(answers, "times")]
    push = mark.until(mark.at + latest(times))
    say(f"policy applied by {len(times):,} within {max(times):.1f} s")
    return FleetResult(
        agents=agents,
        linked=plane.links(),
        shown_applied=plane.applied(),
        empty=empty,
        full=full,
        connect=connect,
        rest=rest,
        beating=beating,
        beats=sum(answer["beats"] for answer in beats),
        trip=Percentiles.of(merged(beats, "trips")),
        policy=Percentiles.of(times),
        push=push,
        answered=answered,
        first=min(times),
        losses=losses(answers),
        warnings=plane.warnings(),
        clients=crowd.resident(),
    )


class CpuMark(NamedTuple):
    """A moment, and what CPU had been used by then."""

    plane: ControlPlaneProcess
    crowd: ClientProcesses
    at: float
    cpu: float
    clients: float

    @classmethod
    def now(cls, plane: ControlPlaneProcess, crowd: ClientProcesses) -> "CpuMark":
        """This moment."""
        return cls(plane, crowd, time.monotonic(), plane.cpu_seconds(), crowd.cpu_seconds())

    def until(self, end: float = 0.0) -> CpuWindow:
        """What was used since, by what ended at `end`, which is now if it is not given."""
        return CpuWindow(
            seconds=(end or time.monotonic()) - self.at,
            cpu=self.plane.cpu_seconds() - self.cpu,
            clients=self.crowd.cpu_seconds() - self.clients,
        )


if __name__ == "__main__":
    sys.exit(main())
