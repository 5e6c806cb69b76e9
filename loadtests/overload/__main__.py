"""Both servers past their capacity: overload.md, overload.json and plots under docs/benchmarks.

A quick run writes under .bench/quick instead. It finds things out and judges nothing.
"""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from loadtests import machine
from loadtests.overload import disks, report, scenarios
from loadtests.overload.report import Findings
from loadtests.servers import raise_file_limit, scratch_folder

PARTS = ("rates", "crowd", "slow-readers", "slow-disk", "full-disk")
LOOKS = {
    "crowd": scenarios.crowd,
    "slow-readers": scenarios.slow_readers,
    "slow-disk": scenarios.slow_disk,
}


def main() -> int:
    """Run the parts; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make overload", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rates, 1,000 connections")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be repeated")
    parser.add_argument(
        "--server", choices=tuple(scenarios.KINDS), action="append", help="this one"
    )
    parser.add_argument("--out", type=Path, help="folder to write to")
    chosen = parser.parse_args()
    plan = scenarios.QUICK if chosen.quick else scenarios.FULL
    folder = chosen.out or Path(".bench/quick" if chosen.quick else "docs/benchmarks")
    folder.mkdir(parents=True, exist_ok=True)
    if raise_file_limit() < 2 * plan.connections:
        sys.exit(f"needs `ulimit -n` of {2 * plan.connections} for {plan.connections} connections")
    with scratch_folder() as scratch:
        taken = datetime.now(UTC).isoformat(timespec="seconds")
        findings = Findings(taken, machine.describe_machine(scratch))
        for part in chosen.only or PARTS:
            for kind in chosen.server or scenarios.KINDS:
                print(f"{part}, {kind}", flush=True)
                _run(part, kind, scratch / part / kind, plan, findings)
    report.write(findings, folder)
    print(f"written: {folder}/overload.md")
    return 0


def _run(part: str, kind: str, scratch: Path, plan: scenarios.Plan, findings: Findings) -> None:
    scratch.mkdir(parents=True)
    if part == "rates":
        findings.capacity[kind], findings.outcomes[kind] = scenarios.rates(kind, scratch, plan)
        for one in findings.outcomes[kind]:
            print(
                f"  {one.factor:4.2f}x {one.offered:7,.0f}/s: accepted {one.goodput:7,.0f}/s, "
                f"refused {one.refused}, failed {one.failed}, unanswered {one.unanswered}, "
                f"p99 {one.p99_ms:,.0f} ms, recovered after {one.recovery:.1f} s, "
                f"{one.resident >> 20} MiB",
                flush=True,
            )
    elif part == "full-disk":
        findings.full_disk[kind] = scenarios.full_disk(kind, scratch)
        print(f"  {findings.full_disk[kind]}", flush=True)
    elif part == "slow-disk" and not disks.has_strace():
        findings.notes.append(f"{part}, {kind}: strace is not there")
    else:
        found = LOOKS[part](kind, scratch, plan)
        findings.seen.setdefault(kind, []).extend(found)
        print("\n".join(scenarios.lines(found)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
