"""The last step of each witnessed log: what it had grown from, and the proof of that."""

from typing import Final

from msgspec import Struct

from control.store.compliance_tables import growths
from control.store.rows import Tx, fetch_all, fetch_one, insert_or_replace, select_by_key

_NODE: Final = 32  # bytes of SHA-256
_GROWTH: Final = select_by_key(growths)


class ConsistencyProof(Struct, frozen=True):
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


def get_consistency_proof(tx: Tx, org: str, vault: str) -> ConsistencyProof | None:
    """The agent's."""
    return fetch_one(tx, ConsistencyProof, _GROWTH, org=org, vault=vault)


def list_consistency_proofs(tx: Tx, org: str) -> dict[str, ConsistencyProof]:
    """Of all agents of an organization, by vault."""
    found = fetch_all(tx, ConsistencyProof, growths.select().where(growths.c.org == org))
    return {row.vault: row for row in found}


def put_consistency_proof(tx: Tx, row: ConsistencyProof) -> None:
    """Replace the agent's."""
    insert_or_replace(tx, growths, row)
