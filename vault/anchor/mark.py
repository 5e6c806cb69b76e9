"""The mark: what each transaction leaves in the database, in the transaction itself.

It counts the commits, holds the last signed head of the audit log, and the totals of all authority
rows. So it costs a write no further wait. It also tells the time, and is the only one that does:
a row that anybody could write would be a clock that anybody could set.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from msgspec import UNSET

from vault.anchor.keys import AnchorKeys
from vault.anchor.rows import MARK_ROW as MARK_ROW
from vault.anchor.rows import Totals, count, exchanged
from vault.anchor.state import MARK_FORMAT, Mark, decode, encode
from vault.audit.retention import RetentionNotice
from vault.audit.shared_tail import SharedTail
from vault.errors import TamperedError
from vault.model.records import SystemRow
from vault.store.interface import Session
from vault.store.tables import SYSTEM
from vault.store.tx import Batch, Tx


class Base(NamedTuple):
    """What the next mark counts on from."""

    commits: int
    totals: Totals


class Times(NamedTuple):
    """What a mark says of the clock, in Unix nanoseconds, and of retention."""

    now: int = 0
    slewed: int = 0
    notice: RetentionNotice | None = None


class Marker:
    """`vault.store.committer.Mark`. `commits` is what is known to be durable.

    `checkpoint` and `anchored` are set by the keeper, `sealed_at` by whoever orders a seal or ends
    it. They and `commits` are whole values; all else belongs to whoever has the turn to commit.

    `end`: where other processes write the log, too. The keeper hears of that later, so the marker
    looks there, and says there what the others' heads are to say of the store.
    """

    def __init__(
        self,
        keys: AnchorKeys,
        *,
        base: Base,
        written: bytes,
        epoch: int = 1,
        checkpoint: str = "",
        anchored: bool = False,
        sealed_at: int = 0,
        times: Callable[[], Times] = Times,
    ) -> None:
        """`base` is what the row `written` says; empty: count on from it, whatever the row says.

        In that case a first commit whose outcome is unknown must end this marker's life.
        """
        self._epoch: Callable[[], int] = lambda: epoch
        self.checkpoint = checkpoint
        self.anchored = anchored
        self.sealed_at = sealed_at
        self.commits = base.commits
        self.end: SharedTail | None = None
        self._keys = keys
        self._times = times
        self._base, self._written = base, written
        self._next, self._next_written = base, written

    @property
    def epoch(self) -> int:
        """The keyring's, as far as it is known here: never above what is durable."""
        return self._epoch()

    @contextmanager
    def following(self, epoch: Callable[[], int]) -> Iterator[None]:
        """Take the epoch from here for the length of the block; after it, it is the last one."""
        self._epoch = epoch
        try:
            yield
        finally:
            last = epoch()
            self._epoch = lambda: last

    def stamp(self, batch: Batch) -> None:
        """Count the transaction, and say what it makes of the rows. Raises `TamperedError`."""
        base = self._on(batch)
        if self.end is not None and (end := self.end.peek()) is not None:
            self.checkpoint = end.note
        totals = base.totals.exchanged(exchanged(batch), self._keys)
        self._next, epoch, times = Base(base.commits + 1, totals), self.epoch, self._times()
        mark = Mark(
            format=MARK_FORMAT,
            vault=self._keys.vault,
            epoch=epoch,
            commits=self._next.commits,
            checkpoint=self.checkpoint,
            anchored=self.anchored,
            sealed_at=self.sealed_at or UNSET,
            rows=self._keys.seal(epoch, totals.to_bytes()),
            time=times.now,
            slewed=times.slewed,
            notice=times.notice,
        )
        self._next_written = encode(mark, self._keys)
        row = SystemRow(name=MARK_ROW, value=self._next_written)

        def change(tx: Tx) -> None:
            tx.put(SYSTEM, row)

        batch.run(change)

    def stored(self) -> None:
        """It is durable."""
        self._base, self._written = self._next, self._next_written
        self.commits = self._base.commits
        if self.end is not None:
            self.end.commits = self.commits

    def recount(self) -> Callable[[Session], None]:
        """For whoever has the turn to commit: what holds a view of this moment against the totals.

        That raises `TamperedError` (`storage_rows_changed`, and what `Session.inspect` raises).
        """
        written, in_doubt = (self._base, self._written), (self._next, self._next_written)

        def compare(session: Session) -> None:
            session.inspect()
            row = session.get(SYSTEM, (MARK_ROW,))
            stored = b"" if row is None else row.value
            known, _ = in_doubt if stored == in_doubt[1] else written
            changed = count(session, self._keys).differing(known.totals)
            if written[1] and stored not in {written[1], in_doubt[1]}:
                changed = sorted({*changed, SYSTEM.name})
            if changed:
                raise TamperedError(
                    "storage_rows_changed",
                    "rows were removed, added or put back behind the agent's back in: "
                    + ", ".join(changed),
                )

        return compare

    def _on(self, batch: Batch) -> Base:
        """The state before the transaction: ours, or that of the row after a commit in doubt.

        An older mark is ours as well, and nothing to go on from: somebody has put it back.
        """
        if not self._written:
            return self._base
        row = batch.get(SYSTEM, (MARK_ROW,))
        if row is not None and row.value == self._written:
            return self._base
        try:
            mark = decode(b"" if row is None else row.value, Mark, self._keys)
            base = base_of(mark, self._keys)
        except ValueError as error:
            raise damaged(str(error)) from None
        if base.commits <= self._base.commits:
            raise damaged("an older one was put back")
        return base


def base_of(mark: Mark, keys: AnchorKeys) -> Base:
    """What the next mark counts on from. Raises `ValueError`."""
    return Base(mark.commits, Totals.from_bytes(keys.open_(mark.epoch, mark.rows)))


def damaged(what: str) -> TamperedError:
    """The error for a mark that is not ours."""
    return TamperedError("storage_mark_damaged", f"the mark in the database: {what}")
