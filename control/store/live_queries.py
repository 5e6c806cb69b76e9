"""Queries of live feeds for agents and roll-outs, with the columns that they show."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from control.model.backups import BackupRecord
from control.model.policies import Rollout, RolloutState
from control.model.rotations import RotationRecord
from control.model.vault_reports import vault_key
from control.store.rows import Tx, fetch_all
from control.store.tables import agents, assignments, rollouts
from control.store.vault_reports import backups, rotations

AGENTS_PER_QUERY: Final = 500  # names of one statement


class AgentSummary(NamedTuple):
    """An agent and the standing of its bundle; `version` is 0 and `outcome` empty without one."""

    vault: str
    life: str
    reason: str
    tags: Sequence[str]
    presence: str
    last_seen: int
    facts: dict[str, Any]
    health: str
    vault_id: str
    created_at: int
    version: int
    outcome: str
    why: str
    applied: int
    backups: Sequence[BackupRecord] = ()
    """Reports of its vault's backups, of all nodes."""
    rotations: Sequence[RotationRecord] = ()
    """The same of its rotations."""


_a, _s = agents.c, assignments.c
_SEEN: Final = (
    sa.select(
        *(_a.vault, _a.life, _a.reason, _a.tags, _a.presence, _a.last_seen, _a.facts),
        *(
            _a.health,
            _a.vault_id,
            _a.created_at,
            _s.version,
            _s.outcome,
            _s.reason.label("why"),
            _s.applied,
        ),
    )
    .select_from(
        agents.outerjoin(assignments, sa.and_(_s.org == _a.org, _s.vault == _a.vault)),
    )
    .where(_a.org == sa.bindparam("org"))
    .order_by(_a.vault)
)
_PAGE: Final = _SEEN.where(_a.vault > sa.bindparam("after")).limit(sa.bindparam("most"))
_AMONG: Final = _SEEN.where(_a.vault.in_(sa.bindparam("vaults", expanding=True)))
_r = rollouts.c
_OPEN: Final = _r.state.in_((RolloutState.RUNNING, RolloutState.HALTED))
_ROLLOUTS: Final = sa.select(rollouts).where(_r.org == sa.bindparam("org"))


def list_agent_summaries(tx: Tx, org: str, after: str, most: int) -> list[AgentSummary]:
    """The organization's agents by name, after this one; fewer than `most` are the last."""
    found = tx.execute(_PAGE, {"org": org, "after": after, "most": most})
    return _with_reports(tx, org, [_summary_of(row) for row in found])


def get_agent_summaries(tx: Tx, org: str, vaults: Sequence[str]) -> list[AgentSummary]:
    """Those of these names that there are."""
    found = [
        _summary_of(row)
        for start in range(0, len(vaults), AGENTS_PER_QUERY)
        for row in tx.execute(
            _AMONG, {"org": org, "vaults": vaults[start : start + AGENTS_PER_QUERY]}
        )
    ]
    return _with_reports(tx, org, found)


def newest_rollouts(tx: Tx, org: str, others: int) -> list[Rollout]:
    """The open ones, and the newest of those that are over."""
    newest = _ROLLOUTS.order_by(_r.created_at.desc(), _r.id)
    return [
        *fetch_all(tx, Rollout, newest.where(_OPEN), org=org),
        *fetch_all(tx, Rollout, newest.where(~_OPEN).limit(others), org=org),
    ]


def _with_reports(tx: Tx, org: str, found: Sequence[AgentSummary]) -> list[AgentSummary]:
    names = [(row.vault, row.vault_id) for row in found]
    of_backups = backups.get_vault_reports(tx, org, names)
    of_rotations = rotations.get_vault_reports(tx, org, names)
    return [
        row._replace(backups=of_backups.get(key, ()), rotations=of_rotations.get(key, ()))
        for row in found
        for key in (vault_key(row.vault, row.vault_id),)
    ]


def _summary_of(row: Any) -> AgentSummary:
    """A row of `_SEEN`, whose columns are the fields; those of the bundle may be null."""
    *agent, version, outcome, why, applied = row
    bundle = version or 0, outcome or "", why or "", applied or 0
    return AgentSummary._make([*agent, *bundle, (), ()])
