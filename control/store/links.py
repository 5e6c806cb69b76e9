"""Agents' links: where their streams stand, what waits for them, what they were asked to do."""

from collections.abc import Iterable

import sqlalchemy as sa

from control.model.links import Command, Link, Outgoing
from control.model.policies import Assignment
from control.store.rows import Tx, add, every, first, put, shaped
from control.store.tables import assignments, commands, links, outgoing


def link(tx: Tx, org: str, vault: str) -> Link | None:
    """The link of this agent."""
    return first(tx, Link, sa.select(links).where(links.c.org == org, links.c.vault == vault))


def put_link(tx: Tx, row: Link) -> None:
    """Add, or replace."""
    put(tx, links, row)


def move_cursor(tx: Tx, org: str, vault: str, peer: bytes, applied: int) -> None:
    """What the agent sent is applied up to here."""
    here = (links.c.org == org, links.c.vault == vault)
    tx.execute(links.update().where(*here).values(peer=peer, applied=applied))


def acknowledge(tx: Tx, org: str, vault: str, through: int) -> None:
    """The agent has what we sent up to here: what waited for that is forgotten."""
    here = (links.c.org == org, links.c.vault == vault, links.c.acknowledged < through)
    if tx.execute(links.update().where(*here).values(acknowledged=through)).rowcount:
        o = outgoing.c
        tx.execute(outgoing.delete().where(o.org == org, o.vault == vault, o.id <= through))


def unoffered(tx: Tx, org: str, vaults: list[str]) -> list[tuple[Link, Assignment]]:
    """Of these agents (at most a few hundred), those whose bundle is newer than what they got."""
    t, a = links.c, assignments.c
    chosen = sa.select(links, *(column.label(f"a_{column.name}") for column in a)).where(
        t.org == org, t.vault.in_(vaults), a.org == t.org, a.vault == t.vault, a.version > t.bundle
    )
    return [(shaped(Link, row), _assignment(row)) for row in tx.execute(chosen).mappings()]


def offer_bundles(tx: Tx, rows: Iterable[Link]) -> None:
    """Note the ids of the bundles that these agents get."""
    values = [
        {"of": r.org, "its": r.vault, "new": r.newest, "given": r.bundle, "number": r.bundle_id}
        for r in rows
    ]
    if values:
        number = {key: sa.bindparam(key, type_=sa.BigInteger()) for key in ("new", "given")}
        here = sa.and_(links.c.org == sa.bindparam("of"), links.c.vault == sa.bindparam("its"))
        change = links.update().where(here)
        tx.execute(
            change.values(
                newest=number["new"],
                bundle=number["given"],
                bundle_id=sa.bindparam("number", type_=sa.BigInteger()),
            ),
            values,
        )


def add_outgoing(tx: Tx, row: Outgoing) -> None:
    """Have it wait for the agent."""
    add(tx, outgoing, row)


def waiting(tx: Tx, org: str, vault: str, *, after: int, limit: int) -> list[Outgoing]:
    """Those behind the id `after`, in order."""
    o = outgoing.c
    chosen = sa.select(outgoing).where(o.org == org, o.vault == vault, o.id > after)
    return every(tx, Outgoing, chosen.order_by(o.id).limit(limit))


def count_waiting(tx: Tx, org: str, vault: str) -> int:
    """How many there are."""
    o = outgoing.c
    chosen = sa.select(sa.func.count()).where(o.org == org, o.vault == vault)
    return int(tx.execute(chosen).scalar_one())


def renumber(tx: Tx, org: str, vault: str) -> int:
    """Give what waits the ids from 1 on, for a new stream; how many."""
    rows = waiting(tx, org, vault, after=0, limit=2**31)
    o = outgoing.c
    tx.execute(outgoing.delete().where(o.org == org, o.vault == vault))
    for place, row in enumerate(rows, 1):
        add(tx, outgoing, Outgoing(org, vault, place, row.name, row.payload))
    return len(rows)


def put_command(tx: Tx, row: Command) -> None:
    """Add, or replace the one of its id."""
    put(tx, commands, row)


def command(tx: Tx, org: str, command_id: str) -> Command | None:
    """The command of this id."""
    c = commands.c
    return first(tx, Command, sa.select(commands).where(c.org == org, c.id == command_id))


def commands_of(tx: Tx, org: str, vault: str, limit: int) -> list[Command]:
    """Of an agent, the newest first."""
    c = commands.c
    chosen = sa.select(commands).where(c.org == org, c.vault == vault)
    return every(tx, Command, chosen.order_by(c.created_at.desc(), c.id).limit(limit))


def sweep_commands(tx: Tx, before: int) -> int:
    """Remove those that expired before; how many."""
    return tx.execute(commands.delete().where(commands.c.expires_at < before)).rowcount


def _assignment(row: sa.RowMapping) -> Assignment:
    names = Assignment.__struct_fields__
    return shaped(Assignment, row, **{name: row[f"a_{name}"] for name in names})
