"""Policies, their versions, roll-outs, and what each agent should have."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from control.model.history import Aspect, Turn
from control.model.policies import (
    Assignment,
    Outcome,
    Policy,
    PolicyVersion,
    Rollout,
    RolloutState,
    Standing,
)
from control.store.bodies import Around, parted, whole
from control.store.history import note
from control.store.rows import Tx, add, among, every, first, key_of, put, update_of
from control.store.tables import assignments, policies, policy_versions, rollouts
from protocols import json_text


class Since(NamedTuple):
    """Whom `refused` finds, by when that was told (Unix nanoseconds).

    Who refused before the first, who is behind since before the second; and either one that was
    told after the third, by a clock that was wrong.
    """

    refused: int
    behind: int
    beyond: int


class Unanswered(NamedTuple):
    """A bundle of which its agent has not said what became of it, made at Unix nanoseconds."""

    made_at: int
    is_next: bool
    """Whether it follows the one that the agent enforces: no other one was made in between."""


def _instant(name: str) -> sa.BindParameter[int]:
    return sa.bindparam(name, type_=sa.BigInteger())


_STANDINGS: Final = sa.select(*(assignments.c[name] for name in Standing.__struct_fields__))
_OF_ORG: Final = assignments.c.org == sa.bindparam("org")
_POLICY: Final = key_of(policies)
_ASSIGNMENT: Final = key_of(assignments)
_STANDING: Final = _STANDINGS.where(_OF_ORG, assignments.c.vault == sa.bindparam("vault"))
_AMONG: Final = _STANDINGS.where(_OF_ORG, among(assignments.c.vault, "vaults"))
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
                among(assignments.c.reason, "reasons"),
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
Steering = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]
_ROLLING: Final = (
    sa.select(rollouts.c.org)
    .where(rollouts.c.state == RolloutState.RUNNING)
    .distinct()
    .order_by(rollouts.c.org)
)
_REPORTED: Final = update_of(assignments, "outcome", "reason", "applied", "changed_at")


def policy(tx: Tx, org: str, name: str) -> Policy | None:
    """The policy of this name."""
    return first(tx, Policy, _POLICY, org=org, name=name)


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


def running_of(tx: Tx, account: str) -> list[Rollout]:
    """Roll-outs that run by an account's authority, in whichever organization."""
    t = rollouts.c
    chosen = sa.select(rollouts).where(t.state == RolloutState.RUNNING, rollout_owner() == account)
    return every(tx, Rollout, chosen.order_by(t.org, t.id))


def rollout_owner() -> sa.ColumnElement[str]:
    """The account by whose authority a roll-out runs; a process of before 0028 writes none."""
    return sa.case((rollouts.c.owner != "", rollouts.c.owner), else_=rollouts.c.created_by)


def steering(tx: Tx, org: str) -> Steering:
    """What people have decided of who should have which version: to be compared with another one.

    A version that is written and rolled out to nobody makes no difference.
    """
    given = {"org": org}
    return (
        [tuple(row) for row in tx.execute(_STEERED, given)],
        [tuple(row) for row in tx.execute(_STEERING, given)],
    )


def organizations_rolling(tx: Tx) -> list[str]:
    """Organizations with a roll-out that runs."""
    return list(tx.execute(_ROLLING).scalars())


def assignment(tx: Tx, org: str, vault: str) -> Assignment | None:
    """What this agent should have."""
    found = first(tx, Around, _ASSIGNMENT, org=org, vault=vault)
    return None if found is None else whole(tx, [found])[0]


def standing(tx: Tx, org: str, vault: str) -> Standing | None:
    """The same without its bytes."""
    return first(tx, Standing, _STANDING, org=org, vault=vault)


def standings(tx: Tx, org: str, *, having: str, after: str, limit: int) -> list[Standing]:
    """What agents of the organization should have, by name, behind the name `after`.

    Only those with the policy `having` if that is not empty. A policy's name has no character
    that means something in a pattern or is written otherwise in JSON.
    """
    pattern = f'%"{having}":%' if having else "%"
    return every(tx, Standing, _PAGE, org=org, having=pattern, after=after, most=limit)


def standings_among(tx: Tx, org: str, vaults: Sequence[str]) -> list[Standing]:
    """What these agents should have; at most a few hundred of them."""
    return every(tx, Standing, _AMONG, org=org, vaults=list(vaults))


def refused(tx: Tx, reasons: Sequence[str], since: Since, *, limit: int) -> list[Standing]:
    """Of any organization, those that were refused for one of these reasons, or are behind.

    Behind: their agents say that they enforce a newer one. Who has waited longest comes first, so
    that nobody who refuses on purpose is in the way of the others.
    """
    return every(tx, Standing, _REFUSED, reasons=list(reasons), **since._asdict(), most=limit)


def outcomes(tx: Tx, org: str) -> list[tuple[str, Outcome, dict[str, int]]]:
    """Vault, outcome and contents of all its agents; equal contents are one object."""
    read: dict[str, dict[str, int]] = {}
    found = []
    for vault, outcome, text in tx.execute(_OUTCOMES, {"org": org}):
        contents = read.get(text)
        if contents is None:
            contents = read[text] = json_text.decode(text)
        found.append((vault, Outcome(outcome), contents))
    return found


def unanswered(tx: Tx, org: str) -> dict[str, Unanswered]:
    """Of each of its agents that has not said what became of its bundle."""
    return {
        vault: Unanswered(made_at, version == applied + 1)
        for vault, version, applied, made_at in tx.execute(_UNANSWERED, {"org": org})
    }


def tally(tx: Tx, org: str) -> dict[Outcome, int]:
    """How many of its agents are how far."""
    return {Outcome(outcome): count for outcome, count in tx.execute(_TALLY, {"org": org})}


def put_assignments(tx: Tx, *rows: Assignment) -> None:
    """Add, or replace those of these agents."""
    put(tx, assignments, *parted(tx, rows))
    note(tx, map(policy_turn, rows))


def policy_turn(row: Standing) -> Turn:
    """How far an agent's bundle has come, and which versions it holds."""
    detail = {
        "version": row.version,
        "applied": row.applied,
        "bundle": row.digest.hex(),
        "contents": row.contents,
    }
    value = str(row.outcome)
    return Turn(
        org=row.org, aspect=Aspect.POLICY, subject=row.vault, at=row.changed_at, value=value,
        detail=detail,
    )  # fmt: skip


def put_reports(tx: Tx, rows: Sequence[Standing]) -> None:
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
        note(tx, map(policy_turn, rows))
