"""The last step of each witnessed log: what it had grown from, and the proof of that."""

from typing import Final

from msgspec import Struct

from control.store.compliance_tables import growths
from control.store.rows import Tx, every, first, key_of, put

_NODE: Final = 32  # bytes of SHA-256
_GROWTH: Final = key_of(growths)


class Growth(Struct, frozen=True):
    """From `old_size` to `size`; `path` are the nodes of the proof (RFC 9162, 2.1.4.1) in a row."""

    org: str
    vault: str
    size: int
    old_size: int
    old_root: bytes
    path: bytes

    @property
    def nodes(self) -> list[bytes]:
        """The proof."""
        return [self.path[i : i + _NODE] for i in range(0, len(self.path), _NODE)]


def growth(tx: Tx, org: str, vault: str) -> Growth | None:
    """The agent's."""
    return first(tx, Growth, _GROWTH, org=org, vault=vault)


def growths_of(tx: Tx, org: str) -> dict[str, Growth]:
    """Of all agents of an organization, by vault."""
    found = every(tx, Growth, growths.select().where(growths.c.org == org))
    return {row.vault: row for row in found}


def put_growth(tx: Tx, row: Growth) -> None:
    """Replace the agent's."""
    put(tx, growths, row)
