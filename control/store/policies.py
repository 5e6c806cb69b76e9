"""Policies, their versions, roll-outs, and agents' assignments."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from control.model.history import Aspect, StateChange
from control.model.policies import (
    Assignment,
    AssignmentState,
    Outcome,
    Policy,
    PolicyVersion,
    Rollout,
    RolloutState,
)
from control.store.history import record_changes
from control.store.rows import (
    Tx,
    fetch_all,
    fetch_one,
    insert_or_replace,
    insert_row,
    is_one_of,
    select_by_key,
    update_statement,
)
from control.store.shared_bodies import SplitAssignment, join_bundles, split_bundles
from control.store.tables import assignments, policies, policy_versions, rollouts
from protocols import json_text


class RefusalBounds(NamedTuple):
    """Whom `refused` finds, by when that was told (Unix nanoseconds).

    Who refused before the first, who is behind since before the second; and either one that was
    told after the third, by a clock that was wrong.
    """

    refused: int
    behind: int
    beyond: int


class UnansweredBundle(NamedTuple):
    """A bundle of which its agent has not said what became of it, made at Unix nanoseconds."""

    made_at: int
    is_next: bool
    """Whether it follows the one that the agent enforces: no other one was made in between."""


def _instant(name: str) -> sa.BindParameter[int]:
    return sa.bindparam(name, type_=sa.BigInteger())


_STANDINGS: Final = sa.select(*(assignments.c[name] for name in AssignmentState.__struct_fields__))
_OF_ORG: Final = assignments.c.org == sa.bindparam("org")
_POLICY: Final = select_by_key(policies)
_ASSIGNMENT: Final = select_by_key(assignments)
_STANDING: Final = _STANDINGS.where(_OF_ORG, assignments.c.vault == sa.bindparam("vault"))
_AMONG: Final = _STANDINGS.where(_OF_ORG, is_one_of(assignments.c.vault, "vaults"))
_HAVING: Final = sa.type_coerce(assignments.c.contents, sa.Text)
_PAGE: Final = (
    _STANDINGS.where(_OF_ORG, assignments.c.vault > sa.bindparam("after"))
    .where(_HAVING.like(sa.bindparam("having")))
    .order_by(assignments.c.vault)
    .limit(sa.bindparam("most", type_=sa.Integer()))
)
_OUTCOMES: Final = sa.select(assignments.c.vault, assignments.c.outcome, _HAVING).where(_OF_ORG)
_UNANSWERED: Final = sa.select(
    *(assignments.c[name] for name in ("vault", "version", "applied", "changed_at"))
).where(_OF_ORG, assignments.c.outcome.in_([str(Outcome.WANTED), str(Outcome.UNKNOWN)]))
_BEYOND: Final = assignments.c.changed_at > _instant("beyond")
_REFUSED: Final = (
    _STANDINGS.where(
        sa.or_(
            sa.and_(
                assignments.c.outcome == str(Outcome.FAILED),
                is_one_of(assignments.c.reason, "reasons"),
                sa.or_(assignments.c.changed_at < _instant("refused"), _BEYOND),
            ),
            sa.and_(
                assignments.c.applied > assignments.c.version,
                sa.or_(assignments.c.changed_at < _instant("behind"), _BEYOND),
            ),
        ),
    )
    .order_by(
        sa.case((_BEYOND, 0), else_=assignments.c.changed_at),
        assignments.c.org,
        assignments.c.vault,
    )
    .limit(sa.bindparam("most", type_=sa.Integer()))
)
_TALLY: Final = (
    sa.select(assignments.c.outcome, sa.func.count())
    .where(_OF_ORG)
    .group_by(assignments.c.outcome)
    .order_by(assignments.c.outcome)
)
_STEERED: Final = (
    sa.select(policies.c.name, policies.c.stable, sa.type_coerce(policies.c.targets, sa.Text))
    .where(policies.c.org == sa.bindparam("org"))
    .order_by(policies.c.name)
)
_STEERING: Final = (
    sa.select(rollouts.c.id, rollouts.c.step, rollouts.c.state)
    .where(
        rollouts.c.org == sa.bindparam("org"),
        rollouts.c.state.in_((RolloutState.RUNNING, RolloutState.HALTED)),
    )
    .order_by(rollouts.c.id)
)
RolloutInputs = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]
_ROLLING: Final = (
    sa.select(rollouts.c.org)
    .where(rollouts.c.state == RolloutState.RUNNING)
    .distinct()
    .order_by(rollouts.c.org)
)
_REPORTED: Final = update_statement(assignments, "outcome", "reason", "applied", "changed_at")


def get_policy(tx: Tx, org: str, name: str) -> Policy | None:
    """The policy of this name."""
    return fetch_one(tx, Policy, _POLICY, org=org, name=name)


def list_policies(tx: Tx, org: str) -> list[Policy]:
    """All of the organization, by name."""
    t = policies.c
    return fetch_all(tx, Policy, sa.select(policies).where(t.org == org).order_by(t.name))


def organizations_with_policies(tx: Tx) -> list[str]:
    """Every organization that has a policy, in order."""
    chosen = sa.select(policies.c.org).distinct().order_by(policies.c.org)
    return list(tx.execute(chosen).scalars())


def put_policy(tx: Tx, row: Policy) -> None:
    """Add, or replace the one of its name."""
    insert_or_replace(tx, policies, row)


def add_version(tx: Tx, row: PolicyVersion) -> None:
    """Add; conflicts with the same version."""
    insert_row(tx, policy_versions, row)


def get_version(tx: Tx, org: str, name: str, number: int) -> PolicyVersion | None:
    """One version."""
    t = policy_versions.c
    chosen = sa.select(policy_versions).where(t.org == org, t.name == name, t.version == number)
    return fetch_one(tx, PolicyVersion, chosen)


def list_versions(tx: Tx, org: str, name: str, limit: int) -> list[PolicyVersion]:
    """The newest versions, newest first."""
    t = policy_versions.c
    chosen = sa.select(policy_versions).where(t.org == org, t.name == name)
    return fetch_all(tx, PolicyVersion, chosen.order_by(t.version.desc()).limit(limit))


def put_rollout(tx: Tx, row: Rollout) -> None:
    """Add, or replace the one of its id."""
    insert_or_replace(tx, rollouts, row)


def get_rollout(tx: Tx, org: str, rollout_id: str) -> Rollout | None:
    """The roll-out of this id."""
    t = rollouts.c
    return fetch_one(tx, Rollout, sa.select(rollouts).where(t.org == org, t.id == rollout_id))


def list_rollouts(tx: Tx, org: str, name: str, limit: int) -> list[Rollout]:
    """Roll-outs of a policy, newest first."""
    t = rollouts.c
    chosen = sa.select(rollouts).where(t.org == org, t.policy == name)
    return fetch_all(tx, Rollout, chosen.order_by(t.created_at.desc(), t.id).limit(limit))


def open_rollouts(tx: Tx, org: str) -> list[Rollout]:
    """Those that are on their way or halted."""
    t = rollouts.c
    states = (RolloutState.RUNNING, RolloutState.HALTED)
    return fetch_all(tx, Rollout, sa.select(rollouts).where(t.org == org, t.state.in_(states)))


def list_running_rollouts(tx: Tx, account: str) -> list[Rollout]:
    """Roll-outs that run by an account's authority, in whichever organization."""
    t = rollouts.c
    chosen = sa.select(rollouts).where(t.state == RolloutState.RUNNING, rollout_owner() == account)
    return fetch_all(tx, Rollout, chosen.order_by(t.org, t.id))


def rollout_owner() -> sa.ColumnElement[str]:
    """The account by whose authority a roll-out runs; a process of before 0028 writes none."""
    return sa.case((rollouts.c.owner != "", rollouts.c.owner), else_=rollouts.c.created_by)


def rollout_inputs(tx: Tx, org: str) -> RolloutInputs:
    """What people have decided of who should have which version: to be compared with another one.

    A version that is written and rolled out to nobody makes no difference.
    """
    given = {"org": org}
    return (
        [tuple(row) for row in tx.execute(_STEERED, given)],
        [tuple(row) for row in tx.execute(_STEERING, given)],
    )


def organizations_with_rollouts(tx: Tx) -> list[str]:
    """Organizations with a roll-out that runs."""
    return list(tx.execute(_ROLLING).scalars())


def get_assignment(tx: Tx, org: str, vault: str) -> Assignment | None:
    """What this agent should have."""
    found = fetch_one(tx, SplitAssignment, _ASSIGNMENT, org=org, vault=vault)
    return None if found is None else join_bundles(tx, [found])[0]


def get_assignment_state(tx: Tx, org: str, vault: str) -> AssignmentState | None:
    """The same without its bytes."""
    return fetch_one(tx, AssignmentState, _STANDING, org=org, vault=vault)


def list_assignment_states(
    tx: Tx, org: str, *, having: str, after: str, limit: int
) -> list[AssignmentState]:
    """What agents of the organization should have, by name, behind the name `after`.

    Only those with the policy `having` if that is not empty. A policy's name has no character
    that means something in a pattern or is written otherwise in JSON.
    """
    pattern = f'%"{having}":%' if having else "%"
    return fetch_all(tx, AssignmentState, _PAGE, org=org, having=pattern, after=after, most=limit)


def get_assignment_states(tx: Tx, org: str, vaults: Sequence[str]) -> list[AssignmentState]:
    """What these agents should have; at most a few hundred of them."""
    return fetch_all(tx, AssignmentState, _AMONG, org=org, vaults=list(vaults))


def refused_bundles(
    tx: Tx, reasons: Sequence[str], since: RefusalBounds, *, limit: int
) -> list[AssignmentState]:
    """Of any organization, those that were refused for one of these reasons, or are behind.

    Behind: their agents say that they enforce a newer one. Who has waited longest comes first, so
    that nobody who refuses on purpose is in the way of the others.
    """
    return fetch_all(
        tx, AssignmentState, _REFUSED, reasons=list(reasons), **since._asdict(), most=limit
    )


def list_outcomes(tx: Tx, org: str) -> list[tuple[str, Outcome, dict[str, int]]]:
    """Vault, outcome and contents of all its agents; equal contents are one object."""
    read: dict[str, dict[str, int]] = {}
    found = []
    for vault, outcome, text in tx.execute(_OUTCOMES, {"org": org}):
        contents = read.get(text)
        if contents is None:
            contents = read[text] = json_text.decode(text)
        found.append((vault, Outcome(outcome), contents))
    return found


def unanswered_bundles(tx: Tx, org: str) -> dict[str, UnansweredBundle]:
    """Of each of its agents that has not said what became of its bundle."""
    return {
        vault: UnansweredBundle(made_at, version == applied + 1)
        for vault, version, applied, made_at in tx.execute(_UNANSWERED, {"org": org})
    }


def count_by_outcome(tx: Tx, org: str) -> dict[Outcome, int]:
    """How many of its agents are how far."""
    return {Outcome(outcome): count for outcome, count in tx.execute(_TALLY, {"org": org})}


def put_assignments(tx: Tx, *rows: Assignment) -> None:
    """Add, or replace those of these agents."""
    insert_or_replace(tx, assignments, *split_bundles(tx, rows))
    record_changes(tx, map(policy_change, rows))


def policy_change(row: AssignmentState) -> StateChange:
    """How far an agent's bundle has come, and which versions it holds."""
    detail = {
        "version": row.version,
        "applied": row.applied,
        "bundle": row.digest.hex(),
        "contents": row.contents,
    }
    value = str(row.outcome)
    return StateChange(
        org=row.org, aspect=Aspect.POLICY, subject=row.vault, at=row.changed_at, value=value,
        detail=detail,
    )  # fmt: skip


def put_reports(tx: Tx, rows: Sequence[AssignmentState]) -> None:
    """Note what became of the bundles of these agents."""
    values: list[dict[str, Any]] = [
        {
            "of_org": row.org,
            "of_vault": row.vault,
            "to_outcome": row.outcome,
            "to_reason": row.reason,
            "to_applied": row.applied,
            "to_changed_at": row.changed_at,
        }
        for row in rows
    ]
    if values:
        tx.execute(_REPORTED, values)
        record_changes(tx, map(policy_change, rows))
