"""Pure decisions of a roll-out: which agents a step reaches, and what comes next.

The order of agents is that of SHA-256(roll-out's id ‖ name): fixed for one roll-out, different for
the next, so that it is not always the same agents that try everything first. It decides which agent
is next; an agent that was given the new version keeps it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Final

from msgspec import Struct

from control.crypto import sha256
from control.model.policies import Outcome, Plan, Rollout, RolloutState

CurrentVersions = Mapping[str, Mapping[str, int]]
"""Agent → policy → version, as its present bundle has it."""
_NOTHING: Final[Mapping[str, int]] = {}


class RolloutDecision(Enum):
    """The next action of a running roll-out."""

    WAIT = auto()
    ADVANCE = auto()
    HALT = auto()
    FINISH = auto()


class Progress(Struct, frozen=True):
    """Of the agents that the current step reaches."""

    wanted: int = 0
    applied: int = 0
    failed: int = 0
    total: int = 0
    """All that the policy is for, whether the step reaches them or not."""
    away: int = 0
    """Of those wanted, the ones that are locked or were silent before it was offered to them."""
    added: int = 0
    """Those whom this step has added to the ones of the step before."""
    shown: int = 0
    """Of those added, the ones that have applied it."""

    @property
    def is_complete(self) -> bool:
        """Whether no agent is waited for. Agents that are away are not, if the version works.

        It works if one of the agents that this step has added applies it, or any agent if the step
        has added none. A version that no agent was given does not count as working.
        """
        if not self.wanted + self.applied + self.failed:
            return False
        if self.added:
            return self.wanted == self.away and self.shown > 0
        return self.wanted == self.away and (self.applied > 0 or not self.wanted)


def step_count(plan: Plan) -> int:
    """The number of steps: the canary, each percentage, all agents."""
    return (1 if plan.canary else 0) + len(_percentages(plan)) + 1


def agents_reached(plan: Plan, step: int, total: int) -> int:
    """How many of `total` agents the step (from 0) reaches; never fewer than the one before."""
    sizes = [plan.canary] if plan.canary else []
    sizes += [-(-total * percent // 100) for percent in _percentages(plan)]
    sizes.append(total)
    return min(total, max(sizes[: step + 1]))


def rollout_order(rollout_id: str, vaults: Iterable[str]) -> list[str]:
    """The agents in the order of the roll-out."""
    return sorted(vaults, key=lambda vault: sha256(f"{rollout_id}\0{vault}".encode()))


def reached_agents(
    rollout: Rollout, vaults: Sequence[str], having: CurrentVersions
) -> frozenset[str]:
    """The targeted agents that should have the new version now.

    An agent whose bundle has it keeps it: new agents take nobody's place, whatever the order. While
    the roll-out is halted no other agent gets it, however many agents there are by now.
    """
    kept = frozenset(
        vault
        for vault in vaults
        if having.get(vault, _NOTHING).get(rollout.policy) == rollout.version
    )
    if rollout.state is RolloutState.HALTED:
        return kept
    room = agents_reached(rollout.plan, rollout.step, len(vaults)) - len(kept)
    others = rollout_order(rollout.id, (vault for vault in vaults if vault not in kept))
    return kept.union(others[: max(0, room)])


def added_agents(rollout: Rollout, within: Collection[str], total: int) -> frozenset[str]:
    """The agents that this step reaches and the one before did not."""
    before = agents_reached(rollout.plan, rollout.step - 1, total) if rollout.step else 0
    return frozenset(rollout_order(rollout.id, within)[before:])


def decide_next(rollout: Rollout, progress: Progress) -> RolloutDecision:
    """What follows from the outcomes of the reached agents."""
    if progress.failed > rollout.plan.max_failures:
        return RolloutDecision.HALT
    if not progress.is_complete:
        return RolloutDecision.WAIT
    if rollout.step + 1 >= step_count(rollout.plan):
        return RolloutDecision.FINISH
    return RolloutDecision.ADVANCE if rollout.plan.automatic else RolloutDecision.WAIT


def count_outcomes(outcomes: Iterable[Outcome]) -> Progress:
    """Count the outcomes."""
    counts = dict.fromkeys(Outcome, 0)
    for outcome in outcomes:
        counts[outcome] += 1
    return Progress(counts[Outcome.WANTED], counts[Outcome.APPLIED], counts[Outcome.FAILED])


def _percentages(plan: Plan) -> list[int]:
    return sorted({percent for percent in plan.percentages if percent < 100})  # noqa: PLR2004  # everybody
