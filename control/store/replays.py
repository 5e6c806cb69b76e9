"""Rows of replays and of the agents that are asked."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from control.model.replays import OPEN_STATES, Replay, ReplayAgent
from control.store.rows import (
    Tx,
    fetch_all,
    fetch_one,
    insert_or_replace,
    insert_row,
    is_one_of,
    select_by_key,
)
from control.store.tables import replay_agents, replays

_r, _a = replays.c, replay_agents.c
_REPLAY: Final = select_by_key(replays)
_AGENT: Final = select_by_key(replay_agents)
_PENDING: Final = (
    sa.select(_a.vault, _r.id)
    .select_from(replays)
    .join(replay_agents, sa.and_(_a.org == _r.org, _a.replay == _r.id))
    .where(
        _r.org == sa.bindparam("org"),
        _r.expires_at > sa.bindparam("now", type_=sa.BigInteger()),
        is_one_of(_a.vault, "vaults"),
        _a.state.in_([str(state) for state in OPEN_STATES]),
    )
    .order_by(_r.created_at, _r.id)
)


def add_replay(tx: Tx, row: Replay, of: Sequence[ReplayAgent]) -> None:
    """Add, with its agents."""
    insert_row(tx, replays, row)
    insert_row(tx, replay_agents, *of)


def get_replay(tx: Tx, org: str, id_: str) -> Replay | None:
    """The one of this id."""
    return fetch_one(tx, Replay, _REPLAY, org=org, id=id_)


def list_replays(tx: Tx, org: str, policy: str, limit: int) -> list[Replay]:
    """Of a policy, the newest first."""
    chosen = sa.select(replays).where(_r.org == org, _r.policy == policy)
    return fetch_all(tx, Replay, chosen.order_by(_r.created_at.desc(), _r.id).limit(limit))


def list_replay_agents(tx: Tx, org: str, id_: str, *, after: str, limit: int) -> list[ReplayAgent]:
    """By name."""
    chosen = sa.select(replay_agents).where(_a.org == org, _a.replay == id_, _a.vault > after)
    return fetch_all(tx, ReplayAgent, chosen.order_by(_a.vault).limit(limit))


def get_replay_agent(tx: Tx, org: str, id_: str, vault: str) -> ReplayAgent | None:
    """One of them."""
    return fetch_one(tx, ReplayAgent, _AGENT, org=org, replay=id_, vault=vault)


def put_replay_agent(tx: Tx, row: ReplayAgent) -> None:
    """Replace."""
    insert_or_replace(tx, replay_agents, row)


def pending_replays(tx: Tx, org: str, vaults: Sequence[str], now: int) -> list[tuple[str, str]]:
    """Vault and id of the replay, of these agents (at most a few hundred), that are yet to answer.

    Without the documents: a candidate is asked of many.
    """
    rows = tx.execute(_PENDING, {"org": org, "vaults": list(vaults), "now": now})
    return [(vault, id_) for vault, id_ in rows]


def count_open_replays(tx: Tx, org: str, now: int) -> int:
    """How many may still be asked of somebody."""
    chosen = sa.select(sa.func.count()).where(_r.org == org, _r.expires_at > now)
    return int(tx.execute(chosen).scalar_one())


def replays_over_limit(tx: Tx, org: str, most: int, rows: int) -> list[tuple[str, str]]:
    """Organization and id of those, of one organization or of all (""), for which there is no room.

    There is for the newest, `most` of them, with `rows` agents together.
    """
    chosen = (
        sa.select(_r.org, _r.id, sa.func.count(_a.vault))
        .select_from(replays)
        .outerjoin(replay_agents, sa.and_(_a.org == _r.org, _a.replay == _r.id))
        .group_by(_r.org, _r.id, _r.created_at)
        .order_by(_r.created_at.desc(), _r.org, _r.id)
    )
    found, taken = [], 0
    listed = tx.execute(chosen.where(_r.org == org) if org else chosen)
    for place, (of, id_, agents) in enumerate(listed):
        taken += agents
        if place >= most or taken > rows:
            found.append((of, id_))
    return found


def delete_replays(tx: Tx, some: Sequence[tuple[str, str]]) -> None:
    """Remove these (organization and id), with what agents told."""
    for org, id_ in some:
        tx.execute(replay_agents.delete().where(_a.org == org, _a.replay == id_))
        tx.execute(replays.delete().where(_r.org == org, _r.id == id_))


def delete_older_replays(tx: Tx, before: int) -> int:
    """Remove those that were asked before; how many."""
    old = sa.select(_r.id).where(_r.org == _a.org, _r.id == _a.replay, _r.created_at < before)
    tx.execute(replay_agents.delete().where(sa.exists(old)))
    return tx.execute(replays.delete().where(_r.created_at < before)).rowcount
