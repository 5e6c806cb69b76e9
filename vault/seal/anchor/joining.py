"""A further process of an agent joins the database that its first process has opened and checked.

It counts the rows as an opening does, for its own index, and goes on from the last commit stamp.
What the stamp says of anchor, seal and retention belongs to the first process: this one repeats it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from vault.seal.anchor.commit_stamp import (
    CommitStampWriter,
    StampTimes,
    count_rows,
    read_node_state,
)
from vault.seal.anchor.keys import AnchorKeys
from vault.store.interface import StoreBackend
from vault.store.row_guard import RowGuard
from vault.store.row_index import RowIndexBuilder


@dataclass(frozen=True)
class JoinedDatabase:
    """Where a process goes on from."""

    stamp_writer: CommitStampWriter
    rows: RowIndexBuilder


def join_database(
    backend: StoreBackend,
    guard: RowGuard,
    keys: AnchorKeys,
    times: Callable[[], StampTimes],
    node: str,
    *,
    least: int = 0,
    rows: RowIndexBuilder | None = None,
) -> JoinedDatabase:
    """Count the rows of one view, into `rows` if that is given. Blocks.

    `node`: whose process it is. `least`: how many commits there are at least. `times` of the first
    process are in its stamps; those of `times` are the clock's only. Raises as `count_rows` and as
    the backend.
    """
    rows = RowIndexBuilder() if rows is None else rows
    with backend.read() as session:
        stamp, base, written = count_rows(session, guard, keys, rows, least=least)
        state = read_node_state(session, guard, node, base.state)
    writer = CommitStampWriter(
        keys, base=base, written=written, epoch=stamp.epoch, times=times, node=node, joined=state
    )
    return JoinedDatabase(writer, rows)
