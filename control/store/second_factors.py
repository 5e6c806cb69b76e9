"""Second factors and their recovery codes."""

from collections.abc import Sequence

import sqlalchemy as sa

from control.model.identity import NextFactor, SecondFactor
from control.store.rows import Tx, fetch_one, insert_or_replace
from control.store.tables import next_factors, recovery_codes, second_factors


def get_factor(tx: Tx, org: str, name: str) -> SecondFactor | None:
    """The account's, in force or not."""
    t = second_factors.c
    chosen = sa.select(second_factors).where(t.org == org, t.name == name)
    return fetch_one(tx, SecondFactor, chosen)


def put_factor(tx: Tx, row: SecondFactor) -> None:
    """Replace the account's."""
    insert_or_replace(tx, second_factors, row)


def delete_factor(tx: Tx, org: str, name: str) -> bool:
    """Remove it with the recovery codes and its successor; whether there was one."""
    put_recovery_codes(tx, org, name, [])
    delete_next_factor(tx, org, name)
    t = second_factors.c
    gone = tx.execute(second_factors.delete().where(t.org == org, t.name == name))
    return gone.rowcount > 0


def get_next_factor(tx: Tx, org: str, name: str) -> NextFactor | None:
    """What is to follow the account's."""
    t = next_factors.c
    chosen = sa.select(next_factors).where(t.org == org, t.name == name)
    return fetch_one(tx, NextFactor, chosen)


def put_next_factor(tx: Tx, row: NextFactor) -> None:
    """Replace it."""
    insert_or_replace(tx, next_factors, row)


def delete_next_factor(tx: Tx, org: str, name: str) -> None:
    """Nothing is to follow."""
    t = next_factors.c
    tx.execute(next_factors.delete().where(t.org == org, t.name == name))


def has_active_factor(tx: Tx, org: str, name: str) -> bool:
    """Whether the account has one in force."""
    row = get_factor(tx, org, name)
    return row is not None and row.confirmed


def active_holders(tx: Tx, org: str, names: Sequence[str]) -> set[str]:
    """Which of these accounts have one in force."""
    t = second_factors.c
    chosen = sa.select(t.name).where(t.org == org, t.name.in_(names), t.confirmed)
    return set(tx.execute(chosen).scalars())


def put_recovery_codes(tx: Tx, org: str, name: str, digests: list[bytes]) -> None:
    """Replace all recovery codes."""
    t = recovery_codes.c
    tx.execute(recovery_codes.delete().where(t.org == org, t.name == name))
    if digests:
        rows = [{"org": org, "name": name, "digest": digest} for digest in digests]
        tx.execute(recovery_codes.insert(), rows)


def use_recovery_code(tx: Tx, org: str, name: str, digest: bytes) -> bool:
    """Take one away; whether it was there."""
    t = recovery_codes.c
    mine = t.org == org, t.name == name, t.digest == digest  # not secret: SQL
    return tx.execute(recovery_codes.delete().where(*mine)).rowcount > 0


def count_recovery_codes(tx: Tx, org: str, name: str) -> int:
    """How many are left."""
    t = recovery_codes.c
    chosen = sa.select(sa.func.count()).where(t.org == org, t.name == name)
    return int(tx.execute(chosen).scalar_one())
