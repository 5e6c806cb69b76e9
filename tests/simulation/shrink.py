"""Fewer faults for the same failure: halves first, then one by one."""

from collections.abc import Sequence
from typing import Final

from tests.simulation.bare import BareFleet
from tests.simulation.faults import Fault
from tests.simulation.oracle import BrokenError
from tests.simulation.scenario import Build, Outcome, play, without

MOST: Final = 60  # runs


def shrink(outcome: Outcome, build: Build = BareFleet) -> Sequence[Fault]:
    """The faults that are needed, as far as `MOST` runs tell."""
    wanted = _name(outcome)
    faults = list(outcome.plan.schedule())
    runs, size = 0, max(1, len(faults) // 2)
    while runs < MOST:
        for start in range(0, len(faults), size):
            fewer = faults[:start] + faults[start + size :]
            runs += 1
            if _name(play(without(outcome.plan, fewer), build)) == wanted:
                faults = fewer
                break
        else:
            if size == 1:
                break
            size //= 2
    return faults


def _name(outcome: Outcome) -> str:
    """Which failure it was."""
    failure = outcome.failure
    if isinstance(failure, BrokenError):
        return failure.name
    return type(failure).__name__
