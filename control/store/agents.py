"""Agents, their tags, presence and health."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
import sqlalchemy as sa

from control.model.agents import (
    SERVING,
    Agent,
    AgentFilter,
    Health,
    Life,
    Presence,
    State,
    TargetedAgent,
    status_of,
)
from control.model.history import Aspect, StateChange, presence_value
from control.model.vaults import VaultNode
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
from control.store.tables import agent_tags, agents
from protocols import json_text

_PULSES: Final = sa.select(
    agents.c.vault, agents.c.presence, agents.c.last_seen, agents.c.health
).where(agents.c.life == Life.ACTIVE)
_ACTIVE: Final = sa.select(agents.c.org, agents.c.vault).where(agents.c.life == Life.ACTIVE)


def _in_state(*states: State) -> sa.ColumnElement[bool]:
    """Whether a row is in one of them: `status_of`, for all that an agent can be."""
    t = agents.c
    return sa.tuple_(t.life, t.presence, t.health).in_(
        [
            (str(life), str(presence), str(health))
            for life in Life
            for presence in Presence
            for health in Health
            if status_of(life, presence, health) in states
        ]
    )


_SERVES: Final = _in_state(*SERVING)
_AGENT: Final = select_by_key(agents)
_AMONG: Final = sa.select(agents).where(
    agents.c.org == sa.bindparam("org"), is_one_of(agents.c.vault, "vaults")
)
_MEMBERS: Final = (
    sa.select(
        *(agents.c.vault, agents.c.life, sa.type_coerce(agents.c.tags, sa.Text)),
        *(agents.c.presence, agents.c.last_seen),
    )
    .where(agents.c.org == sa.bindparam("org"))
    .order_by(agents.c.vault)
)
_HEARD: Final = update_statement(agents, "presence", "last_seen").where(
    agents.c.life == Life.ACTIVE
)
_FACTS: Final = update_statement(agents, "facts", "changed_at")
_HEALTH: Final = update_statement(agents, "health").where(agents.c.life == Life.ACTIVE)


_VAULT_ID: Final = update_statement(agents, "vault_id").where(agents.c.life == Life.ACTIVE)
_NODES: Final = sa.select(
    *(agents.c.vault, agents.c.vault_id, agents.c.life, agents.c.presence),
    *(agents.c.health, agents.c.last_seen),
).where(agents.c.org == sa.bindparam("org"), agents.c.life != Life.RETIRED)
_NODES_AMONG: Final = _NODES.where(is_one_of(agents.c.vault_id, "vault_ids"))
_VAULT_IDS: Final = sa.select(agents.c.vault, agents.c.vault_id).where(
    agents.c.org == sa.bindparam("org"), agents.c.vault_id != ""
)


def add_agent(tx: Tx, agent: Agent) -> None:
    """Add; conflicts with one of its name."""
    insert_row(tx, agents, agent)
    _replace_tags(tx, agent)
    record_changes(tx, state_changes_of(agent))


def put_agent(tx: Tx, agent: Agent) -> None:
    """Add, or replace the one of its name."""
    insert_or_replace(tx, agents, agent)
    _replace_tags(tx, agent)
    record_changes(tx, state_changes_of(agent)[: 1 if agent.life is Life.ACTIVE else 2])


def get_agent(tx: Tx, org: str, vault: str) -> Agent | None:
    """The agent of this name."""
    return fetch_one(tx, Agent, _AGENT, org=org, vault=vault)


def get_agents(tx: Tx, org: str, vaults: Sequence[str]) -> list[Agent]:
    """Those of these names, of which there are at most a few hundred."""
    return fetch_all(tx, Agent, _AMONG, org=org, vaults=list(vaults))


def put_facts(tx: Tx, *rows: Agent) -> None:
    """Store facts that these agents report of themselves."""
    values = [
        {"of_org": r.org, "of_vault": r.vault, "to_facts": r.facts, "to_changed_at": r.changed_at}
        for r in rows
    ]
    if values:
        tx.execute(_FACTS, values)


def put_health(tx: Tx, org: str, said: Mapping[str, Health]) -> None:
    """Store the health of these agents; of active ones only."""
    values = [
        {"of_org": org, "of_vault": vault, "to_health": str(health)}
        for vault, health in said.items()
    ]
    if values:
        tx.execute(_HEALTH, values)


def vault_key(name: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """What the nodes of a vault have in common; of an agent that says no vault its own name.

    For queries that join `agents`.
    """
    is_known, vault_id = agents.c.vault_id != "", sa.literal("=") + agents.c.vault_id
    return sa.case((is_known, vault_id), else_=name)  # no name has a "="


def put_vault_id(tx: Tx, org: str, vault: str, vault_id: str) -> None:
    """Store which vault an active agent serves."""
    tx.execute(_VAULT_ID, [{"of_org": org, "of_vault": vault, "to_vault_id": vault_id}])


def list_nodes(tx: Tx, org: str, vault_ids: Sequence[str] | None = None) -> list[VaultNode]:
    """Agents as nodes, but for retired ones; of these vaults, of which there are a few hundred."""
    values = {"org": org}
    if vault_ids is None:
        rows = tx.execute(_NODES, values)
    else:
        rows = tx.execute(_NODES_AMONG, {**values, "vault_ids": list(vault_ids)})
    return sorted(
        VaultNode(name, vault_id, Life(life), Presence(presence), Health(health), last_seen)
        for name, vault_id, life, presence, health, last_seen in rows
    )


def list_vault_ids(tx: Tx, org: str) -> dict[str, str]:
    """The vault's id by agent, of all that say one."""
    return {row.vault: row.vault_id for row in tx.execute(_VAULT_IDS, {"org": org})}


def find_agents(tx: Tx, org: str, wanted: AgentFilter) -> list[Agent]:
    """Agents of the organization that match the filter, by name."""
    t = agents.c
    chosen = sa.select(agents).where(t.org == org, t.vault > wanted.after)
    if wanted.life is not None:
        chosen = chosen.where(t.life == wanted.life)
    if wanted.presence is not None:
        chosen = chosen.where(t.presence == wanted.presence)
    if wanted.state is not None:
        chosen = chosen.where(_in_state(wanted.state))
    if wanted.release:
        facts = sa.type_coerce(t.facts, sa.Text)
        said = msgspec.json.encode(wanted.release).decode()
        chosen = chosen.where(facts.contains(f'"release":{said}', autoescape=True))
    if wanted.vault_id:
        chosen = chosen.where(t.vault_id == wanted.vault_id)
    if wanted.tag:
        tagged = sa.select(agent_tags.c.vault).where(
            agent_tags.c.org == org, agent_tags.c.tag == wanted.tag
        )
        chosen = chosen.where(t.vault.in_(tagged))
    return fetch_all(tx, Agent, chosen.order_by(t.vault).limit(wanted.limit))


def count_agents(tx: Tx, limit: int) -> list[tuple[str, int, int]]:
    """Of each organization that has some: its agents and those that serve, the most first."""
    t = agents.c
    count, heard_now = sa.func.count(), sa.func.sum(sa.case((_SERVES, 1), else_=0))
    chosen = sa.select(t.org, count, heard_now).where(t.life != Life.RETIRED).group_by(t.org)
    rows = tx.execute(chosen.order_by(count.desc(), t.org).limit(limit))
    return [(org, all_of, int(online)) for org, all_of, online in rows]


def list_targeted_agents(tx: Tx, org: str) -> list[TargetedAgent]:
    """All of them, by name."""
    read: dict[str, tuple[str, ...]] = {}
    lives = {str(life): life for life in Life}
    presences = {str(presence): presence for presence in Presence}
    found = []
    for vault, life, text, presence, seen in tx.execute(_MEMBERS, {"org": org}):
        tags = read.get(text)
        if tags is None:
            tags = read[text] = json_text.decode(text, type=tuple[str, ...])
        found.append(TargetedAgent(vault, lives[life], tags, presences[presence], seen))
    return found


def active_agents(tx: Tx) -> frozenset[tuple[str, str]]:
    """Organization and vault of every agent whose link may be up."""
    return frozenset((row.org, row.vault) for row in tx.execute(_ACTIVE))


def list_presence(tx: Tx) -> list[tuple[str, str, Presence, int, Health]]:
    """Every active agent: organization, vault, presence, last message (Unix ns), health."""
    rows = tx.execute(_PULSES.add_columns(agents.c.org))
    return [
        (org, vault, Presence(presence), seen, Health(health))
        for vault, presence, seen, health, org in rows
    ]


def get_presence(tx: Tx, org: str, vaults: Sequence[str]) -> list[tuple[str, Presence, int]]:
    """Of these agents, the active ones: vault, presence, last message."""
    chosen = _PULSES.where(agents.c.org == org, agents.c.vault.in_(vaults))
    return [(vault, Presence(presence), seen) for vault, presence, seen, _ in tx.execute(chosen)]


def put_presence(tx: Tx, changes: Iterable[tuple[str, str, Presence, int]]) -> None:
    """Store presence and last message of many: organization, vault, presence, Unix nanoseconds.

    Of active agents only: a late message makes no locked agent online.
    """
    values = [
        {"of_org": org, "of_vault": vault, "to_presence": presence, "to_last_seen": last_seen}
        for org, vault, presence, last_seen in changes
    ]
    if values:
        tx.execute(_HEARD, values)


def state_changes_of(agent: Agent) -> list[StateChange]:
    """The changes of life and presence, as of when the row was changed."""
    values = {Aspect.LIFE: str(agent.life), Aspect.PRESENCE: presence_value(agent.presence)}
    return [
        StateChange(
            org=agent.org, aspect=aspect, subject=agent.vault, at=agent.changed_at, value=value
        )
        for aspect, value in values.items()
    ]


def _replace_tags(tx: Tx, agent: Agent) -> None:
    t = agent_tags.c
    tx.execute(agent_tags.delete().where(t.org == agent.org, t.vault == agent.vault))
    if agent.tags:
        tx.execute(
            agent_tags.insert(),
            [{"org": agent.org, "tag": tag, "vault": agent.vault} for tag in agent.tags],
        )


def record_facts(
    tx: Tx, org: str, said: Mapping[str, dict[str, str | int]], *, now: int
) -> list[Agent]:
    """Store facts that agents (vault → facts) report of themselves; the agents that changed."""
    known = get_agents(tx, org, list(said))
    changed = [
        msgspec.structs.replace(agent, facts=agent.facts | said[agent.vault], changed_at=now)
        for agent in known
        if not said[agent.vault].items() <= agent.facts.items()
    ]
    put_facts(tx, *changed)
    return changed
