"""How far a roll-out reaches, and what comes next."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from control.model.policies import Outcome, Plan, Rollout, RolloutState
from control.services.rollout_steps import (
    Progress,
    RolloutDecision,
    added_agents,
    agents_reached,
    count_outcomes,
    decide_next,
    reached_agents,
    rollout_order,
    step_count,
)

PLAN = Plan(canary=1, percentages=(10, 50))
LENIENT = Plan(canary=1, max_failures=1)
BY_HAND = Plan(canary=1, automatic=False)
ROLLOUT = Rollout("r1", "acme", "p", 2, 1, PLAN, 0, RolloutState.RUNNING, "", "ann", 1, 1)
plans = st.builds(
    Plan,
    canary=st.integers(0, 50),
    percentages=st.lists(st.integers(1, 100), max_size=5).map(tuple),
)


def test_canary_percentages_everybody() -> None:
    """Rounded up, and the last step is all of them."""
    assert step_count(PLAN) == 4
    assert [agents_reached(PLAN, step, 15) for step in range(4)] == [1, 2, 8, 15]
    assert [agents_reached(Plan(), step, 15) for step in range(step_count(Plan()))] == [15]


@given(plans, st.integers(0, 500))
def test_a_step_never_reaches_fewer(plan: Plan, total: int) -> None:
    """Nobody loses the new version because the roll-out went on; the end is everybody."""
    sizes = [agents_reached(plan, step, total) for step in range(step_count(plan))]
    assert sizes == sorted(sizes)
    assert sizes[-1] == total


def test_the_order_is_the_roll_outs_own() -> None:
    """Fixed for one, different for another, and each step includes the ones before."""
    vaults = [f"v{number}" for number in range(40)]
    assert (
        rollout_order("r1", vaults)
        == rollout_order("r1", reversed(vaults))
        != rollout_order("r2", vaults)
    )
    waves = [reached_agents(replace(ROLLOUT, step=step), vaults, {}) for step in range(4)]
    assert all(before <= after for before, after in pairwise(waves))


@given(st.lists(st.integers(0, 60), unique=True), st.integers(0, 40), plans, st.integers(0, 30))
def test_newcomers_take_nobodys_place(
    numbers: list[int], early: int, plan: Plan, step: int
) -> None:
    """Who has the new version keeps it; there are as many as the step says, or as had it before."""
    vaults = [f"v{number}" for number in numbers]
    rollout = replace(ROLLOUT, plan=plan, step=min(step, step_count(plan) - 1))
    before = reached_agents(rollout, vaults[:early], {})
    having = {vault: {"p": 2} for vault in before} | {"gone": {"p": 2}, "w": {"q": 2}}
    after = reached_agents(rollout, vaults, having)
    assert before <= after <= set(vaults)
    assert len(after) == max(len(before), agents_reached(plan, rollout.step, len(vaults)))
    assert reached_agents(replace(rollout, state=RolloutState.HALTED), vaults, having) == before


@pytest.mark.parametrize(
    ("rollout", "progress", "then"),
    [
        (ROLLOUT, Progress(wanted=1), RolloutDecision.WAIT),
        (ROLLOUT, Progress(applied=1), RolloutDecision.ADVANCE),
        (ROLLOUT, Progress(wanted=1, failed=1), RolloutDecision.HALT),
        (
            replace(ROLLOUT, plan=LENIENT),
            Progress(failed=1),
            RolloutDecision.ADVANCE,
        ),
        (
            replace(ROLLOUT, plan=Plan(canary=1, automatic=False)),
            Progress(applied=1),
            RolloutDecision.WAIT,
        ),
        (replace(ROLLOUT, step=3), Progress(applied=15), RolloutDecision.FINISH),
        (replace(ROLLOUT, step=3), Progress(), RolloutDecision.WAIT),
        (ROLLOUT, Progress(wanted=2, away=1, applied=1), RolloutDecision.WAIT),
        (ROLLOUT, Progress(wanted=2, away=2, applied=1, added=3, shown=1), RolloutDecision.ADVANCE),
        (ROLLOUT, Progress(wanted=2, away=2, applied=1, added=2), RolloutDecision.WAIT),
        (ROLLOUT, Progress(wanted=2, away=2, applied=1), RolloutDecision.ADVANCE),
        (
            replace(ROLLOUT, plan=LENIENT),
            Progress(failed=1, added=1),
            RolloutDecision.WAIT,
        ),
        (ROLLOUT, Progress(wanted=1, away=1), RolloutDecision.WAIT),
        (
            replace(ROLLOUT, plan=Plan(max_failures=1)),
            Progress(1, 0, 1, away=1),
            RolloutDecision.WAIT,
        ),
        (replace(ROLLOUT, step=3), Progress(wanted=1, away=1, applied=14), RolloutDecision.FINISH),
        (replace(ROLLOUT, step=3), Progress(wanted=15, away=15), RolloutDecision.WAIT),
        (
            replace(ROLLOUT, step=3),
            Progress(wanted=7, away=7, applied=8, added=7),
            RolloutDecision.WAIT,
        ),
    ],
)
def test_what_comes_next(rollout: Rollout, progress: Progress, then: RolloutDecision) -> None:
    """It stops at too many refusals, and goes on by itself if it may.

    It waits for all but those who are away, and then for one at least of those whom the step has
    added, if it has added any, that shows that it works.
    """
    assert decide_next(rollout, progress) is then


def test_a_step_adds_those_whom_the_one_before_did_not_reach() -> None:
    """All of the first; nobody where the next one reaches no more."""
    vaults = [f"v{number}" for number in range(15)]
    waves = [reached_agents(replace(ROLLOUT, step=step), vaults, {}) for step in range(4)]
    new = [added_agents(replace(ROLLOUT, step=step), wave, 15) for step, wave in enumerate(waves)]
    assert new == [waves[0], *(after - before for before, after in pairwise(waves))]
    assert added_agents(replace(ROLLOUT, step=1), waves[0], 1) == frozenset()


def test_outcomes_are_counted() -> None:
    """Each once."""
    assert count_outcomes([Outcome.APPLIED, Outcome.APPLIED, Outcome.FAILED]) == Progress(0, 2, 1)
