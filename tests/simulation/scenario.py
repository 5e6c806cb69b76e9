"""One seed: a fleet, its work, its faults, the healing, and what must hold throughout."""

import random
import resource
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

import trio

from tests.simulation.bare import BareFleet
from tests.simulation.faults import CONTROL, Fault, schedule
from tests.simulation.havoc import Havoc
from tests.simulation.machine import Disk, SimWorld
from tests.simulation.network import Network
from tests.simulation.oracle import BrokenError, broken, stampede, watch
from tests.simulation.process import Main, Process
from tests.simulation.scheduler import chance_of, simulate
from tests.simulation.trace import Trace

HEAL_SECONDS: Final = 900.0
"""After the last fault everything must be through within this: longer than any backoff, the
presence rule and a full outbox together need."""
CHECK_SECONDS: Final = 5.0


class Fleet(Protocol):
    """What is simulated: two mains, and what must hold of them."""

    async def control(self, world: SimWorld) -> None:
        """The control plane's process."""
        ...

    async def agent(self, name: str, world: SimWorld) -> None:
        """An agent's."""
        ...

    def seen(self) -> AbstractContextManager[None]:
        """The oracle looks for the length of the block."""
        ...

    def checks(self) -> None:
        """Raises `BrokenError`; called all the time."""
        ...

    def harm(self, fault: Fault) -> None:
        """A fault of its own kind."""
        ...

    def waiting(self) -> set[str]:
        """Agents of which something is under way in a healthy world."""
        ...

    def arrived(self, name: str) -> None:
        """Raises `BrokenError`; called at a moment when nothing of this agent waits."""
        ...

    async def settled(self) -> None:
        """What is not an agent's. Raises `BrokenError`; called at the end."""
        ...


Build = Callable[..., Fleet]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is made of; `faults` None: those of the seed."""

    seed: int
    agents: int = 4
    hours: float = 1.0
    faults_per_hour: float = 20.0
    faults: tuple[Fault, ...] | None = None
    quick: bool = True

    def names(self) -> list[str]:
        """Of the agents."""
        return [f"vault-{number}" for number in range(self.agents)]

    def schedule(self) -> tuple[Fault, ...]:
        """The faults of this run."""
        if self.faults is not None:
            return self.faults
        chance = chance_of(self.seed, "faults")
        end = self.hours * 3600
        return tuple(
            schedule(chance, self.names(), begin=30, end=end, per_hour=self.faults_per_hour)
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `digest`: of its trace, equal for equal plans."""

    plan: Plan
    digest: str
    lines: int
    agent_hours: float
    faults: int
    cpu: float
    failure: BaseException | None = None
    last: Sequence[str] = field(default=(), repr=False)


def play(
    plan: Plan, build: Build = BareFleet, echo: Callable[[str], None] | None = None
) -> Outcome:
    """Run it. A failure is in the outcome, not raised."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    trace, hours = Trace(echo), 0.0
    failure: BaseException | None = None
    try:
        hours = simulate(plan.seed, _run, plan, build, trace)
    except BaseException as error:  # told by whoever plays
        if isinstance(error, KeyboardInterrupt):
            raise
        failure = root_cause(error)
    cpu = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
    return Outcome(
        plan, trace.digest, trace.lines, hours, len(plan.schedule()), cpu, failure, [*trace.last]
    )


def root_cause(error: BaseException) -> BaseException:
    """The invariant that broke, or the first error, of a group."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [root_cause(each) for each in error.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, BrokenError)), leaves[0])


def without(plan: Plan, faults: Sequence[Fault]) -> Plan:
    """The same run with these faults only."""
    return replace(plan, faults=tuple(faults))


def away(plan: Plan) -> Plan:
    """The same run, without a control plane from its tenth minute to its last but ten."""
    begin, end = 600.0, plan.hours * 3600 - 600
    return without(plan, [Fault(begin, "control_power", CONTROL, end - begin)])


async def _run(plan: Plan, build: Build, trace: Trace) -> float:
    """Agent-hours that were played."""
    names = plan.names()
    network = Network(plan.seed, trace)
    with TemporaryDirectory() as folder:
        fleet = build(plan.seed, names, network, Path(folder), quick=plan.quick)
        with fleet.seen():
            await _live(plan, fleet, network, trace)
    return len(names) * trio.current_time() / 3600


async def _live(plan: Plan, fleet: Fleet, network: Network, trace: Trace) -> None:
    """From the first start to the last check."""
    names = plan.names()
    mains: dict[str, Main] = {CONTROL: fleet.control}
    mains |= {name: partial(fleet.agent, name) for name in names}
    processes = {name: _process(plan.seed, name, main, trace) for name, main in mains.items()}
    havoc = Havoc(network, processes, trace, fleet.harm)
    faults = plan.schedule()
    async with trio.open_nursery() as nursery:
        for process in processes.values():
            nursery.start_soon(process.run)
        nursery.start_soon(watch, [fleet.checks], CHECK_SECONDS)
        await havoc.run(faults)
        await trio.sleep_until(plan.hours * 3600)
        havoc.heal()
        healed = trio.current_time()
        await _settle(fleet, names)
        await fleet.settled()
        stampede(network.arrivals, healed, len(names))
        nursery.cancel_scope.cancel()
    _no_tasks_left()


async def _settle(fleet: Fleet, left: list[str]) -> None:
    """After a good while each agent has a moment when nothing of it waits, and all has arrived.

    Each its own: the work goes on, and the more agents there are, the seldomer do all of them have
    nothing under way at once.
    """
    with trio.move_on_after(HEAL_SECONDS):
        await trio.sleep(300)
        while left:
            waiting = fleet.waiting()
            for name in left:
                if name not in waiting:
                    fleet.arrived(name)
            left = [name for name in left if name in waiting]
            await trio.sleep(0.25)
    for name in left:
        fleet.arrived(name)  # says what is missing
        broken("arrived", f"{name}: something waits at every look")


def _process(seed: int, name: str, main: Main, trace: Trace) -> Process:
    chance: random.Random = chance_of(seed, f"process {name}")
    return Process(name, main, chance, Disk(chance_of(seed, f"disk {name}")), trace)


def _no_tasks_left() -> None:
    root = trio.lowlevel.current_root_task()
    if root is None:
        return
    here = trio.lowlevel.current_task()
    others = [task.name for nursery in here.child_nurseries for task in nursery.child_tasks]
    if others:
        broken("tasks", f"still there: {others}")
