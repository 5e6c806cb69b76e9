"""Who is a member of an organization that is not the account's home."""

import sqlalchemy as sa

from control.model.people import Membership
from control.store.rows import Tx, every, first, put
from control.store.tables import memberships


def membership(tx: Tx, org: str, home: str, name: str) -> Membership | None:
    """What this account is in `org`."""
    t = memberships.c
    chosen = sa.select(memberships).where(t.org == org, t.home == home, t.name == name)
    return first(tx, Membership, chosen)


def put_membership(tx: Tx, row: Membership) -> None:
    """Add or replace it."""
    put(tx, memberships, row)


def members_of(tx: Tx, org: str) -> list[Membership]:
    """The guests of an organization, by account."""
    t = memberships.c
    chosen = sa.select(memberships).where(t.org == org).order_by(t.home, t.name)
    return every(tx, Membership, chosen)


def memberships_of(tx: Tx, home: str, name: str) -> list[Membership]:
    """Where an account is a guest, by organization."""
    t = memberships.c
    chosen = sa.select(memberships).where(t.home == home, t.name == name).order_by(t.org)
    return every(tx, Membership, chosen)


def drop_membership(tx: Tx, org: str, home: str, name: str) -> bool:
    """End it; whether there was one."""
    t = memberships.c
    mine = t.org == org, t.home == home, t.name == name
    return tx.execute(memberships.delete().where(*mine)).rowcount > 0


def drop_memberships_of(tx: Tx, home: str, name: str) -> None:
    """End all of an account's."""
    t = memberships.c
    tx.execute(memberships.delete().where(t.home == home, t.name == name))
