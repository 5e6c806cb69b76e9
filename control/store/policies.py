"""Policies, their versions, roll-outs, and what each agent should have."""

import sqlalchemy as sa

from control.model.policies import Assignment, Policy, PolicyVersion, Rollout, RolloutState
from control.store.rows import Tx, add, every, first, put
from control.store.tables import assignments, policies, policy_versions, rollouts


def policy(tx: Tx, org: str, name: str) -> Policy | None:
    """The policy of this name."""
    t = policies.c
    return first(tx, Policy, sa.select(policies).where(t.org == org, t.name == name))


def policies_of(tx: Tx, org: str) -> list[Policy]:
    """All of the organization, by name."""
    t = policies.c
    return every(tx, Policy, sa.select(policies).where(t.org == org).order_by(t.name))


def organizations(tx: Tx) -> list[str]:
    """Every organization that has a policy, in order."""
    chosen = sa.select(policies.c.org).distinct().order_by(policies.c.org)
    return list(tx.execute(chosen).scalars())


def put_policy(tx: Tx, row: Policy) -> None:
    """Add, or replace the one of its name."""
    put(tx, policies, row)


def add_version(tx: Tx, row: PolicyVersion) -> None:
    """Add; conflicts with the same version."""
    add(tx, policy_versions, row)


def version(tx: Tx, org: str, name: str, number: int) -> PolicyVersion | None:
    """One version."""
    t = policy_versions.c
    chosen = sa.select(policy_versions).where(t.org == org, t.name == name, t.version == number)
    return first(tx, PolicyVersion, chosen)


def versions(tx: Tx, org: str, name: str, limit: int) -> list[PolicyVersion]:
    """The newest versions, newest first."""
    t = policy_versions.c
    chosen = sa.select(policy_versions).where(t.org == org, t.name == name)
    return every(tx, PolicyVersion, chosen.order_by(t.version.desc()).limit(limit))


def put_rollout(tx: Tx, row: Rollout) -> None:
    """Add, or replace the one of its id."""
    put(tx, rollouts, row)


def rollout(tx: Tx, org: str, rollout_id: str) -> Rollout | None:
    """The roll-out of this id."""
    t = rollouts.c
    return first(tx, Rollout, sa.select(rollouts).where(t.org == org, t.id == rollout_id))


def rollouts_of(tx: Tx, org: str, name: str, limit: int) -> list[Rollout]:
    """Roll-outs of a policy, newest first."""
    t = rollouts.c
    chosen = sa.select(rollouts).where(t.org == org, t.policy == name)
    return every(tx, Rollout, chosen.order_by(t.created_at.desc(), t.id).limit(limit))


def open_rollouts(tx: Tx, org: str) -> list[Rollout]:
    """Those that are on their way or halted."""
    t = rollouts.c
    states = (RolloutState.RUNNING, RolloutState.HALTED)
    return every(tx, Rollout, sa.select(rollouts).where(t.org == org, t.state.in_(states)))


def organizations_rolling(tx: Tx) -> list[str]:
    """Organizations with a roll-out that runs."""
    t = rollouts.c
    chosen = sa.select(t.org).where(t.state == RolloutState.RUNNING).distinct().order_by(t.org)
    return list(tx.execute(chosen).scalars())


def assignment(tx: Tx, org: str, vault: str) -> Assignment | None:
    """What this agent should have."""
    t = assignments.c
    return first(tx, Assignment, sa.select(assignments).where(t.org == org, t.vault == vault))


def assignments_of(tx: Tx, org: str) -> list[Assignment]:
    """What each agent of the organization should have, by name."""
    t = assignments.c
    return every(tx, Assignment, sa.select(assignments).where(t.org == org).order_by(t.vault))


def assignments_among(tx: Tx, org: str, vaults: list[str]) -> list[Assignment]:
    """What these agents should have; at most a few hundred of them."""
    t = assignments.c
    return every(tx, Assignment, sa.select(assignments).where(t.org == org, t.vault.in_(vaults)))


def put_assignments(tx: Tx, *rows: Assignment) -> None:
    """Add, or replace those of these agents."""
    put(tx, assignments, *rows)
