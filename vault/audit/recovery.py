"""Where a log ends that was left by an earlier run: read from its last checkpoint, not through.

What the head file covers was acknowledged and must be there, else somebody has to look. Behind it a
crash may have left records: those that carry our commit mark are kept, and a last batch without
one was never acknowledged to anybody and is cut off.
"""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from vault.audit import chain_check, record
from vault.audit.batch import LogPosition
from vault.audit.chain import Chain
from vault.audit.checkpoint import log_origin
from vault.audit.head_file import StoredHead, read_head
from vault.audit.keys import AuditKeys
from vault.audit.layout import LogLayout, LogLine, read_lines, read_segment_header
from vault.errors import TamperedError


@dataclass(frozen=True, slots=True)
class RecoveredLog:
    """The end of a log. `adopted` records and `dropped` bytes lie behind the stored head.

    `keep_bytes` is how many bytes of `audit.log` stay; `stored` is None for a log that is yet to
    begin.
    """

    position: LogPosition
    stored: StoredHead | None
    keep_bytes: int
    adopted: int
    dropped: int
    last_line: bytes  # the last line of `audit.log`, without its newline
    covered_bytes: int = (
        0  # bytes of `audit.log` that the head covers; the adopted ones are behind them
    )
    commits: int = 0  # of the store, as the newest signed heads in the log say


def recover_log(layout: LogLayout, keys: AuditKeys, log_id: str) -> RecoveredLog:
    """Find the end of the log. Changes nothing.

    Raises `TamperedError` (`audit_log_damaged`) when acknowledged records are not all there,
    `OSError` when files cannot be read.
    """
    files = layout.segment_files()
    if not layout.head_file.exists():
        if files:
            raise tampered_error(layout.head_file.name, "the head file is missing")
        return _empty_log(keys, None, 0)
    try:
        stored = read_head(layout.head_file, keys, keys.public)
    except ValueError as error:
        if not files:  # the very first start died while it wrote the head: there was no log yet
            return _empty_log(keys, None, 0)
        raise tampered_error(layout.head_file.name, str(error)) from None
    if stored.head.origin != log_origin(log_id):
        raise tampered_error(layout.head_file.name, "the log is of another node or vault")
    garbage = 0
    for path in reversed(files[-2:]):  # the last, unless none of it was ever acknowledged
        scan = _start_scan(path, stored, keys, log_id)
        found = scan and _replay_segment(scan, garbage, is_open=path == layout.log)
        if found:
            return found
        garbage = path.stat().st_size
    if stored.head.size:
        raise tampered_error(
            layout.log.name, "no segment begins with a checkpoint that the head covers"
        )
    return _empty_log(keys, stored, garbage)


def tampered_error(place: str, what: str) -> TamperedError:
    """The error for a log that somebody must look at."""
    return TamperedError("audit_log_damaged", f"audit log, {place}: {what}")


def _empty_log(keys: AuditKeys, stored: StoredHead | None, garbage: int) -> RecoveredLog:
    position = LogPosition(Chain(keys.digest), 0, 0, 0, is_closed=True, checkpoint=0)
    commits = stored.head.store if stored else 0
    return RecoveredLog(position, stored, 0, 0, dropped=garbage, last_line=b"", commits=commits)


@dataclass(slots=True)
class _Scan:
    path: Path
    stored: StoredHead
    keys: AuditKeys
    log_id: str
    chain: Chain
    segment: int
    offset: int  # of the next line
    mark: int = 0
    checkpoint: int = 0
    last: bytes = b""
    commits: int = 0
    covered: int = 0  # bytes that the head covers


@dataclass(frozen=True, slots=True)
class _Committed:
    position: LogPosition
    last: bytes


def _start_scan(path: Path, stored: StoredHead, keys: AuditKeys, log_id: str) -> _Scan | None:
    """The scan's start, a signed state that the head covers; None if the file has none."""
    try:
        segment: record.SegmentBody = record.decode_body(
            read_segment_header(path), record.SegmentBody
        )
    except ValueError:
        return None
    for offset in (stored.checkpoint_offset, 0):
        try:
            entry = record.decode_record(next(read_lines(path, offset)).data)
            chain = chain_check.chain_before(entry, keys, keys.public)
        except (ValueError, StopIteration):
            continue
        if chain.size <= stored.head.size:
            return _Scan(path, stored, keys, log_id, chain, segment.number, offset)
    return None


def _replay_segment(scan: _Scan, garbage: int, *, is_open: bool) -> RecoveredLog | None:
    """Replay the segment to its end; None if the head covers none of it and no batch is whole."""
    lines = read_lines(scan.path, scan.offset)
    covered = scan.stored.head.size
    committed: _Committed | None = None
    unborn = scan.offset == 0 and scan.chain.size == covered
    fault = _at_head(scan)
    for line in lines:
        fault = fault or _replay_line(scan, line)
        if fault:
            break
        if _is_committed(scan, line):
            committed = _Committed(_position(scan, is_open=is_open), line.data)
    if fault and _has_later_batch(scan.keys, lines):
        raise tampered_error(scan.path.name, f"record {scan.chain.size}: {fault}")
    if committed is None and unborn:
        return None
    if committed is None or committed.position.chain.size < covered:
        missing = f"record {scan.chain.size}: {fault or 'the log ends before what was signed'}"
        raise tampered_error(scan.path.name, missing)
    dropped = scan.path.stat().st_size - committed.position.length
    if not is_open and dropped:
        raise tampered_error(scan.path.name, "a closed segment has been added to")
    return RecoveredLog(
        position=committed.position,
        stored=scan.stored,
        keep_bytes=committed.position.length if is_open else 0,
        adopted=committed.position.chain.size - covered,
        dropped=dropped if is_open else garbage,
        last_line=committed.last if is_open else b"",
        covered_bytes=scan.covered if is_open else 0,
        commits=max(scan.commits, scan.stored.head.store),
    )


def _replay_line(scan: _Scan, line: LogLine) -> str:
    """Take one line; says what is wrong with it, if anything is."""
    if not line.is_complete:
        return "the line is torn"
    try:
        before = scan.chain.copy()
        entry = chain_check.extend_chain(scan.chain, line.data, scan.log_id)
        if chain_check.is_snapshot(entry):
            head = chain_check.check_snapshot(before, entry, scan.keys, scan.keys.public)
            scan.commits = max(scan.commits, head.store)
            scan.mark, scan.checkpoint = scan.offset, scan.chain.size
    except ValueError as error:
        return str(error)
    scan.offset += len(line.data) + 1
    return _at_head(scan)


def _at_head(scan: _Scan) -> str:
    head = scan.stored.head
    if scan.chain.size != head.size:
        return ""
    scan.covered = scan.offset
    try:
        chain_check.check_head(scan.chain, head)
    except ValueError as error:
        return str(error)
    return ""


def _is_committed(scan: _Scan, line: LogLine) -> bool:
    covered = scan.stored.head.size
    if scan.chain.size <= covered:
        return scan.chain.size == covered
    return _has_commit_mark(scan.keys, line.data)


def _has_commit_mark(keys: AuditKeys, line: bytes) -> bool:
    core, mark = record.split_commit(line)
    if not mark:
        return False
    prev = record.decode_record(line).prev
    return hmac.compare_digest(mark, record.commit_mark(keys, bytes.fromhex(prev), core).encode())


def _has_later_batch(keys: AuditKeys, lines: Iterator[LogLine]) -> bool:
    """Whether a batch of ours ends behind the bad line and another begins after it.

    Then this one was acknowledged: the next batch is not written before the last one is durable.
    """
    for line in lines:
        try:
            if line.is_complete and _has_commit_mark(keys, line.data):
                return bool(list(islice(lines, 1)))
        except ValueError:
            continue
    return False


def _position(scan: _Scan, *, is_open: bool) -> LogPosition:
    return LogPosition(
        chain=scan.chain.copy(),
        segment=scan.segment,
        length=scan.offset,
        checkpoint_offset=scan.mark,
        is_closed=not is_open,
        checkpoint=scan.checkpoint,
    )
