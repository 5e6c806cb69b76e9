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

from vault.audit import record, replay
from vault.audit.chain import Chain
from vault.audit.checkpoint import origin_of
from vault.audit.headfile import Stored, read_head
from vault.audit.keys import AuditKeys
from vault.audit.layout import Layout, Line, first_record, read_lines
from vault.audit.ledger import Position
from vault.errors import TamperedError


@dataclass(frozen=True, slots=True)
class Recovered:
    """The end of a log. `adopted` records and `dropped` bytes lie behind the stored head.

    `keep` is how many bytes of `audit.log` stay; `stored` is None for a log that is yet to begin.
    """

    position: Position
    stored: Stored | None
    keep: int
    adopted: int
    dropped: int
    last: bytes  # the last line of `audit.log`, without its newline
    covered: int = 0  # bytes of `audit.log` that the head covers; the adopted ones are behind them
    commits: int = 0  # of the store, as the newest signed heads in the log say


def recover(layout: Layout, keys: AuditKeys, vault: str) -> Recovered:
    """Find the end of the log. Changes nothing.

    Raises `TamperedError` (`audit_log_damaged`) when acknowledged records are not all there,
    `OSError` when files cannot be read.
    """
    files = layout.files()
    if not layout.head.exists():
        if files:
            raise damaged(layout.head.name, "the head file is missing")
        return _fresh(keys, None, 0)
    try:
        stored = read_head(layout.head, keys, keys.public)
    except ValueError as error:
        if not files:  # the very first start died while it wrote the head: there was no log yet
            return _fresh(keys, None, 0)
        raise damaged(layout.head.name, str(error)) from None
    if stored.head.origin != origin_of(vault):
        raise damaged(layout.head.name, "the log is of another vault")
    garbage = 0
    for path in reversed(files[-2:]):  # the last, unless none of it was ever acknowledged
        scan = _begin(path, stored, keys, vault)
        found = scan and _follow(scan, garbage, is_open=path == layout.log)
        if found:
            return found
        garbage = path.stat().st_size
    if stored.head.size:
        raise damaged(layout.log.name, "no segment begins with a checkpoint that the head covers")
    return _fresh(keys, stored, garbage)


def damaged(place: str, what: str) -> TamperedError:
    """The error for a log that somebody must look at."""
    return TamperedError("audit_log_damaged", f"audit log, {place}: {what}")


def _fresh(keys: AuditKeys, stored: Stored | None, garbage: int) -> Recovered:
    position = Position(Chain(keys.digest), 0, 0, 0, closed=True, checkpoint=0)
    commits = stored.head.store if stored else 0
    return Recovered(position, stored, 0, 0, dropped=garbage, last=b"", commits=commits)


@dataclass(slots=True)
class _Scan:
    path: Path
    stored: Stored
    keys: AuditKeys
    vault: str
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
    position: Position
    last: bytes


def _begin(path: Path, stored: Stored, keys: AuditKeys, vault: str) -> _Scan | None:
    """The scan's start, a signed state that the head covers; None if the file has none."""
    try:
        segment: record.Segment = record.body_as(first_record(path), record.Segment)
    except ValueError:
        return None
    for offset in (stored.mark, 0):
        try:
            entry = record.decode(next(read_lines(path, offset)).data)
            chain = replay.resume(entry, keys, keys.public)
        except (ValueError, StopIteration):
            continue
        if chain.size <= stored.head.size:
            return _Scan(path, stored, keys, vault, chain, segment.number, offset)
    return None


def _follow(scan: _Scan, garbage: int, *, is_open: bool) -> Recovered | None:
    """Replay the segment to its end; None if the head covers none of it and no batch is whole."""
    lines = read_lines(scan.path, scan.offset)
    covered = scan.stored.head.size
    committed: _Committed | None = None
    unborn = scan.offset == 0 and scan.chain.size == covered
    fault = _at_head(scan)
    for line in lines:
        fault = fault or _step(scan, line)
        if fault:
            break
        if _is_committed(scan, line):
            committed = _Committed(_position(scan, is_open=is_open), line.data)
    if fault and _goes_on(scan.keys, lines):
        raise damaged(scan.path.name, f"record {scan.chain.size}: {fault}")
    if committed is None and unborn:
        return None
    if committed is None or committed.position.chain.size < covered:
        missing = f"record {scan.chain.size}: {fault or 'the log ends before what was signed'}"
        raise damaged(scan.path.name, missing)
    dropped = scan.path.stat().st_size - committed.position.length
    if not is_open and dropped:
        raise damaged(scan.path.name, "a closed segment has been added to")
    return Recovered(
        position=committed.position,
        stored=scan.stored,
        keep=committed.position.length if is_open else 0,
        adopted=committed.position.chain.size - covered,
        dropped=dropped if is_open else garbage,
        last=committed.last if is_open else b"",
        covered=scan.covered if is_open else 0,
        commits=max(scan.commits, scan.stored.head.store),
    )


def _step(scan: _Scan, line: Line) -> str:
    """Take one line; says what is wrong with it, if anything is."""
    if not line.whole:
        return "the line is torn"
    try:
        before = scan.chain.copy()
        entry = replay.admit(scan.chain, line.data, scan.vault)
        if replay.is_snapshot(entry):
            head = replay.check_snapshot(before, entry, scan.keys, scan.keys.public)
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
        replay.check_head(scan.chain, head)
    except ValueError as error:
        return str(error)
    return ""


def _is_committed(scan: _Scan, line: Line) -> bool:
    covered = scan.stored.head.size
    if scan.chain.size <= covered:
        return scan.chain.size == covered
    return _has_commit_mark(scan.keys, line.data)


def _has_commit_mark(keys: AuditKeys, line: bytes) -> bool:
    core, mark = record.split_commit(line)
    if not mark:
        return False
    prev = record.decode(line).prev
    return hmac.compare_digest(mark, record.commit_mark(keys, bytes.fromhex(prev), core).encode())


def _goes_on(keys: AuditKeys, lines: Iterator[Line]) -> bool:
    """Whether a batch of ours ends behind the bad line and another begins after it.

    Then this one was acknowledged: the next batch is not written before the last one is durable.
    """
    for line in lines:
        try:
            if line.whole and _has_commit_mark(keys, line.data):
                return bool(list(islice(lines, 1)))
        except ValueError:
            continue
    return False


def _position(scan: _Scan, *, is_open: bool) -> Position:
    return Position(
        chain=scan.chain.copy(),
        segment=scan.segment,
        length=scan.offset,
        mark=scan.mark,
        closed=not is_open,
        checkpoint=scan.checkpoint,
    )
