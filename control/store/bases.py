"""Where a trail begins whose oldest records were deleted."""

from typing import Final

from msgspec import Struct

from control.store.compliance_tables import trail_bases
from control.store.rows import Tx, first, key_of, put
from control.store.tables import audit

_BASE: Final = key_of(trail_bases)


class Base(Struct, frozen=True):
    """The last record that is gone was number `size` and had this hash; signed at that time."""

    org: str
    size: int
    hash: bytes
    at: int
    signature: bytes


def base(tx: Tx, org: str) -> Base | None:
    """The organization's; None for a trail that is there from its first record on."""
    return first(tx, Base, _BASE, org=org)


def begin_behind(tx: Tx, row: Base) -> int:
    """Delete the records up to the base, which takes their place; how many there were."""
    put(tx, trail_bases, row)
    t = audit.c
    return tx.execute(audit.delete().where(t.org == row.org, t.seq <= row.size)).rowcount
