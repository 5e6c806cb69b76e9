"""Where an operation is struck: which of the system calls that it makes, for each kind of fault.

A position is a call that changes a file, counted from 1. The rule, by what a fault leaves behind:

- death, a torn or short write, one error: of equal calls in a row on one file the first, second and
  last. Nothing is synced between them, so what a crash leaves of the others is one of these cases.
  Where an operation does the same over and over (`repeats`), and for another length of time each
  time, a step is a call after the call before it, and each step is struck once, the first time.
- an error that stays, and a delay: once for each call on each file. The first strikes all that
  comes after as well, the second changes nothing on the disk.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from typing import Final

from loadtests.durability.faults.calls import FileCall
from loadtests.durability.faults.syscall_gate import Kind, can_strike

ALL: Final = 1 << 30  # positions; more than any operation has


@dataclass(frozen=True)
class Choice:
    """Every position, or those that the rule leaves; of these `most`, spread evenly."""

    every: bool = False
    most: int = ALL


def positions(
    trace: Sequence[FileCall], kind: Kind, choice: Choice, *, repeats: bool = False
) -> list[int]:
    """Where to strike, from 1, as `Fault.at` counts."""
    counted = [call for call in trace if can_strike(call, kind)]
    if choice.every:
        chosen = list(range(1, len(counted) + 1))
    elif kind == "delay" or kind.endswith("stays"):
        chosen = [places[0] for places in _alike([_what(call) for call in counted])]
    elif repeats:
        chosen = [places[0] for places in _alike(_steps(counted))]
    else:
        few = ({*places[:2], places[-1]} for places in _alike(_runs(counted)))
        chosen = sorted(set().union(*few))
    stride = max(1, -(-len(chosen) // choice.most))
    return chosen[stride // 2 :: stride]  # not the first: an operation begins like others do


def _what(call: FileCall) -> Hashable:
    return call.name, call.path, bool(call.worker)


def _runs(calls: Sequence[FileCall]) -> list[Hashable]:
    """For each call the number of its run."""
    number = count()
    return [run for _, group in groupby(calls, key=_what) for run in [next(number)] for _ in group]


def _steps(calls: Sequence[FileCall]) -> list[Hashable]:
    """For each call what it is, and what the call before it was."""
    what = [_what(call) for call in calls]
    return list(zip([None, *what], what, strict=False))


def _alike(keys: Sequence[Hashable]) -> list[list[int]]:
    """The places of each key, in the order of their first."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for place, key in enumerate(keys, 1):
        places[key].append(place)
    return list(places.values())
