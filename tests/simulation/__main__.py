"""`python -m tests.simulation`: play seeds, say what they showed and how to repeat a failure."""

import argparse
import gc
import logging
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from tests.scratch import use_memory
from tests.simulation.bare import BareFleet
from tests.simulation.fleet import RealFleet
from tests.simulation.scenario import Build, Outcome, Plan, away, play
from tests.simulation.shrink import shrink

REPORT_EVERY: Final = 10  # seeds
GARBAGE: Final = (100_000, 50, 1000)  # objects and turns: fewer looks, more memory


def main() -> int:
    """The exit code: 1 when a seed failed."""
    arguments = _arguments()
    use_memory()
    gc.freeze()  # modules live on; looking through them again and again is a tenth of a run
    gc.set_threshold(*GARBAGE)
    logging.disable()  # what the product says of injected faults is no news
    build = BareFleet if arguments.bare else RealFleet
    plan = Plan(
        seed=0,
        agents=arguments.agents,
        hours=arguments.hours,
        faults_per_hour=arguments.faults,
        quick=not arguments.real_keys,
    )
    if arguments.away:
        plan = away(plan)
    if arguments.seed is not None:
        return _again(replace(plan, seed=arguments.seed), build, trace=arguments.trace)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    outcomes = []
    for outcome in _play((replace(plan, seed=seed) for seed in seeds), build, arguments.minutes):
        outcomes.append(outcome)
        if outcome.failure is not None:
            print(f"seed {outcome.plan.seed} failed: {outcome.failure}")
            print(f"  again: {_command(outcome.plan, bare=arguments.bare)}", flush=True)
        if len(outcomes) % REPORT_EVERY == 0:
            _sum_up(outcomes)
    _sum_up(outcomes)
    return 1 if any(outcome.failure for outcome in outcomes) else 0


def _play(plans: Iterable[Plan], build: Build, minutes: float) -> Iterator[Outcome]:
    """One after the other, until there is no time left, or somebody says so (SIGTERM)."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    end = time.monotonic() + minutes * 60
    for plan in plans:
        if asked or time.monotonic() > end:
            return
        yield play(plan, build)
        gc.collect()  # what a run leaves behind; within it nearly nothing is looked for


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="this one only, and shrink its faults if it fails")
    parser.add_argument("--agents", type=int, default=4)
    parser.add_argument("--hours", type=float, default=1.0, help="virtual, of each seed")
    parser.add_argument("--faults", type=float, default=20.0, help="an hour and agent")
    parser.add_argument("--real-keys", action="store_true", help="Ed25519, half as quick")
    parser.add_argument("--away", action="store_true", help="no fault but one: nobody to link with")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no seed after these")
    parser.add_argument("--bare", action="store_true", help="the link alone: sessions and delivery")
    parser.add_argument("--trace", action="store_true", help="print every line of it")
    return parser.parse_args()


def _again(plan: Plan, build: Build, *, trace: bool) -> int:
    outcome = play(plan, build, echo=print if trace else None)
    if outcome.failure is None:
        print(f"seed {plan.seed} holds, trace {outcome.digest}, {outcome.lines} lines")
        return 0
    print("\n".join(outcome.last))
    print(f"seed {plan.seed} failed: {outcome.failure!r}, trace {outcome.digest}")
    print("it takes these faults:")
    for fault in shrink(outcome, build):
        print(f"  {fault}")
    return 1


def _command(plan: Plan, *, bare: bool) -> str:
    keys = ("" if plan.quick else " --real-keys") + (" --bare" if bare else "")
    away_ = "" if plan.faults is None else " --away"
    return (
        f"python -m tests.simulation --seed {plan.seed} --agents {plan.agents}"
        f" --hours {plan.hours} --faults {plan.faults_per_hour}{keys}{away_}"
    )


def _sum_up(outcomes: list[Outcome]) -> None:
    hours = sum(outcome.agent_hours for outcome in outcomes)
    cpu = sum(outcome.cpu for outcome in outcomes) / 3600
    failed = sum(outcome.failure is not None for outcome in outcomes)
    print(
        f"{len(outcomes)} seeds, {hours:,.0f} agent-hours, "
        f"{sum(outcome.faults for outcome in outcomes):,} faults, "
        f"{hours / max(cpu, 1e-9):,.0f} agent-hours a core-hour, {failed} failed",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
