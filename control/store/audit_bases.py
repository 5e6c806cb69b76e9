"""Where a trail begins whose oldest records were deleted."""

from typing import Final

from msgspec import Struct

from control.store.compliance_tables import trail_bases
from control.store.rows import Tx, fetch_one, insert_or_replace, select_by_key
from control.store.tables import audit

_BASE: Final = select_by_key(trail_bases)


class AuditLogBase(Struct, frozen=True):
    """The last record that is gone was number `size` and had this hash; signed at that time."""

    org: str
    size: int
    hash: bytes
    at: int
    signature: bytes


def get_base(tx: Tx, org: str) -> AuditLogBase | None:
    """The organization's; None for a trail that is there from its first record on."""
    return fetch_one(tx, AuditLogBase, _BASE, org=org)


def truncate_to_base(tx: Tx, row: AuditLogBase) -> int:
    """Delete the records up to the base, which takes their place; how many there were."""
    insert_or_replace(tx, trail_bases, row)
    t = audit.c
    return tx.execute(audit.delete().where(t.org == row.org, t.seq <= row.size)).rowcount
