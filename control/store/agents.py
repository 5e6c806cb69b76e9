"""Agents, their tags, and when they were last heard."""

from collections.abc import Iterable

import sqlalchemy as sa

from control.model.agents import Agent, AgentFilter, Life, Presence
from control.store.rows import Tx, add, every, first, put
from control.store.tables import agent_tags, agents


def add_agent(tx: Tx, agent: Agent) -> None:
    """Add; conflicts with one of its name."""
    add(tx, agents, agent)
    _retag(tx, agent)


def put_agent(tx: Tx, agent: Agent) -> None:
    """Add, or replace the one of its name."""
    put(tx, agents, agent)
    _retag(tx, agent)


def agent(tx: Tx, org: str, vault: str) -> Agent | None:
    """The agent of this name."""
    return first(tx, Agent, sa.select(agents).where(agents.c.org == org, agents.c.vault == vault))


def find(tx: Tx, org: str, wanted: AgentFilter) -> list[Agent]:
    """Those of the organization that the filter lets through, by name."""
    t = agents.c
    chosen = sa.select(agents).where(t.org == org, t.vault > wanted.after)
    if wanted.life is not None:
        chosen = chosen.where(t.life == wanted.life)
    if wanted.presence is not None:
        chosen = chosen.where(t.presence == wanted.presence)
    if wanted.tag:
        tagged = sa.select(agent_tags.c.vault).where(
            agent_tags.c.org == org, agent_tags.c.tag == wanted.tag
        )
        chosen = chosen.where(t.vault.in_(tagged))
    return every(tx, Agent, chosen.order_by(t.vault).limit(wanted.limit))


def of_organization(tx: Tx, org: str) -> list[Agent]:
    """All of them, by name."""
    chosen = sa.select(agents).where(agents.c.org == org).order_by(agents.c.vault)
    return every(tx, Agent, chosen)


def everywhere(tx: Tx) -> list[Agent]:
    """Of all organizations: for the work that the control plane does by itself."""
    return every(tx, Agent, sa.select(agents))


def active(tx: Tx) -> frozenset[tuple[str, str]]:
    """Organization and vault of every agent whose link may be up."""
    chosen = sa.select(agents.c.org, agents.c.vault).where(agents.c.life == Life.ACTIVE)
    return frozenset((row.org, row.vault) for row in tx.execute(chosen))


def heard(tx: Tx, changes: Iterable[tuple[str, str, Presence, int]]) -> None:
    """Note presence and last word of many: organization, vault, presence, Unix nanoseconds."""
    rows = [
        {"of": org, "its": vault, "now": presence, "seen": last_seen}
        for org, vault, presence, last_seen in changes
    ]
    if rows:
        t = agents.c
        found = sa.and_(t.org == sa.bindparam("of"), t.vault == sa.bindparam("its"))
        now, seen = (
            sa.bindparam("now", type_=sa.Text()),
            sa.bindparam("seen", type_=sa.BigInteger()),
        )
        tx.execute(agents.update().where(found).values(presence=now, last_seen=seen), rows)


def _retag(tx: Tx, agent: Agent) -> None:
    t = agent_tags.c
    tx.execute(agent_tags.delete().where(t.org == agent.org, t.vault == agent.vault))
    if agent.tags:
        tx.execute(
            agent_tags.insert(),
            [{"org": agent.org, "tag": tag, "vault": agent.vault} for tag in agent.tags],
        )
