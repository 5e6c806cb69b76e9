"""The command: `python -m loadtests.durability [kill] [power] [points] [--rounds N] [--seed S]`.

A kind of fault that this machine cannot do is named and not counted; with CI set it is a failure,
since nobody looks there at what was not proven.
"""

import argparse
import os
import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, get_args

from loadtests.durability import report, rounds
from loadtests.durability.faults import kill, power
from loadtests.durability.history import Round
from loadtests.durability.process import Weakness
from tests.acceptance.agent import own_folder

ROUNDS: Final = 200
KINDS: Final = ("kill", "power")
OWN_MOUNTS: Final = "FREEHOLD_OWN_MOUNTS"  # set once we have them


def main() -> int:
    """Run the chosen kinds; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make durability", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; or all")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of kill and of power, each")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--weaken", choices=get_args(Weakness), default="", help="the agent")
    chosen = parser.parse_args()
    if unknown := set(chosen.kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    _leave_no_mounts()
    print(f"seed {chosen.seed}", flush=True)
    tallies = [_tally(kind, chosen) for kind in chosen.kinds or KINDS]
    print(report.table(tallies))
    return int(any(tally.failed or (tally.undone and os.environ.get("CI")) for tally in tallies))


def _tally(kind: str, chosen: argparse.Namespace) -> report.Tally:
    tally = report.Tally(kind)
    tally.undone = WHY_NOT[kind]()
    if tally.undone:
        print(f"{kind}: not done here: {tally.undone}")
        return tally
    chance = random.Random(chosen.seed)  # noqa: S311  # chance of a test, not a key
    with own_folder() as folder:
        for label, this in RUN[kind](folder, chosen, chance):
            tally.add(this)
            print(report.line(f"{kind} {label}", this), flush=True)
    return tally


Labelled = Iterator[tuple[str, Round]]


def _rounds(
    make: rounds.MakeVictim, folder: Path, chosen: argparse.Namespace, chance: random.Random
) -> Labelled:
    found = rounds.run(make, folder, rounds=chosen.rounds, chance=chance, weakness=chosen.weaken)
    return ((str(number), this) for number, this in enumerate(found, 1))


RUN: Final[dict[str, Callable[[Path, argparse.Namespace, random.Random], Labelled]]] = {
    "kill": partial(_rounds, kill.Killed),
    "power": partial(_rounds, power.PoweredOff),
}
WHY_NOT: Final[dict[str, Callable[[], str]]] = {"kill": kill.why_not, "power": power.why_not}


def _leave_no_mounts() -> None:
    """Go on in a mount namespace of our own, so that a mount is gone with us however we end."""
    if os.geteuid() == 0 and OWN_MOUNTS not in os.environ:
        os.environ[OWN_MOUNTS] = "yes"
        here = [sys.executable, "-m", "loadtests.durability", *sys.argv[1:]]
        os.execvp("unshare", ["unshare", "--mount", *here])  # noqa: S606, S607  # no shell, PATH's


if __name__ == "__main__":
    sys.exit(main())
