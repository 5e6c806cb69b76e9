"""The commit stamp: what each transaction leaves in the database, in the transaction itself.

It counts the commits, holds the last signed head of the node's audit log, and the totals of all
authority rows. So it costs a write no further wait. It also tells the time, and is the only one
that does: a row that anybody could write would be a clock that anybody could set.

It replaces the stamp of the commit before. If that was another node's, what it said of that node
goes into its row of the table `nodes`. So a node that commits alone writes no further row.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from msgspec import UNSET, convert
from msgspec.structs import asdict, replace

from vault.audit.retention import RetentionNotice
from vault.audit.shared_tail import SharedTail
from vault.errors import TamperedError
from vault.model.records import NodeRow, SystemRow
from vault.seal.anchor.feed_chain import feed_damaged_error, link_change, verify_changes
from vault.seal.anchor.keys import AnchorKeys
from vault.seal.anchor.row_totals import COMMIT_STAMP_ROW as COMMIT_STAMP_ROW
from vault.seal.anchor.row_totals import (
    RowTotals,
    require_searched_rows,
    row_changes,
    sum_rows,
)
from vault.seal.anchor.state import NOBODY, CommitStamp, NodeState, decode_state, encode_state
from vault.store.change_feed import (
    ENTRIES_PER_READ,
    KEPT,
    MAX_ENTRY_BYTES,
    REMOVED_PER,
    FedChanges,
    encode_changes,
    feed_behind_error,
    outdated_changes,
)
from vault.store.interface import BackendError, ConstraintError, FeedPosition, StoreSession
from vault.store.row_guard import RowGuard, check_row
from vault.store.row_index import RowIndexBuilder
from vault.store.table import StoreQuery
from vault.store.tables import CHANGES, NODES, SYSTEM
from vault.store.transaction import StoreTx, TransactionBatch


class StampBase(NamedTuple):
    """What the next stamp counts on from."""

    commits: int
    totals: RowTotals
    feed: bytes = b""  # the last link of the change feed
    state: NodeState = NOBODY  # of the node that wrote the last stamp


class StampTimes(NamedTuple):
    """What a stamp says of the clock, in Unix nanoseconds, and of retention."""

    now: int = 0
    slewed: int = 0
    notice: RetentionNotice | None = None


class CommitStampWriter:
    """The `CommitStamper` of `vault.store.committer`. `commits` is what is known to be durable.

    `checkpoint` and `anchored` are set by the anchor writer, `sealed_at` when a seal is ordered or
    ended. They and `commits` are replaced whole; all else belongs to the thread that commits.

    `shared_tail`: where other processes write the log, too. Its newest head is read there, since
    the anchor writer gets it later, and the heads of the others take the count of commits there.
    """

    def __init__(
        self,
        keys: AnchorKeys,
        *,
        base: StampBase,
        written: bytes,
        replaced: bytes | None = b"",
        epoch: int = 1,
        checkpoint: str = "",
        anchored: bool = False,
        sealed_at: int = 0,
        times: Callable[[], StampTimes] = StampTimes,
        node: str = "",
        joined: NodeState | None = None,
    ) -> None:
        """`base` is what the row `written` says; empty: the first commit counts on from `base`.

        Then the row has to be `replaced` (empty: there is none; None: it may be any), and a first
        commit whose outcome is unknown must end the life of this object. `node` is
        the id of the node that commits. `joined`: what the database says of it, for a process that
        repeats what the first process of its node says of anchor, seal and retention.
        """
        self._epoch: Callable[[], int] = lambda: epoch
        self.checkpoint = checkpoint
        self.anchored = anchored
        self.sealed_at = sealed_at
        self.break_glass = (0, 0)
        """Openings by break-glass, and when the last was (Unix ns): for the anchor."""
        self.commits = base.commits
        self.shared_tail: SharedTail | None = None
        self._keys = keys
        self._times = times
        self.node = node
        self._repeats = joined is not None
        self._notice: RetentionNotice | None = None
        if joined is not None:
            self._repeat(joined)
        self._base, self._written, self._replaced = base, written, replaced
        self._next, self._next_written = base, written

    @property
    def epoch(self) -> int:
        """The keyring's, as far as it is known here: never above what is durable."""
        return self._epoch()

    @property
    def position(self) -> FeedPosition:
        """The feed entry of the last transaction that is known to be durable; in any thread."""
        base = self._base
        return FeedPosition(base.commits, base.feed)

    @contextmanager
    def track_epoch(self, epoch: Callable[[], int]) -> Iterator[None]:
        """Take the epoch from here for the length of the block; after it, it is the last one."""
        self._epoch = epoch
        try:
            yield
        finally:
            last = epoch()
            self._epoch = lambda: last

    def stamp(self, batch: TransactionBatch) -> None:
        """Count the transaction, and say what it makes of the rows. Raises `TamperedError`."""
        base = self._base_before(batch)
        if self.shared_tail is not None and (end := self.shared_tail.peek()) is not None:
            self.checkpoint = end.note
        if base.state.node != self.node:
            batch.run_change(partial(record_node_state, base.state))
            own = batch.get(NODES, (self.node,)) if self._repeats else None
            if own is not None:
                self._repeat(stored_node_state(own))
        totals = base.totals.apply_changes(row_changes(batch), self._keys)
        commits, epoch, times = base.commits + 1, self.epoch, self._times()
        touched = [*batch.changed_rows(), *batch.counted_rows()]
        changes = encode_changes(touched, batch.index_changes())
        if len(changes) > MAX_ENTRY_BYTES:
            raise ConstraintError(CHANGES.name)
        entry = link_change(self._keys, commits, self.node, changes, base.feed)
        stamp = CommitStamp(
            vault=self._keys.vault,
            node=self.node,
            epoch=epoch,
            commits=commits,
            checkpoint=self.checkpoint,
            anchored=self.anchored,
            sealed_at=self.sealed_at or UNSET,
            rows=self._keys.seal(epoch, totals.to_bytes()),
            time=times.now,
            slewed=times.slewed,
            notice=self._notice if self._repeats else times.notice,
            feed=entry.chain,
        )
        self._next = StampBase(commits, totals, entry.chain, stamp.node_state)
        self._next_written = encode_state(stamp, self._keys)
        row = SystemRow(name=COMMIT_STAMP_ROW, value=self._next_written)

        def change(tx: StoreTx) -> None:
            tx.put(SYSTEM, row)
            tx.insert_new(CHANGES, [entry])
            if commits % REMOVED_PER == 0:
                for key in batch.select_keys(CHANGES, outdated_changes(commits)):
                    tx.delete(CHANGES, *key)

        batch.run_change(change)

    @property
    def written(self) -> bytes:
        """The head after the last transaction that is known to be durable."""
        return self._written

    def catch_up(
        self, session: StoreSession, *, most: int | None = None
    ) -> Iterator[list[FedChanges]]:
        """What others have committed since, some entries at a time. In the thread that commits.

        Whoever does not take all of it has to `resume` from a count of the rows. `most`: of how
        many entries at most; the first one raises if there are more. Raises `TamperedError`
        (`feed_damaged`, `storage_mark_damaged`, `storage_rolled_back`), and `FeedBehindError` when
        the feed does not reach back so far.
        """
        stored = _stored_stamp(session)
        if not self._written or stored == self._written:
            return
        base, position = self._decode_newer(stored), self.position
        if most is not None and base.commits - position.commits > most:
            raise feed_behind_error()
        while True:
            after = position.commits
            entries = session.select(CHANGES, StoreQuery(after=(after,), limit=ENTRIES_PER_READ))
            if after < base.commits - KEPT and (not entries or entries[0].seq > after + 1):
                raise feed_behind_error()
            found, position = verify_changes(self._keys, entries, position)
            if len(entries) < ENTRIES_PER_READ or position.commits >= base.commits:
                break
            yield found
        if position != (base.commits, base.feed):
            raise feed_damaged_error(f"it ends at {position.commits}, the commit stamp does not")
        self._go_on(base, stored)
        yield found

    def count_rows(
        self, session: StoreSession, guard: RowGuard, rows: RowIndexBuilder
    ) -> "CountedRows":
        """Count the rows of one view anew, as at an opening. In any thread; raises as there."""
        return count_rows(session, guard, self._keys, rows, least=self.commits)

    def resume(self, counted: "CountedRows") -> None:
        """Go on from a count of the rows. In the thread that commits."""
        self._go_on(counted.base, counted.written)

    def _go_on(self, base: StampBase, written: bytes) -> None:
        self._base, self._written = self._next, self._next_written = base, written
        self.commits = base.commits
        if self._repeats:
            self._repeat(base.state)

    def on_durable(self) -> None:
        """The transaction that was stamped last is durable."""
        self._base, self._written = self._next, self._next_written
        self.commits = self._base.commits
        if self.shared_tail is not None:
            self.shared_tail.commits = max(self.commits, self.shared_tail.commits)

    def begin_recount(self, guard: RowGuard) -> Callable[[StoreSession], None]:
        """In the thread that commits: what compares a view of this moment with the totals.

        `guard` checks the rows that are searched for by columns which are in no total. It raises
        `TamperedError` (`storage_rows_changed`, and what `StoreSession.inspect` raises).
        """
        written, in_doubt = (self._base, self._written), (self._next, self._next_written)

        def compare(session: StoreSession) -> None:
            session.inspect()
            row = session.get(SYSTEM, (COMMIT_STAMP_ROW,))
            stored = b"" if row is None else row.value
            known, _ = in_doubt if stored == in_doubt[1] else written
            changed = sum_rows(session, self._keys).differing_tables(known.totals)
            if written[1] and stored not in {written[1], in_doubt[1]}:
                changed = sorted({*changed, SYSTEM.name})
            if changed:
                raise TamperedError(
                    "storage_rows_changed",
                    "rows were removed, added or put back behind the agent's back in: "
                    + ", ".join(changed),
                )
            require_searched_rows(session, guard)

        return compare

    def _base_before(self, batch: TransactionBatch) -> StampBase:
        """The state before the transaction: ours, or that of the row after a commit in doubt.

        An older stamp is ours as well, but nothing to go on from: somebody has put it back. Raises
        `BackendError` (`store_behind`) where another agent has committed before our first commit:
        its rows would be lost from the count.
        """
        row = batch.get(SYSTEM, (COMMIT_STAMP_ROW,))
        stored = b"" if row is None else row.value
        if not self._written:
            if self._replaced not in {None, stored}:  # not secret: both stored
                raise BackendError(
                    "store_behind",
                    "another agent has committed while what was accepted was counted: unseal "
                    "again; if that lasts, stop the other agents until this one is unsealed",
                )
            return self._base
        return self._base if stored == self._written else self._decode_newer(stored)

    def _repeat(self, state: NodeState) -> None:
        if state.node == self.node:  # the last one to commit may have been another node
            self.checkpoint, self.anchored = state.checkpoint, state.anchored
            self.sealed_at, self._notice = state.sealed_at, state.notice

    def _decode_newer(self, stored: bytes) -> StampBase:
        try:
            stamp = decode_state(stored, CommitStamp, self._keys)
            base = stamp_base(stamp, self._keys)
        except ValueError as error:
            raise stamp_damaged_error(str(error)) from None
        if base.commits <= self._base.commits:
            raise TamperedError(
                "storage_rolled_back",
                f"the database is at commit {base.commits} (an older state that was put back), and "
                f"commit {self._base.commits} was seen. Put back the latest copy",
            )
        return base


class CountedRows(NamedTuple):
    """The commit stamp of a view whose rows have the stamp's totals."""

    stamp: CommitStamp
    base: StampBase
    written: bytes


def count_rows(
    session: StoreSession, guard: RowGuard, keys: AnchorKeys, rows: RowIndexBuilder, *, least: int
) -> CountedRows:
    """Count the rows of one view, for a process that goes on from it. Adds them to `rows`.

    `least`: how many commits there are at least. Raises `TamperedError` (`storage_rows_changed`,
    `storage_mark_damaged`, `storage_rolled_back`), and as the session.
    """
    session.inspect(rows.require_running)
    written = _stored_stamp(session)
    totals = sum_rows(session, keys, rows)
    require_searched_rows(session, guard, rows)
    if not written:
        raise stamp_damaged_error("it is gone")
    try:
        stamp = decode_state(written, CommitStamp, keys)
        base = stamp_base(stamp, keys)
    except ValueError as error:
        raise stamp_damaged_error(str(error)) from None
    if changed := totals.differing_tables(base.totals):
        raise TamperedError(
            "storage_rows_changed",
            "rows were removed, added or put back behind the agent's back in: "
            + ", ".join(changed),
        )
    if base.commits < least:
        raise TamperedError(
            "storage_rolled_back",
            f"the database is at commit {base.commits}, and this agent has seen commit {least}: an "
            "older copy was put in its place",
        )
    return CountedRows(stamp, base, written)


def stamp_base(stamp: CommitStamp, keys: AnchorKeys) -> StampBase:
    """What the next stamp counts on from. Raises `ValueError`."""
    totals = RowTotals.from_bytes(keys.open_(stamp.epoch, stamp.rows))
    return StampBase(stamp.commits, totals, stamp.feed, stamp.node_state)


def record_node_state(state: NodeState, tx: StoreTx) -> None:
    """Keep in the row of a node what its commit stamp says of it; nothing of nobody."""
    if not state.node:
        return
    row = tx.get(NODES, state.node) or NodeRow(id=state.node)
    notice = None if state.notice is None else asdict(state.notice)
    tx.put(
        NODES,
        replace(
            row,
            checkpoint=state.checkpoint,
            anchored=state.anchored,
            sealed_at=state.sealed_at,
            notice=notice,
        ),
    )


def read_node_state(
    session: StoreSession, guard: RowGuard, node: str, last: NodeState
) -> NodeState:
    """What the database says of a node: in the commit stamp (`last`), or else in the node's row.

    It is empty for a node without one. Raises `TamperedError`.
    """
    if last.node == node:
        return last
    row = session.get(NODES, (node,))
    if row is None:
        return NodeState(node)
    check_row(guard, NODES, row)
    return stored_node_state(row)


def stored_node_state(row: NodeRow) -> NodeState:
    """What a node's row says of it."""
    notice = None if row.notice is None else convert(row.notice, RetentionNotice)
    return NodeState(row.id, row.checkpoint, row.anchored, row.sealed_at, notice)


def _stored_stamp(session: StoreSession) -> bytes:
    row = session.get(SYSTEM, (COMMIT_STAMP_ROW,))
    return b"" if row is None else row.value


def stamp_damaged_error(what: str) -> TamperedError:
    """The error for a stamp that is not ours."""
    return TamperedError("storage_mark_damaged", f"the commit stamp in the database: {what}")
