"""Who is a member of an organization that is not the account's home."""

import sqlalchemy as sa

from control.model.history import GONE, Aspect, Turn
from control.model.people import Membership
from control.store.history import note
from control.store.rows import Tx, every, first, put
from control.store.tables import memberships, users


def membership(tx: Tx, org: str, home: str, name: str) -> Membership | None:
    """What this account is in `org`."""
    t = memberships.c
    chosen = sa.select(memberships).where(t.org == org, t.home == home, t.name == name)
    return first(tx, Membership, chosen)


def put_membership(tx: Tx, row: Membership, now: int) -> None:
    """Add or replace it."""
    put(tx, memberships, row)
    note(tx, [guest_turn(tx, row, now)])


def note_guest(tx: Tx, home: str, name: str, at: int) -> None:
    """Put on record what an account may do elsewhere, once it was disabled or enabled at home."""
    note(tx, [guest_turn(tx, row, at) for row in memberships_of(tx, home, name)])


def guest_turn(tx: Tx, row: Membership, at: int) -> Turn:
    """What a guest may do: nothing while the account is disabled at home."""
    t = users.c
    chosen = sa.select(t.disabled).where(t.org == row.home, t.name == row.name)
    return _turn(row, GONE if tx.execute(chosen).scalar() else str(row.role), at)


def _turn(row: Membership, value: str, at: int) -> Turn:
    subject = f"{row.home}/{row.name}"
    return Turn(org=row.org, aspect=Aspect.ROLE, subject=subject, at=at, value=value)


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


def drop_membership(tx: Tx, org: str, home: str, name: str, now: int) -> None:
    """End it."""
    row = membership(tx, org, home, name)
    if row is not None:
        _end(tx, row, now)


def drop_memberships_of(tx: Tx, home: str, name: str, now: int) -> None:
    """End all of an account's."""
    for row in memberships_of(tx, home, name):
        _end(tx, row, now)


def _end(tx: Tx, row: Membership, now: int) -> None:
    t = memberships.c
    mine = t.org == row.org, t.home == row.home, t.name == row.name
    tx.execute(memberships.delete().where(*mine))
    note(tx, [_turn(row, GONE, now)])
