"""Which schema the running nodes know: nobody writes what one of them could not read.

An older node would take a row with a column that it does not know for a damaged one, since the
column is in the row's MAC, and an entry of the change feed about a table that it does not know for
a forged one: it would refuse everything.
"""

from collections.abc import Iterable
from typing import Final

from protocols.instant import SECOND
from vault.errors import ConflictError
from vault.model.records import NodeRow
from vault.store.tables import SCHEMA_LEVEL

LIVE_SECONDS: Final = 30.0
"""A node counts as running for so long after its last heartbeat: longer than it answers without
one, since the clocks of the machines differ."""


def is_live(row: NodeRow, now: int) -> bool:
    """Whether the node may be running."""
    return row.heartbeat > max(0, now - LIVE_SECONDS * SECOND)  # 0: it has left


def lowest_live_level(rows: Iterable[NodeRow]) -> int:
    """The lowest level of the nodes that may be running; this program's where there are none.

    By the newest of their heartbeats, so no clock decides. A node that knows less than what is in
    the database cannot join later, since its migration is there by then (`store_newer`).
    """
    found = list(rows)
    newest = max((row.heartbeat for row in found), default=0)
    return min((row.level for row in found if is_live(row, newest)), default=SCHEMA_LEVEL)


def nodes_outdated_error(rows: Iterable[NodeRow], level: int) -> ConflictError:
    """The error for a write that takes a schema which a node lacks. It names the nodes."""
    found = list(rows)
    newest = max((row.heartbeat for row in found), default=0)
    names = sorted(
        row.name or row.id for row in found if is_live(row, newest) and row.level < level
    )
    return ConflictError(
        "nodes_outdated",
        f"this takes a newer version on every node; upgrade {', '.join(names)}",
    )
