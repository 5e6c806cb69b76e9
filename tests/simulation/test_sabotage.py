"""The simulation finds what it is there to find: each safeguard that is removed breaks a run."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.simulation.bare import BareFleet
from tests.simulation.faults import CONTROL, Fault
from tests.simulation.fleet import RealFleet
from tests.simulation.oracle import BrokenError
from tests.simulation.sabotage import OF_THE_HALVES, OF_THE_LINK, Sabotage
from tests.simulation.scenario import Build, Plan, play
from tests.simulation.shrink import shrink


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What the product says of injected faults is no news."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def found(sabotage: Sabotage, build: Build, plan: Plan, seeds: range) -> str:
    """The invariant by which it is found; every seed holds without it, as test_fleet shows."""
    for seed in seeds:
        with sabotage():
            failure = play(replace(plan, seed=seed), build).failure
        if failure is not None:
            assert isinstance(failure, BrokenError), failure
            return failure.name
    raise AssertionError(f"it survives {len(seeds)} seeds")


REJOINS = (  # a connection that follows one whose message is not durable yet
    Fault(30.0, "slow_disk", CONTROL, 680.0, "4.0"),
    *(Fault(float(at), "cut", f"vault-{at // 20 % 2}", 0.5) for at in range(40, 700, 20)),
)


@pytest.mark.parametrize(
    ("name", "first", "faults", "invariant"),
    [
        ("inbox_without_memory", 0, REJOINS, "once"),
        ("sequence_with_gaps", 8, None, "in place"),
        ("sender_from_the_start", 0, None, "arrived"),
        ("acknowledged_early", 0, None, "durable"),
    ],
)
def test_of_the_link(
    name: str, first: int, faults: tuple[Fault, ...] | None, invariant: str
) -> None:
    """Each within a few seeds."""
    plan = Plan(seed=0, agents=3 if faults is None else 2, hours=0.4, faults=faults)
    assert found(OF_THE_LINK[name], BareFleet, plan, range(first, first + 8)) == invariant


@pytest.mark.parametrize("way", ["up", "down"])
def test_forged_frames(way: str) -> None:
    """Without the check of signatures a forged frame is taken, in either direction."""
    forged = tuple(Fault(at, "tamper", "vault-0", 60, f"{way} forge") for at in (100.0, 300.0))
    plan = Plan(seed=0, agents=1, hours=0.1, faults=forged, quick=False)
    assert play(plan, BareFleet).failure is None
    assert found(OF_THE_LINK["signatures_unchecked"], BareFleet, plan, range(1)) == "in place"


CRASHES = tuple(Fault(at, "control_crash", CONTROL, 4.0) for at in range(60, 600, 30))
SLOW = Fault(30.0, "slow_disk", CONTROL, 600.0, "2.0")
FULL = Fault(100.0, "disk_error", "vault-0", 300.0)
FORK = Fault(400.0, "fork", "vault-0", 4.0, "60")
THEFT = Fault(100.0, "theft", "vault-0", 1.0, "60")
EARLY = Fault(240.0, "wrong_clock", "vault-0", 60.0, "60000")  # by which it is time to renew
CRASH = Fault(245.0, "crash", "vault-0", 1.0)


@pytest.mark.parametrize(
    ("name", "faults", "invariant"),
    [
        ("cursor_put_back", CRASHES, "once"),
        ("gateway_acknowledges_early", (SLOW,), "durable"),
        ("staged_twice", (), "once"),
        ("witness_signs_anything", (FORK,), "witness"),
        ("renewed_beside_a_thief", (THEFT, EARLY, CRASH), "theft"),
        ("admitted_beside_a_thief", (THEFT, CRASH), "theft"),
        ("sent_though_unrecorded", (FULL,), "recorded"),
    ],
)
def test_of_the_halves(name: str, faults: tuple[Fault, ...], invariant: str) -> None:
    """Under the faults that it takes each is found at once."""
    plan = Plan(seed=0, agents=2, hours=0.2, faults=faults)
    assert found(OF_THE_HALVES[name], RealFleet, plan, range(3)) == invariant


def test_a_command_in_which_an_agent_was_killed() -> None:
    """Kills that are more frequent than commands fall into one, which is not run again."""
    kills = tuple(Fault(float(at), "crash", "vault-0", 0.5) for at in range(100, 2000, 45))
    faults = (Fault(40.0, "slow_disk", "vault-0", 2100.0, "3.0"), *kills)
    plan = Plan(seed=0, agents=1, hours=0.6, faults=faults)
    assert play(plan, RealFleet).failure is None
    assert found(OF_THE_HALVES["command_run_again"], RealFleet, plan, range(3)) == "once"


def test_a_fleet_that_comes_back_at_once() -> None:
    """After minutes without a control plane six agents are spread, and not without jitter."""
    away = (Fault(100.0, "control_crash", CONTROL, 260.0),)
    plan = Plan(seed=0, agents=6, hours=0.1, faults=away)
    assert play(plan, RealFleet).failure is None
    assert found(OF_THE_HALVES["return_without_jitter"], RealFleet, plan, range(1)) == "stampede"


def test_a_failure_is_shrunk_to_what_it_takes() -> None:
    """Of dozens of faults a few are left, and the run still fails by the same invariant."""
    with OF_THE_LINK["acknowledged_early"]():
        outcome = play(Plan(seed=0, agents=2, hours=0.2), BareFleet)
        assert outcome.failure is not None
        needed = shrink(outcome, BareFleet)
    assert len(needed) < outcome.faults / 2
