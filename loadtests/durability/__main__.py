"""The command: `python -m loadtests.durability [kill] [power] [points] [--rounds N]`.

A kind of fault that this machine cannot do is named and not counted; with CI set it is a failure,
since nobody looks there at what was not proven.
"""

import argparse
import os
import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, get_args

from loadtests.durability import report, rounds, sweep
from loadtests.durability.faults import gate, kill, power
from loadtests.durability.process import Weakness
from tests.acceptance.agent import own_folder

ROUNDS: Final = 200
STORIES: Final = sweep.Plan().stories
KINDS: Final = ("kill", "power", "points")
OWN_MOUNTS: Final = "FREEHOLD_OWN_MOUNTS"  # set once we have them


def main() -> int:
    """Run the chosen kinds; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make durability", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; or all")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of kill and of power, each")
    parser.add_argument("--workers", type=int, default=1, help="processes of the agent, of kill")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--weaken", choices=get_args(Weakness), default="", help="the agent")
    parser.add_argument("--story", action="append", choices=STORIES, help="of points, these only")
    parser.add_argument("--fault", action="append", choices=sweep.KINDS, help="the same")
    parser.add_argument("--every", action="store_true", help="of equal calls in a row, all")
    parser.add_argument("--most", type=int, default=sweep.NEVER, help="positions of each story")
    chosen = parser.parse_args()
    if unknown := set(chosen.kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    _leave_no_mounts()
    print(f"seed {chosen.seed}", flush=True)
    tallies = [tally for kind in chosen.kinds or KINDS for tally in _run(kind, chosen)]
    print(report.table(tallies))
    return int(any(tally.failed or (tally.undone and os.environ.get("CI")) for tally in tallies))


def _run(kind: str, chosen: argparse.Namespace) -> list[report.Tally]:
    """One kind; the sweep has a tally for each story and fault."""
    if why_not := WHY_NOT[kind]():
        print(f"{kind}: not done here: {why_not}")
        return [report.Tally(kind, undone=why_not)]
    tallies: dict[str, report.Tally] = {}
    chance = random.Random(chosen.seed)  # noqa: S311  # chance of a test, not a key
    with own_folder() as folder:
        for group, label, this in RUN[kind](folder, chosen, chance):
            tallies.setdefault(group, report.Tally(group)).add(this)
            print(report.line(f"{group} {label}", this), flush=True)
    return list(tallies.values()) or [report.Tally(kind)]


def _rounds(
    kind: str,
    make: rounds.MakeVictim,
    folder: Path,
    chosen: argparse.Namespace,
    chance: random.Random,
) -> sweep.Labelled:
    found = rounds.run(make, folder, rounds=chosen.rounds, chance=chance, weakness=chosen.weaken)
    return ((kind, str(number), this) for number, this in enumerate(found, 1))


def _kills(folder: Path, chosen: argparse.Namespace, chance: random.Random) -> sweep.Labelled:
    return _rounds("kill", partial(kill.Killed, workers=chosen.workers), folder, chosen, chance)


def _points(folder: Path, chosen: argparse.Namespace, _chance: random.Random) -> sweep.Labelled:
    plan = sweep.Plan(
        chosen.story or STORIES,
        chosen.fault or sweep.KINDS,
        every=chosen.every,
        most=chosen.most,
    )
    return sweep.run(folder, plan)


RUN: Final[dict[str, Callable[[Path, argparse.Namespace, random.Random], sweep.Labelled]]] = {
    "kill": _kills,
    "power": partial(_rounds, "power", power.PoweredOff),
    "points": _points,
}
WHY_NOT: Final[dict[str, Callable[[], str]]] = {
    "kill": kill.why_not,
    "power": power.why_not,
    "points": gate.why_not,
}


def _leave_no_mounts() -> None:
    """Go on in a mount namespace of our own, so that a mount is gone with us however we end."""
    if os.geteuid() == 0 and OWN_MOUNTS not in os.environ:
        os.environ[OWN_MOUNTS] = "yes"
        here = [sys.executable, "-m", "loadtests.durability", *sys.argv[1:]]
        os.execvp("unshare", ["unshare", "--mount", *here])  # noqa: S606, S607  # no shell, PATH's


if __name__ == "__main__":
    sys.exit(main())
