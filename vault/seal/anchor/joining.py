"""A further process of an agent joins the database that its first process has opened and checked.

It counts the rows as an opening does, for its own index, and goes on from the last commit stamp.
What the stamp says of anchor, seal and retention belongs to the first process: this one repeats it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from vault.errors import TamperedError
from vault.seal.anchor.commit_stamp import (
    COMMIT_STAMP_ROW,
    CommitStampWriter,
    StampTimes,
    read_node_state,
    stamp_base,
    stamp_damaged_error,
)
from vault.seal.anchor.keys import AnchorKeys
from vault.seal.anchor.row_totals import require_searched_rows, sum_rows
from vault.seal.anchor.state import CommitStamp, decode_state
from vault.store.interface import StoreBackend
from vault.store.row_guard import RowGuard
from vault.store.row_index import RowIndexBuilder
from vault.store.tables import SYSTEM


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
) -> JoinedDatabase:
    """Count the rows of one view. Blocks.

    `node`: whose process it is. `least`: how many commits there are at least. `times` of the first
    process are in its stamps; those of `times` are the clock's only. Raises `TamperedError`
    (`storage_rows_changed`, `storage_mark_damaged`, `storage_rolled_back`) and as the backend.
    """
    rows = RowIndexBuilder()
    with backend.read() as session:
        session.inspect()
        row = session.get(SYSTEM, (COMMIT_STAMP_ROW,))
        totals = sum_rows(session, keys, rows)
        require_searched_rows(session, guard, rows)
        if row is None:
            raise stamp_damaged_error("it is gone")
        try:
            stamp = decode_state(row.value, CommitStamp, keys)
            base = stamp_base(stamp, keys)
        except ValueError as error:
            raise stamp_damaged_error(str(error)) from None
        state = read_node_state(session, guard, node, base.state)
    if changed := totals.differing_tables(base.totals):
        raise TamperedError(
            "storage_rows_changed",
            "rows were removed, added or put back behind the agent's back in: "
            + ", ".join(changed),
        )
    if base.commits < least:
        raise TamperedError(
            "storage_rolled_back",
            f"the database is at commit {base.commits}, and this agent has made commit {least}: an "
            "older copy was put in its place",
        )
    writer = CommitStampWriter(
        keys, base=base, written=row.value, epoch=stamp.epoch, times=times, node=node, joined=state
    )
    return JoinedDatabase(writer, rows)
