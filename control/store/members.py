"""Memberships of accounts in organizations that are not their home."""

import sqlalchemy as sa

from control.model.history import NO_VALUE, Aspect, StateChange
from control.model.people import Membership
from control.store.history import record_changes
from control.store.rows import Tx, fetch_all, fetch_one, insert_or_replace
from control.store.tables import memberships, users


def get_membership(tx: Tx, org: str, home: str, name: str) -> Membership | None:
    """The membership of this account in `org`."""
    t = memberships.c
    chosen = sa.select(memberships).where(t.org == org, t.home == home, t.name == name)
    return fetch_one(tx, Membership, chosen)


def put_membership(tx: Tx, row: Membership, now: int) -> None:
    """Add or replace it."""
    insert_or_replace(tx, memberships, row)
    record_changes(tx, [guest_role_change(tx, row, now)])


def record_guest_role(tx: Tx, home: str, name: str, at: int) -> None:
    """Put on record what an account may do elsewhere, once it was disabled or enabled at home."""
    record_changes(tx, [guest_role_change(tx, row, at) for row in list_memberships(tx, home, name)])


def guest_role_change(tx: Tx, row: Membership, at: int) -> StateChange:
    """What a guest may do: nothing while the account is disabled at home."""
    t = users.c
    chosen = sa.select(t.disabled).where(t.org == row.home, t.name == row.name)
    return _role_change(row, NO_VALUE if tx.execute(chosen).scalar() else str(row.role), at)


def _role_change(row: Membership, value: str, at: int) -> StateChange:
    subject = f"{row.home}/{row.name}"
    return StateChange(org=row.org, aspect=Aspect.ROLE, subject=subject, at=at, value=value)


def list_guests(tx: Tx, org: str) -> list[Membership]:
    """The guests of an organization, by account."""
    t = memberships.c
    chosen = sa.select(memberships).where(t.org == org).order_by(t.home, t.name)
    return fetch_all(tx, Membership, chosen)


def list_memberships(tx: Tx, home: str, name: str) -> list[Membership]:
    """Where an account is a guest, by organization."""
    t = memberships.c
    chosen = sa.select(memberships).where(t.home == home, t.name == name).order_by(t.org)
    return fetch_all(tx, Membership, chosen)


def delete_membership(tx: Tx, org: str, home: str, name: str, now: int) -> None:
    """End it."""
    row = get_membership(tx, org, home, name)
    if row is not None:
        _delete_row(tx, row, now)


def delete_memberships(tx: Tx, home: str, name: str, now: int) -> None:
    """End all of an account's."""
    for row in list_memberships(tx, home, name):
        _delete_row(tx, row, now)


def _delete_row(tx: Tx, row: Membership, now: int) -> None:
    t = memberships.c
    mine = t.org == row.org, t.home == row.home, t.name == row.name
    tx.execute(memberships.delete().where(*mine))
    record_changes(tx, [_role_change(row, NO_VALUE, now)])
