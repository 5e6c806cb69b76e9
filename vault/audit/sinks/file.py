"""The durable sink: append, make durable, then move the head forward.

Synchronous, and used by one thread at a time. After any error the descriptors are given up: a
failed fsync is never tried again on the same one, since the kernel has already forgotten what it
could not write. The next attempt opens the files afresh, checks that the acknowledged end is as it
was left, and its owner cuts off whatever lies behind it and writes the same batch again.

Several processes can write one copy in turn (`vault.audit.shared_tail`). One of them owns it: the
owner loads it, locks it, begins its segments and keeps its reserve. The others `join`.
"""

import errno
from pathlib import Path
from typing import Final, Literal, TypeAlias

from protocols.instant import parse_rfc3339
from protocols.merkle import Frontier
from vault.audit import record
from vault.audit.batch import Batch
from vault.audit.chain import EMPTY_HEAD
from vault.audit.checkpoint import TreeHead, log_origin, sign_checkpoint
from vault.audit.head_file import SLOTS, SPACING, encode_slot
from vault.audit.keys import AuditKeys, HashFunction
from vault.audit.layout import LogLayout, read_segment_header
from vault.audit.recovery import RecoveredLog, recover_log, tampered_error
from vault.audit.shared_tail import LastLine, Tail
from vault.audit.sinks.catch_up import catch_up
from vault.audit.sinks.disk import Disk, DiskReserve, is_disk_full

DEFAULT_RESERVE_BYTES: Final = 64 * 2**20  # bytes; security.md, "Audit tampering"
_PIECE: Final = 2**20  # bytes
Durability: TypeAlias = Literal["fsync", "write"]


class FileSink:
    """One copy of the log in one folder, with `LogLayout`'s names.

    `durability` "fsync": a batch survives a power cut; "write": it survives the end of the process.
    """

    def __init__(
        self,
        log: Path,
        *,
        durability: Durability = "fsync",
        reserve_bytes: int = DEFAULT_RESERVE_BYTES,
        disk: Disk | None = None,
    ) -> None:
        self.layout = LogLayout(log)
        self._syncs = durability == "fsync"
        self._disk = disk or Disk()
        self._reserve = DiskReserve(self.layout.reserve_file, reserve_bytes, self._disk)
        self._log: int | None = None
        self._head: int | None = None
        self._size = 0  # of the log, in records, acknowledged
        self._segment = 0
        self._end_offset = 0  # of audit.log, in bytes, acknowledged
        self.last_line = LastLine()
        self.slot = 0
        """Of the head file: the one that was written last."""
        self._closed = True  # audit.log has its final name already, or never existed
        self._is_attached = False
        self._digest: HashFunction

    @property
    def name(self) -> str:
        """The path of the log."""
        return str(self.layout.log)

    @property
    def on_reserve(self) -> bool:
        """Whether the reserve is given up: the disk is full but for that."""
        return self._reserve.is_released

    def load(self, keys: AuditKeys, log_id: str) -> RecoveredLog:
        """Lock the log, find its end and cut off what was never acknowledged.

        Raises `OSError` and what `recover_log` raises.
        """
        self.layout.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.close()
        self._digest = keys.digest
        if self.layout.head_file.exists():
            self._open_head()
        found = recover_log(self.layout, keys, log_id)
        if found.stored is None:
            self._create_head(keys, log_id)
        position = found.position
        self._size, self._segment = position.chain.size, position.segment
        self._closed, self._end_offset, self.last_line = (
            position.is_closed,
            found.keep_bytes,
            self._last_line(found.last_line),
        )
        self.slot = found.stored.slot if found.stored else 0
        if self._closed:
            self._disk.unlink(self.layout.log)
            self._disk.sync_folder(self.layout.log.parent)
        else:
            self._write_again(self._open_log(), found.covered_bytes)
        self._reserve.open()
        return found

    def attach(self, keys: AuditKeys) -> None:
        """Be one who writes what another process owns, once `resume` has said where that ends."""
        self._is_attached, self._digest = True, keys.digest

    def resume(self, tail: Tail) -> None:
        """Go on from where another process has left the log."""
        if tail.segment != self._segment and self._log is not None:
            self._disk.close(self._log)
            self._log = None
        self._size, self._segment, self._closed = tail.size, tail.segment, False
        self._end_offset, self.last_line, self.slot = tail.length, tail.last_line, tail.slot

    def catch_up_from(self, ahead: LogLayout) -> None:
        """Append what a longer copy has; `load` again afterwards. Raises as `catch_up`."""
        self.close()
        catch_up(self.layout, ahead, self._disk)

    def write(self, batches: tuple[Batch, ...]) -> None:
        """Append the batches that are not here yet, each durable before the next; in order.

        Raises `OSError`: what was appended before stays, the rest may be tried again. When the disk
        is full the reserve is given up first.
        """
        for batch in batches:
            if batch.size > self._size:
                self._write(batch)

    def expired_segments(self, before: int) -> record.RetentionBody | None:
        """Which closed segments ended before this instant (Unix nanoseconds). Raises `OSError`."""
        found = None
        files = self.layout.segment_files()
        for number, following in zip(self.layout.closed_segment_numbers(), files[1:], strict=False):
            try:
                header = read_segment_header(following)
            except ValueError as error:
                raise tampered_error(following.name, str(error)) from None
            if parse_rfc3339(header.time, "time") >= before:
                break
            found = record.RetentionBody(through=number, first=header.seq)
        return found

    def maintain(self, batch: Batch) -> None:
        """What can wait until a batch was acknowledged: remove the segments that it lets go.

        Raises `OSError`; the batch is durable all the same.
        """
        old = [number for number in self.layout.closed_segment_numbers() if number <= batch.expire]
        for number in old:
            self._disk.unlink(self.layout.closed_segment(number))
        if old:
            self._disk.sync_folder(self.layout.log.parent)

    def reclaim_reserve(self) -> None:
        """Take the reserve back if there is room again. Raises `OSError`."""
        self._reserve.reclaim()

    def close(self) -> None:
        """Give up the descriptors and the lock."""
        for fd in (self._log, self._head):
            if fd is not None:
                self._disk.close(fd)
        self._log = self._head = None

    # One batch.

    def _write(self, batch: Batch) -> None:
        try:
            self._try_write(batch)
        except OSError as error:
            self.close()
            if not is_disk_full(error) or not self._reserve.release():
                raise
            try:
                self._try_write(batch)
            except OSError:
                self.close()
                raise

    def _try_write(self, batch: Batch) -> None:
        head = self._open_head() if self._head is None else self._head
        if batch.segment != self._segment:
            self._rotate(head, batch.segment)
        log = self._open_log() if self._log is None else self._log
        if self._disk.size(log) != self._end_offset:
            raise OSError(errno.ESTALE, "the audit log was changed by somebody else")
        self._write_at(log, batch.data, self._end_offset)
        if self._syncs:
            self._disk.sync(log)
        self._move_head(head, batch)
        self._end_offset += len(batch.data)
        self._size = batch.size
        self.last_line = self._last_line(batch.data[batch.data.rfind(b"\n", 0, -1) + 1 : -1])

    def _write_at(self, fd: int, data: bytes, offset: int) -> None:
        rest = memoryview(data)
        while rest:
            written = self._disk.write(fd, rest, offset)
            if written <= 0:
                raise OSError(errno.EIO, "the disk took nothing")
            rest, offset = rest[written:], offset + written

    def _move_head(self, head: int, batch: Batch) -> None:
        slot = (self.slot + 1) % SLOTS
        self._write_at(head, encode_slot(batch.note, batch.checkpoint_offset), slot * SPACING)
        # The log itself is durable, so a head that a power cut sets back loses no record. It is
        # made durable with each checkpoint, so that it is never set back by more than that.
        if batch.syncs_head and self._syncs:
            self._disk.sync(head)
        self.slot = slot

    def _rotate(self, head: int, segment: int) -> None:
        """Close the segment, begin the next. Each step is skipped when an attempt before did it."""
        if self._syncs:
            self._disk.sync(head)  # the head covers a closed segment whole
        folder = self.layout.log.parent
        if not self._closed:
            self._disk.rename(self.layout.log, self.layout.closed_segment(self._segment))
            self._closed = True
        if self._log is not None:
            self._disk.close(self._log)
            self._log = None
        self._log = self._disk.open(self.layout.log, create=True, truncate=True)
        self._disk.sync_folder(folder)
        self._segment, self._end_offset, self.last_line, self._closed = (
            segment,
            0,
            LastLine(),
            False,
        )

    # Opening.

    def _open_head(self, *, create: bool = False) -> int:
        self._head = self._disk.open(self.layout.head_file, create=create)
        if not self._is_attached:
            self._disk.lock(self._head)
        return self._head

    def _create_head(self, keys: AuditKeys, log_id: str) -> None:
        tree = Frontier(keys.digest)
        empty = TreeHead(log_origin(log_id), 0, tree.root(), EMPTY_HEAD, "1970-01-01T00:00:00Z")
        fd = self._open_head(create=True) if self._head is None else self._head
        block = encode_slot(sign_checkpoint(empty, keys), 0)
        for slot in range(SLOTS):
            self._write_at(fd, block, slot * SPACING)
        self._disk.sync(fd)
        self._disk.sync_folder(self.layout.log.parent)

    def _open_log(self) -> int:
        """Open audit.log at its acknowledged end; its owner makes that end durable."""
        fd = self._disk.open(self.layout.log)
        try:
            self._check_end(fd)
            if not self._is_attached:
                self._disk.truncate(fd, self._end_offset)
                self._disk.sync(fd)
        except OSError:
            self._disk.close(fd)
            raise
        self._log = fd
        return fd

    def _write_again(self, log: int, start: int) -> None:
        """Make durable what lies behind the head: of its first sync nobody knows how it ended.

        In place: some of it may have been acknowledged, by a head that a power cut has set back.
        """
        if start >= self._end_offset:
            return
        while start < self._end_offset:
            data = self._disk.read(log, min(_PIECE, self._end_offset - start), start)
            self._write_at(log, data, start)
            start += len(data)
        self._disk.sync(log)

    def _check_end(self, fd: int) -> None:
        length = self.last_line.length
        tail = (
            self._digest(self._disk.read(fd, length, self._end_offset - length)) if length else b""
        )
        changed = tail != self.last_line.digest  # not secret: the digest of a file's line
        if changed or self._disk.size(fd) < self._end_offset:
            raise OSError(errno.ESTALE, "the end of the audit log is not as it was left")

    def _last_line(self, line: bytes) -> LastLine:
        return LastLine(len(line) + 1, self._digest(line + b"\n")) if line else LastLine()
