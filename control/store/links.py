"""Agents' links: positions of their streams, waiting messages, commands."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from control.model.links import AgentCommand, AgentLink, OutgoingMessage
from control.model.policies import Assignment
from control.store.legal_holds import is_held
from control.store.rows import (
    Tx,
    fetch_all,
    fetch_one,
    insert_or_replace,
    insert_row,
    is_one_of,
    select_by_key,
    to_struct,
    update_statement,
)
from control.store.shared_bodies import SplitAssignment, join_bundles
from control.store.tables import assignments, commands, links, outgoing

_ORG: Final[sa.BindParameter[str]] = sa.bindparam("org")
_LINK: Final = select_by_key(links)
_LINKS: Final = sa.select(links).where(links.c.org == _ORG, is_one_of(links.c.vault, "vaults"))
_STANDING: Final = sa.select(links.c.vault, links.c.newest, links.c.epoch).where(
    links.c.org == _ORG, is_one_of(links.c.vault, "vaults")
)
_EPOCH: Final = update_statement(links, "epoch")
_CURSOR: Final = update_statement(links, "peer", "applied")
_MEASURED: Final = update_statement(links, "measured", "histograms")
_OFFER: Final = update_statement(links, "newest", "bundle", "bundle_id")
_ACKNOWLEDGE: Final = update_statement(links, "acknowledged").where(
    links.c.acknowledged < sa.bindparam("to_acknowledged", type_=sa.BigInteger())
)
_RECEIVED: Final = outgoing.delete().where(
    outgoing.c.org == sa.bindparam("of_org"),
    outgoing.c.vault == sa.bindparam("of_vault"),
    outgoing.c.id <= sa.bindparam("to_acknowledged", type_=sa.BigInteger()),
)
_UNOFFERED: Final = sa.select(
    links, *(column.label(f"a_{column.name}") for column in assignments.c)
).where(
    links.c.org == _ORG,
    is_one_of(links.c.vault, "vaults"),
    assignments.c.org == links.c.org,
    assignments.c.vault == links.c.vault,
    assignments.c.version > links.c.bundle,
)
_WAITING: Final = (
    sa.select(outgoing)
    .where(
        outgoing.c.org == _ORG,
        outgoing.c.vault == sa.bindparam("vault"),
        outgoing.c.id > sa.bindparam("after", type_=sa.BigInteger()),
    )
    .order_by(outgoing.c.id)
    .limit(sa.bindparam("most", type_=sa.Integer()))
)


def get_link(tx: Tx, org: str, vault: str) -> AgentLink | None:
    """The link of this agent."""
    return fetch_one(tx, AgentLink, _LINK, org=org, vault=vault)


def get_links(tx: Tx, org: str, vaults: Sequence[str]) -> list[AgentLink]:
    """Those of these agents (at most a few hundred) that have one."""
    return fetch_all(tx, AgentLink, _LINKS, org=org, vaults=list(vaults))


def link_positions(tx: Tx, org: str, vaults: Sequence[str]) -> list[tuple[str, int, int]]:
    """Of these agents: vault, newest id of what waits, epoch of the connection that counts."""
    return [
        (vault, newest, epoch)
        for vault, newest, epoch in tx.execute(_STANDING, {"org": org, "vaults": list(vaults)})
    ]


def put_epochs(tx: Tx, *rows: AgentLink) -> None:
    """From now on other connections of these agents count."""
    values = [{**_here(r), "to_epoch": r.epoch} for r in rows]
    if values:
        tx.execute(_EPOCH, values)


def put_links(tx: Tx, *rows: AgentLink) -> None:
    """Add, or replace."""
    insert_or_replace(tx, links, *rows)


def move_cursors(tx: Tx, *rows: AgentLink) -> None:
    """What these agents sent is applied up to where their links say."""
    values = [{**_here(r), "to_peer": r.peer, "to_applied": r.applied} for r in rows]
    if values:
        tx.execute(_CURSOR, values)


def put_measured(tx: Tx, row: AgentLink) -> None:
    """Its agent's figures are taken up to where the link says."""
    values = {"to_measured": row.measured, "to_histograms": row.histograms}
    tx.execute(_MEASURED, {**_here(row), **values})


def acknowledge_outgoing(tx: Tx, received: Iterable[tuple[str, str, int]]) -> None:
    """Agents (organization, vault) have what we sent up to an id: what waited is forgotten."""
    values = [
        {"of_org": org, "of_vault": vault, "to_acknowledged": through}
        for org, vault, through in received
    ]
    if values:
        tx.execute(_ACKNOWLEDGE, values)
        tx.execute(_RECEIVED, values)


def unoffered_bundles(
    tx: Tx, org: str, vaults: Sequence[str]
) -> list[tuple[AgentLink, Assignment]]:
    """Of these agents (at most a few hundred), those whose bundle is newer than what they got."""
    rows = tx.execute(_UNOFFERED, {"org": org, "vaults": list(vaults)}).mappings().all()
    bundles = join_bundles(tx, [_split_assignment(row) for row in rows])
    return [(to_struct(AgentLink, row), bundle) for row, bundle in zip(rows, bundles, strict=True)]


def put_bundle_ids(tx: Tx, rows: Iterable[AgentLink]) -> None:
    """Store the outbox ids of the bundles that these agents get."""
    values = [
        {**_here(r), "to_newest": r.newest, "to_bundle": r.bundle, "to_bundle_id": r.bundle_id}
        for r in rows
    ]
    if values:
        tx.execute(_OFFER, values)


def add_outgoing(tx: Tx, row: OutgoingMessage) -> None:
    """Have it wait for the agent."""
    insert_row(tx, outgoing, row)


def waiting_messages(
    tx: Tx, org: str, vault: str, *, after: int, limit: int
) -> list[OutgoingMessage]:
    """Those behind the id `after`, in order."""
    return fetch_all(tx, OutgoingMessage, _WAITING, org=org, vault=vault, after=after, most=limit)


def count_waiting_messages(tx: Tx, org: str, vault: str) -> int:
    """How many there are."""
    o = outgoing.c
    chosen = sa.select(sa.func.count()).where(o.org == org, o.vault == vault)
    return int(tx.execute(chosen).scalar_one())


def renumber_outgoing(tx: Tx, org: str, vault: str) -> int:
    """Give what waits the ids from 1 on, for a new stream; how many."""
    rows = waiting_messages(tx, org, vault, after=0, limit=2**31)
    o = outgoing.c
    tx.execute(outgoing.delete().where(o.org == org, o.vault == vault))
    for place, row in enumerate(rows, 1):
        insert_row(tx, outgoing, OutgoingMessage(org, vault, place, row.name, row.payload))
    return len(rows)


def put_command(tx: Tx, row: AgentCommand) -> None:
    """Add, or replace the one of its id."""
    insert_or_replace(tx, commands, row)


def get_command(tx: Tx, org: str, command_id: str) -> AgentCommand | None:
    """The command of this id."""
    c = commands.c
    return fetch_one(tx, AgentCommand, sa.select(commands).where(c.org == org, c.id == command_id))


def list_commands(tx: Tx, org: str, vault: str, limit: int) -> list[AgentCommand]:
    """Of an agent, the newest first."""
    c = commands.c
    chosen = sa.select(commands).where(c.org == org, c.vault == vault)
    return fetch_all(tx, AgentCommand, chosen.order_by(c.created_at.desc(), c.id).limit(limit))


def delete_older_commands(tx: Tx, before: int) -> int:
    """Remove those that expired before; how many."""
    c = commands.c
    free = sa.not_(is_held(c.org, c.created_at, c.vault))
    return tx.execute(commands.delete().where(c.expires_at < before, free)).rowcount


def _here(row: AgentLink) -> dict[str, Any]:
    return {"of_org": row.org, "of_vault": row.vault}


def _split_assignment(row: sa.RowMapping) -> SplitAssignment:
    names = SplitAssignment.__struct_fields__
    return to_struct(SplitAssignment, row, **{name: row[f"a_{name}"] for name in names})
