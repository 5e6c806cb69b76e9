"""Invitations."""

import sqlalchemy as sa

from control.model.factors import Invitation
from control.store.holds import is_held
from control.store.rows import Tx, add, every, first, put
from control.store.tables import invitations


def add_invitation(tx: Tx, row: Invitation) -> None:
    """Add it."""
    add(tx, invitations, row)


def put_invitation(tx: Tx, row: Invitation) -> None:
    """Replace the one of this id."""
    put(tx, invitations, row)


def invitation(tx: Tx, org: str, identifier: str) -> Invitation | None:
    """The one of this id."""
    t = invitations.c
    return first(tx, Invitation, sa.select(invitations).where(t.org == org, t.id == identifier))


def by_digest(tx: Tx, digest: bytes) -> Invitation | None:
    """The one whose link this is."""
    mine = invitations.c.digest == digest  # not secret: SQL
    return first(tx, Invitation, sa.select(invitations).where(mine))


def open_for(tx: Tx, org: str, email: str, now: int) -> Invitation | None:
    """One that an address could use."""
    t = invitations.c
    mine = t.org == org, t.email == email, t.used_at == 0, t.expires_at > now
    return first(tx, Invitation, sa.select(invitations).where(*mine))


def invitations_of(tx: Tx, org: str) -> list[Invitation]:
    """The newest first."""
    t = invitations.c
    chosen = sa.select(invitations).where(t.org == org).order_by(t.created_at.desc(), t.id)
    return every(tx, Invitation, chosen.limit(1000))


def count_open(tx: Tx, org: str, now: int) -> int:
    """How many could be used."""
    t = invitations.c
    mine = t.org == org, t.used_at == 0, t.expires_at > now
    return int(tx.execute(sa.select(sa.func.count()).where(*mine)).scalar_one())


def drop_open(tx: Tx, org: str, email: str) -> None:
    """End those for an address."""
    t = invitations.c
    tx.execute(invitations.delete().where(t.org == org, t.email == email, t.used_at == 0))


def drop_invitation(tx: Tx, org: str, identifier: str) -> None:
    """Remove it."""
    t = invitations.c
    tx.execute(invitations.delete().where(t.org == org, t.id == identifier))


def sweep(tx: Tx, before: int) -> int:
    """Remove what expired before; how many."""
    t = invitations.c
    free = sa.not_(is_held(t.org, t.created_at))
    return tx.execute(invitations.delete().where(t.expires_at < before, free)).rowcount
