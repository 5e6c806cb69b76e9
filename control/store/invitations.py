"""Invitations."""

import sqlalchemy as sa

from control.model.identity import Invitation
from control.store.legal_holds import is_held
from control.store.rows import Tx, fetch_all, fetch_one, insert_or_replace, insert_row
from control.store.tables import invitations


def add_invitation(tx: Tx, row: Invitation) -> None:
    """Add it."""
    insert_row(tx, invitations, row)


def put_invitation(tx: Tx, row: Invitation) -> None:
    """Replace the one of this id."""
    insert_or_replace(tx, invitations, row)


def get_invitation(tx: Tx, org: str, identifier: str) -> Invitation | None:
    """The one of this id."""
    t = invitations.c
    return fetch_one(tx, Invitation, sa.select(invitations).where(t.org == org, t.id == identifier))


def get_invitation_by_digest(tx: Tx, digest: bytes) -> Invitation | None:
    """The one whose link this is."""
    mine = invitations.c.digest == digest  # not secret: SQL
    return fetch_one(tx, Invitation, sa.select(invitations).where(mine))


def find_open_invitation(tx: Tx, org: str, email: str, now: int) -> Invitation | None:
    """One that an address could use."""
    t = invitations.c
    mine = t.org == org, t.email == email, t.used_at == 0, t.expires_at > now
    return fetch_one(tx, Invitation, sa.select(invitations).where(*mine))


def list_invitations(tx: Tx, org: str) -> list[Invitation]:
    """The newest first."""
    t = invitations.c
    chosen = sa.select(invitations).where(t.org == org).order_by(t.created_at.desc(), t.id)
    return fetch_all(tx, Invitation, chosen.limit(1000))


def count_open_invitations(tx: Tx, org: str, now: int) -> int:
    """How many could be used."""
    t = invitations.c
    mine = t.org == org, t.used_at == 0, t.expires_at > now
    return int(tx.execute(sa.select(sa.func.count()).where(*mine)).scalar_one())


def delete_open_invitations(tx: Tx, org: str, email: str) -> None:
    """End those for an address."""
    t = invitations.c
    tx.execute(invitations.delete().where(t.org == org, t.email == email, t.used_at == 0))


def open_invitations_of(tx: Tx, account: str, now: int) -> list[Invitation]:
    """Those that an account, `organization/name`, has made and that could be used."""
    t = invitations.c
    mine = t.created_by == account, t.used_at == 0, t.expires_at > now
    return fetch_all(tx, Invitation, sa.select(invitations).where(*mine).order_by(t.org, t.id))


def delete_invitation(tx: Tx, org: str, identifier: str) -> None:
    """Remove it."""
    t = invitations.c
    tx.execute(invitations.delete().where(t.org == org, t.id == identifier))


def delete_expired_invitations(tx: Tx, before: int) -> int:
    """Remove what expired before; how many."""
    t = invitations.c
    free = sa.not_(is_held(t.org, t.created_at))
    return tx.execute(invitations.delete().where(t.expires_at < before, free)).rowcount
