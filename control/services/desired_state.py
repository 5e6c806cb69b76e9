"""The policy versions that each agent should have: a pure function of what is stored."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from control.model.agents import Life, Presence, TargetedAgent
from control.model.policies import Policy, Rollout, Target
from control.services.rollout_steps import CurrentVersions, reached_agents
from protocols.instant import SECOND

ASSIGNED_LIVES = frozenset({Life.ACTIVE, Life.LOCKED})
"""Agents that keep policies: a locked one that comes back must not come back without."""
_SILENT = frozenset({Presence.OFFLINE, Presence.UNKNOWN})
AWAY_AFTER: Final = 300 * SECOND
"""Silent for so long when something is offered to it, an agent has no session that would bring it.

One that dies of what it is offered says no word after that: its last one may be some pings old.
"""


def matches_target(target: Target, agent: TargetedAgent) -> bool:
    """Whether the target includes this agent."""
    return target.all or target.vault == agent.vault or target.tag in agent.tags


def targeted_agents(policy: Policy, agents: Iterable[TargetedAgent]) -> list[str]:
    """The agents that the policy is for, in the given order."""
    return [
        agent.vault
        for agent in agents
        if agent.life in ASSIGNED_LIVES
        and any(matches_target(target, agent) for target in policy.targets)
    ]


def is_silent(agent: TargetedAgent) -> bool:
    """Whether it is unknown when the agent is next heard: locked, offline, or never heard."""
    return agent.life is Life.LOCKED or agent.presence in _SILENT


def is_away(agent: TargetedAgent, offered: int) -> bool:
    """Whether it is locked, or was silent already when its bundle was offered (Unix ns).

    An agent that falls silent afterwards may have died of the bundle.
    """
    return is_silent(agent) and (
        agent.life is Life.LOCKED or not agent.last_seen or agent.last_seen + AWAY_AFTER <= offered
    )


def desired_contents(
    policies: Sequence[Policy],
    rollouts: Iterable[Rollout],
    agents: Sequence[TargetedAgent],
    having: CurrentVersions,
) -> Mapping[str, dict[str, int]]:
    """Agent → policy → version, for every agent that keeps policies.

    `rollouts`: those that run or are halted, which stay where they are. `having`: the contents of
    the agents' present bundles.
    """
    wanted: dict[str, dict[str, int]] = {a.vault: {} for a in agents if a.life in ASSIGNED_LIVES}
    moving = {rollout.policy: rollout for rollout in rollouts}
    for policy in sorted(policies, key=lambda policy: policy.name):
        vaults = targeted_agents(policy, agents)
        rollout = moving.get(policy.name)
        if policy.stable:
            for vault in (
                vaults if rollout is None else targeted_agents(_before(policy, rollout), agents)
            ):
                wanted[vault][policy.name] = policy.stable
        if rollout is not None:
            for vault in reached_agents(rollout, vaults, having):
                wanted[vault][policy.name] = rollout.version
    return wanted


def _before(policy: Policy, rollout: Rollout) -> Policy:
    """The policy with the targets of its stable version, which hold while the roll-out is open."""
    previous = rollout.previous_targets
    return policy if previous is None else replace(policy, targets=previous)
