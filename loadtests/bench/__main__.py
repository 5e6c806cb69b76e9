"""Freehold beside OpenBao in one run: tables, plots and raw figures under docs/benchmarks.

A quick run writes under .bench/quick instead, so that it does not replace published figures.
What is measured so far is under .bench/so-far: a long run that is cut off is not for nothing.
Exits with 1 when a run was void.
"""

import argparse
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from loadtests import machine
from loadtests.bench import contestants, databases, report
from loadtests.bench.measure import print_progress
from loadtests.bench.plan import PROFILES, Depth, Profile
from loadtests.bench.results import Results, read_results
from loadtests.servers import running_servers, scratch_folder

DOCS = Path("docs/benchmarks")
README = Path("README.md")
TRIAL = Path(".bench/quick")
SO_FAR = Path(".bench/so-far")
MILLION = 1_000_000


def main() -> int:
    """Run the comparison; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the main rows, within 3 minutes")
    parser.add_argument("--full", action="store_true", help="every row, longer and more often")
    parser.add_argument("--million", action="store_true", help="with 1,000,000 secrets as well")
    parser.add_argument("--postgresql", action="store_true", help="its rows alone, anew")
    parser.add_argument("--seconds", type=int, help="of one run")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--out", type=Path, help="folder to write to; the README stays as it is")
    chosen = parser.parse_args()
    profile = _profile(chosen)
    folder = chosen.out or (TRIAL if chosen.quick else DOCS)
    results = _measure_postgresql(profile) if chosen.postgresql else _measure(profile)
    _keep(results, folder)
    print_progress(f"\nwritten: {folder}/results.md")
    for void in results.voids:
        print_progress(f"VOID {void}")
    return 1 if results.voids else 0


def _keep(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    report.write(results, folder, README if folder == DOCS else None)


def _profile(chosen: argparse.Namespace) -> Profile:
    depth = Depth.FULL if chosen.full else Depth.QUICK if chosen.quick else Depth.DEFAULT
    profile = PROFILES[depth]
    return replace(
        profile,
        seconds=chosen.seconds or profile.seconds,
        rounds=chosen.rounds or profile.rounds,
        stored=(*profile.stored, MILLION) if chosen.million else profile.stored,
    )


def _measure(profile: Profile) -> Results:
    with scratch_folder() as folder:
        taken = datetime.now(UTC).isoformat(timespec="seconds")
        results = Results(taken, machine.describe_machine(folder), asdict(profile))
        print_progress(machine.sentence(results.machine))
        servers = contestants.Contestants(folder)
        with running_servers(*servers.all):
            servers.set_up()
            for stored in profile.stored:
                servers.store(stored)
                contestants.run_stage(stored, servers, profile, results)
                _keep(results, SO_FAR)
        databases.run_databases(folder, profile, results)
        _keep(results, SO_FAR)
        return results


def _measure_postgresql(profile: Profile) -> Results:
    """The published results with other rows on PostgreSQL."""
    results = read_results((DOCS / "results.json").read_text())
    with scratch_folder() as folder:
        results.on_postgresql = []
        where = machine.sentence(machine.describe_machine(folder))
        databases.run_databases(folder, profile, results)
    note = databases.NOTE.format(profile.rounds, profile.seconds, where)
    old = databases.NOTE.partition("{")[0]
    results.notes = [one for one in results.notes if not one.startswith(old)] + [note]
    return results


if __name__ == "__main__":
    sys.exit(main())
