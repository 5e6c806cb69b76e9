"""The command: `python -m loadtests.durability [kill] [power] [points] [--rounds N]`.

It writes durability.md and durability.json into a folder, where it keeps what other runs found.

A kind of fault that this machine cannot do is named and not counted; with CI set it is a failure,
since nobody looks there at what was not proven.
"""

import argparse
import os
import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final, get_args

from loadtests.agent_process import own_folder
from loadtests.durability import report, report_page, results, rounds, sweep
from loadtests.durability.faults import kill, power, syscall_gate
from loadtests.durability.live_faults import NOT_REACHED
from loadtests.durability.positions import ALL, Choice
from loadtests.durability.process import Weakness

ROUNDS: Final = 200
SWEPT: Final = "points"
KINDS: Final = ("kill", "power", SWEPT)
OWN_MOUNTS: Final = "FREEHOLD_OWN_MOUNTS"  # set once we have them


def main() -> int:
    """Run the chosen kinds; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make durability", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; or all")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of kill and of power, each")
    parser.add_argument(
        "--workers", type=int, action="append", help="of agents, these only; all with each"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--weaken", choices=get_args(Weakness), default="", help="the agent")
    parser.add_argument(
        "--story", action="append", choices=sweep.SCENARIO_NAMES, help="of points, these only"
    )
    parser.add_argument("--fault", action="append", choices=sweep.KINDS, help="the same")
    parser.add_argument("--every", action="store_true", help="position, not the rule's choice")
    parser.add_argument("--most", type=int, default=ALL, help="positions of each story and fault")
    parser.add_argument("--out", type=Path, default=Path(".bench/quick"), help="where to write")
    chosen = parser.parse_args()
    if unknown := set(chosen.kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    if set(chosen.workers or ()) - set(sweep.FORMS):
        parser.error(f"the page has rows for workers of {', '.join(map(str, sweep.FORMS))}")
    _leave_no_mounts()
    print(f"seed {chosen.seed}", flush=True)
    chosen.out.mkdir(parents=True, exist_ok=True)
    run = results.Run(chosen.seed, chosen.most if chosen.most < ALL else 0)
    found: dict[str, report.Tally] = {}
    for tally in (tally for kind in chosen.kinds or KINDS for tally in _run(kind, chosen)):
        found[tally.kind] = tally
        results.save_result(chosen.out, run, tally)
    print(report.format_table(found.values()))
    undone = bool(os.environ.get("CI")) and any(tally.undone for tally in found.values())
    return int(undone or not found or any(tally.failed for tally in found.values()))


def _run(kind: str, chosen: argparse.Namespace) -> Iterator[report.Tally]:
    """One kind, after each round; of the sweep each story and fault, once it is whole."""
    if why_not := WHY_NOT[kind]():
        print(f"{kind}: not done here: {why_not}")
        yield report.Tally(kind, undone=why_not)
        return
    with own_folder() as folder:
        found = RUN[kind](folder, chosen)
        for group, rest in groupby(found, key=lambda told: told.group):
            tally = report.Tally(group)
            for told in rest:
                tally.add_round(told.round)
                tally.missed += NOT_REACHED in told.label
                print(report.format_line(f"{group} {told.label}", told.round), flush=True)
                if kind != SWEPT:
                    yield tally
            yield tally


def _rounds(
    kind: str,
    make: Callable[..., rounds.FaultTarget],
    folder: Path,
    chosen: argparse.Namespace,
) -> Iterator[sweep.SweepResult]:
    name = f"{kind}{report_page.WEAKENED}{chosen.weaken}" if chosen.weaken else kind
    for workers in chosen.workers or sweep.FORMS:
        own = folder / str(workers)
        own.mkdir()
        victim = partial(make, workers=workers)
        chance = random.Random(chosen.seed)  # noqa: S311  # chance of a test, not a key
        found = rounds.run_rounds(
            victim, own, rounds=chosen.rounds, chance=chance, weakness=chosen.weaken
        )
        for number, this in enumerate(found, 1):
            yield sweep.SweepResult(sweep.in_form(name, workers), str(number), this)


def _points(folder: Path, chosen: argparse.Namespace) -> Iterator[sweep.SweepResult]:
    stories = [s for s in sweep.SCENARIO_NAMES if s in (chosen.story or sweep.SCENARIO_NAMES)]
    kinds = [k for k in sweep.KINDS if k in (chosen.fault or sweep.KINDS)]
    choice, forms = Choice(chosen.every, chosen.most), chosen.workers or sweep.FORMS
    return sweep.run_sweep(folder, sweep.Plan(stories, kinds, choice, forms))


Find = Callable[[Path, argparse.Namespace], Iterator[sweep.SweepResult]]
RUN: Final[dict[str, Find]] = {
    "kill": partial(_rounds, "kill", kill.KilledAgent),
    "power": partial(_rounds, "power", power.PowerCutAgent),
    "points": _points,
}
WHY_NOT: Final[dict[str, Callable[[], str]]] = {
    "kill": kill.why_not,
    "power": power.why_not,
    "points": syscall_gate.why_not,
}


def _leave_no_mounts() -> None:
    """Go on in a mount namespace of our own, so that a mount is gone with us however we end."""
    if os.geteuid() == 0 and OWN_MOUNTS not in os.environ:
        os.environ[OWN_MOUNTS] = "yes"
        here = [sys.executable, "-m", "loadtests.durability", *sys.argv[1:]]
        os.execvp("unshare", ["unshare", "--mount", *here])  # noqa: S606, S607  # no shell, PATH's


if __name__ == "__main__":
    sys.exit(main())
