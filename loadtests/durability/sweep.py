"""The sweep: each operation once for every kind of fault and every position of `positions.py`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from loadtests.durability import live, starts
from loadtests.durability.faults.gate import Gate, Kind, gate
from loadtests.durability.history import Round
from loadtests.durability.positions import Choice
from loadtests.durability.stories import LIVE, STARTS

KINDS: Final[tuple[Kind, ...]] = (
    "kill", "tear", "EIO", "EIO stays", "ENOSPC", "ENOSPC stays", "short", "delay",
)  # fmt: skip
STORIES: Final = tuple(story.name for story in (*LIVE, *STARTS))


class Told(NamedTuple):
    """What came of one fault: of which story and kind, at which position and call."""

    group: str
    label: str
    round: Round


@dataclass(frozen=True)
class Plan:
    """What to sweep: names of stories, kinds of faults, which positions of each."""

    stories: Sequence[str] = STORIES
    kinds: Sequence[Kind] = KINDS
    choice: Choice = field(default_factory=Choice)


def group(story: str, kind: Kind) -> str:
    """The name of what is counted together."""
    return f"{story}, {kind}"


def run(folder: Path, plan: Plan) -> Iterator[Told]:
    """All of it: a round for each fault, and a last look for each operation and kind."""
    with gate(folder) as opened:
        for name in plan.stories:
            here = folder / name.replace(" ", "-").replace("'", "")
            here.mkdir()
            yield from _story(here, opened, name, plan)


def _story(folder: Path, opened: Gate, name: str, plan: Plan) -> Iterator[Told]:
    for operation in (each for each in LIVE if each.name == name):
        for kind, label, this in live.sweep(folder, opened, operation, plan.kinds, plan.choice):
            yield Told(group(name, kind), label, this)
    for start in (each for each in STARTS if each.name == name):
        for kind, label, this in starts.sweep(folder, opened, start, plan.kinds, plan.choice):
            yield Told(group(name, kind), label, this)
