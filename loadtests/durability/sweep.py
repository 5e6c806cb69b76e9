"""The sweep: each operation once for every kind of fault and every position of `positions.py`.

By an agent of one process, and by one of several, as it is by itself on more than one core.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple, get_args

from loadtests.durability import live_faults, startup_faults
from loadtests.durability.faults.syscall_gate import OF_WORKERS, Kind, SyscallGate, open_gate
from loadtests.durability.history import Round
from loadtests.durability.positions import Choice
from loadtests.durability.scenarios import LIVE, STARTS

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
SCENARIO_NAMES: Final = tuple(story.name for story in (*LIVE, *STARTS))
FORMS: Final = (1, 2)  # an agent of one process, and one of several, as it is by itself


class SweepResult(NamedTuple):
    """What came of one fault: of which story and kind, at which position and call."""

    group: str
    label: str
    round: Round


@dataclass(frozen=True)
class Plan:
    """What to sweep: names of stories, kinds of faults, which positions of each, whose."""

    stories: Sequence[str] = SCENARIO_NAMES
    kinds: Sequence[Kind] = KINDS
    choice: Choice = field(default_factory=Choice)
    forms: Sequence[int] = FORMS


def in_form(name: str, workers: int) -> str:
    """The name of what was done by an agent with so many workers."""
    return f"{name}, {workers} processes" if workers > 1 else name


def group(story: str, kind: Kind, workers: int = 1) -> str:
    """The name of what is counted together."""
    return in_form(f"{story}, {kind}", workers)


def kinds_of(story: str, workers: int) -> tuple[Kind, ...]:
    """Those that there are: a worker's death is of what workers do."""
    is_worked_on = workers > 1 and story in {each.name for each in LIVE if each.by_workers}
    return tuple(kind for kind in KINDS if is_worked_on or kind not in OF_WORKERS)


def run_sweep(folder: Path, plan: Plan) -> Iterator[SweepResult]:
    """All of it: a round for each fault, and a last look for each operation and kind."""
    with open_gate(folder) as opened:
        for name in plan.stories:
            for workers in plan.forms:
                here = folder / f"{name.replace(' ', '-')}-{workers}".replace("'", "")
                here.mkdir()
                yield from _story(here, opened, name, workers, plan)


def _story(
    folder: Path, opened: SyscallGate, name: str, workers: int, plan: Plan
) -> Iterator[SweepResult]:
    kinds = [kind for kind in plan.kinds if kind in kinds_of(name, workers)]
    found = chain(
        *(
            live_faults.sweep(folder, opened, operation, kinds, plan.choice, workers=workers)
            for operation in LIVE
            if operation.name == name
        ),
        *(
            startup_faults.sweep(folder, opened, start, kinds, plan.choice, workers=workers)
            for start in STARTS
            if start.name == name
        ),
    )
    for kind, label, this in found:
        yield SweepResult(group(name, kind, workers), label, this)
