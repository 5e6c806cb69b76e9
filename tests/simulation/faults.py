"""What goes wrong, when, to whom and for how long: a list that follows from a seed.

A list, not a process that draws as it goes: so a failing seed can be tried with fewer of them.
"""

import random
from dataclasses import dataclass
from typing import Final

from tests.simulation.relay import HARMS

CONTROL: Final = "control"

MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """`length` seconds from `at` on; `kind` is a word of `KINDS`, `detail` its particulars."""

    at: float
    kind: str
    target: str
    length: float
    detail: str = ""

    def __str__(self) -> str:
        """For a person."""
        return f"{self.at:.1f}s {self.kind} {self.target} {self.detail} for {self.length:.1f}s"


KINDS: Final = {
    "cut": 4,  # no route; both ends are told
    "black_hole": 4,  # nothing arrives, nobody is told
    "half_open": 3,  # one way only
    "slow": 3,  # latency of seconds
    "lag": 5,  # the same, but of the present connections only: later ones overtake them
    "tamper": 6,  # one frame is changed, lost, moved, repeated, or one of earlier comes again
    "crash": 5,  # kill -9; the kernel resets its connections
    "power": 2,  # the machine is gone without a word
    "stop": 1,  # SIGTERM
    "control_crash": 3,
    "control_power": 1,
    "control_stop": 2,
    "skew": 3,  # a clock that is wrong by less than the link forgives
    "wrong_clock": 1,  # and by more
    "slow_disk": 2,
    "disk_error": 2,  # it refuses what it is asked for, or says so when it has done it
    "actor": 2,  # one actor or task crashes, wherever it is
    "fork": 1,  # an agent comes back with an old copy of its audit log
    "theft": 1,  # somebody has a copy of an agent's certificate and key, and uses it
}
"""Kind → how often it comes, in proportion."""


def schedule(
    chance: random.Random, agents: list[str], *, begin: float, end: float, per_hour: float
) -> list[Fault]:
    """Faults between `begin` and `end`, in order; `per_hour` for each agent."""
    count = round(per_hour * len(agents) * (end - begin) / (60 * MINUTE))
    faults = [_fault(chance, agents, begin, end) for _ in range(count)]
    return sorted(faults, key=lambda fault: (fault.at, fault.kind, fault.target))


def _fault(chance: random.Random, agents: list[str], begin: float, end: float) -> Fault:
    kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
    at = begin + chance.random() * (end - begin)
    target = _target(chance, kind, agents)
    length = _length(chance, kind)
    return Fault(at, kind, target, min(length, end - at), _detail(chance, kind))


def _target(chance: random.Random, kind: str, agents: list[str]) -> str:
    if kind in {"skew", "wrong_clock", "slow_disk", "disk_error", "actor"}:
        return chance.choice([*agents, CONTROL])
    return CONTROL if kind.startswith("control_") else chance.choice(agents)


def _length(chance: random.Random, kind: str) -> float:
    """Mostly around the link's own time limits, sometimes long."""
    if kind == "tamper":
        return MINUTE
    if chance.random() < 0.1:
        return chance.uniform(5, 20) * MINUTE
    return chance.choice((0.5, 3, 12, 35, 70)) * (0.5 + chance.random())


def _detail(chance: random.Random, kind: str) -> str:
    match kind:
        case "half_open":
            return chance.choice(("up", "down"))
        case "lag":
            return f"{chance.uniform(2, 40):.3f}"
        case "slow":
            return f"{chance.uniform(0.5, 9):.3f}"
        case "tamper":
            return f"{chance.choice(('up', 'down'))} {chance.choice(HARMS)}"
        case "skew":
            return f"{chance.uniform(-140, 140):.3f}"
        case "wrong_clock":
            return f"{chance.choice((-1, 1)) * chance.uniform(400, 90_000):.3f}"
        case "theft":
            return f"{chance.uniform(1, 1200):.3f}"
        case "actor":
            return chance.choice(("before", "after"))
        case "fork":
            return str(chance.randrange(1, 200))
        case "slow_disk":
            return f"{chance.uniform(0.1, 4):.3f}"
    return ""
