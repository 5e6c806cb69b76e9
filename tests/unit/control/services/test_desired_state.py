"""Who should have which version: targets, life and roll-outs, as a pure function."""

from control.model.agents import Life, Presence, TargetedAgent, new_agent
from control.model.policies import Plan, Policy, Rollout, RolloutState, Target
from control.services.desired_state import AWAY_AFTER, desired_contents, is_away, targeted_agents

AGENTS = [
    new_agent("acme", "a", Life.ACTIVE, now=1, tags=("prod",)),
    new_agent("acme", "b", Life.LOCKED, now=1, tags=("prod", "eu")),
    new_agent("acme", "c", Life.ACTIVE, now=1),
    new_agent("acme", "d", Life.RETIRED, now=1, tags=("prod",)),
    new_agent("acme", "e", Life.PENDING, now=1, tags=("prod",)),
]


def policy(name: str, stable: int, *targets: Target) -> Policy:
    """One policy."""
    return Policy("acme", name, 2, stable, targets, 1, 1)


def test_targets_mean_agents() -> None:
    """By tag, by name, all; the retired and the pending have none, a locked one keeps its own."""
    assert targeted_agents(policy("p", 1, Target(tag="prod")), AGENTS) == ["a", "b"]
    assert targeted_agents(policy("p", 1, Target(vault="c")), AGENTS) == ["c"]
    assert targeted_agents(policy("p", 1, Target(all=True)), AGENTS) == ["a", "b", "c"]
    assert targeted_agents(policy("p", 1), AGENTS) == []


def test_who_is_locked_or_not_heard_is_away() -> None:
    """One that is only late is waited for, and so is one that fell silent with the offer."""
    one = TargetedAgent("a", Life.ACTIVE, (), Presence.ONLINE, last_seen=7)
    silent = {word for word in Presence if is_away(one._replace(presence=word), 7 + AWAY_AFTER)}
    assert silent == {Presence.UNKNOWN, Presence.OFFLINE}
    assert not is_away(one._replace(presence=Presence.OFFLINE), 6 + AWAY_AFTER)
    assert is_away(one._replace(presence=Presence.UNKNOWN, last_seen=0), 1)
    assert is_away(one._replace(life=Life.LOCKED), 7)


def test_stable_for_all_but_those_a_roll_out_reaches() -> None:
    """A version 0 is nothing; an agent that no policy means should have nothing."""
    new = policy("new", 0, Target(all=True))
    old = policy("old", 1, Target(tag="prod"))
    plan = Plan(canary=1)
    rollout = Rollout("r", "acme", "old", 2, 1, plan, 0, RolloutState.RUNNING, "", "x", 1, 1)
    wanted = desired_contents([new, old], [rollout], AGENTS, {})
    assert wanted["c"] == {}
    assert sorted(w["old"] for w in (wanted["a"], wanted["b"])) == [1, 2]
    assert set(wanted) == {"a", "b", "c"}


def test_a_halted_roll_out_stays_where_it_is() -> None:
    """Who has the new version keeps it, the others the old one; a newcomer gets the old one."""
    every = policy("p", 1, Target(all=True))
    rollout = Rollout("r", "acme", "p", 2, 1, Plan(), 0, RolloutState.HALTED, "", "x", 1, 1)
    wanted = desired_contents([every], [rollout], AGENTS, {"a": {"p": 2}, "b": {"p": 1}})
    assert wanted == {"a": {"p": 2}, "b": {"p": 1}, "c": {"p": 1}}
