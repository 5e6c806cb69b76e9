"""The standalone verifier: reads a log once, in constant memory, and finds the first bad record.

It needs no secret, only the log's public key; without one it takes the key that the log itself
names, and then proves that the log is whole and signed by *that* key.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from protocols.merkle import Frontier
from vault.audit import chain_check, record
from vault.audit.chain import Chain
from vault.audit.checkpoint import TreeHead, log_origin, verify_checkpoint
from vault.audit.head_file import StoredHead, read_head
from vault.audit.keys import VerifyKeys
from vault.audit.layout import LogLayout, LogLine, read_lines
from vault.audit.record import AuditRecord

HEAD_READ_ATTEMPTS: Final = (
    200  # looks at the head, of about 0.1 ms: longer than a batch's fsync takes
)


class BadLogError(Exception):
    """The first thing that is wrong with a log, and where.

    `file`, `line` (from 1) and `seq` say which record is there, or is missing there.

    For the head file, `line` is 0 and `seq` is the size that it claims, or -1.
    """

    def __init__(self, file: str, line: int, seq: int, what: str) -> None:
        super().__init__(file, line, seq, what)
        self.file = file
        self.line = line
        self.seq = seq
        self.what = what

    def __str__(self) -> str:
        """For people."""
        return f"{self.file}, line {self.line}, record {self.seq}: {self.what}"


@dataclass(frozen=True, slots=True)
class LogVerdict:
    """A good log: `size` records of which those from `first` on are here, and the tree's `root`."""

    size: int
    root: str  # hex
    first: int
    segments: int
    origin: str  # which log it is, see `vault.audit.checkpoint.log_origin`
    public: bytes  # the key that signed it


@dataclass(frozen=True, slots=True)
class VerifiedRecord:
    """A line that has been checked."""

    line: LogLine
    record: AuditRecord


class LogVerifier:
    """One pass over one log. `records` must be run to its end before `verdict`."""

    def __init__(
        self, layout: LogLayout, keys: VerifyKeys, public: bytes | None, witness: str = ""
    ) -> None:
        self._layout = layout
        self._keys = keys
        self._public = public
        self._witness_note = witness
        self._witness: TreeHead | None = None
        self._stored: StoredHead | None = None
        self._begin_tree = Frontier(keys.digest)
        self._root = b""
        self._chain = Chain(keys.digest)
        self._log = ""
        self._first = 0
        self._segment = 0  # the number of the current one
        self._segments = 0
        self._released = 0  # retention said that the log may begin at this record
        self._signed = 0  # the size at the last good signature in the log
        self._place = (layout.log.name, 0)
        self._uncovered: tuple[str, int] | None = None  # the first record behind the head

    @property
    def stored_head(self) -> StoredHead:
        """The head that the log is held against; there from the first record on."""
        if self._stored is None:
            raise ValueError("no record has been read")
        return self._stored

    @property
    def first_tree(self) -> Frontier:
        """The tree before the first record that is here."""
        return self._begin_tree

    def records(self) -> Iterator[VerifiedRecord]:
        """Every record, once it has been checked.

        Raises `BadLogError` for the first bad record, `OSError` when a file cannot be read.
        """
        previous: LogLine | None = None
        lines = self._lines()
        line = next(lines, None)
        while line is not None:
            following = next(lines, None)
            if self._is_being_written(line, following):
                self._uncovered = self._uncovered or (line.file, line.number)
                break
            yield VerifiedRecord(line, self._check(previous, line, following))
            previous, line = line, following
        self._finish()

    def verdict(self) -> LogVerdict:
        """What was found."""
        return LogVerdict(
            size=self.stored_head.head.size,
            root=self._root.hex(),
            first=self._first,
            segments=self._segments,
            origin=log_origin(self._log),
            public=self._public or b"",
        )

    def _lines(self) -> Iterator[LogLine]:
        for path in self._layout.segment_files():
            # The agent may have closed the active file since: then it has its number for a name.
            closed = self._layout.closed_segment(self._segment + 1)
            is_closed_now = path == self._layout.log and self._segment and closed.exists()
            yield from read_lines(closed if is_closed_now else path)

    def _is_being_written(self, line: LogLine, following: LogLine | None) -> bool:
        """Whether this is half a line behind the head, at the very end: a batch on its way."""
        if line.is_complete or following is not None or self._stored is None:
            return False
        return self._chain.size >= self._stored.head.size

    # One line.

    def _check(
        self, previous: LogLine | None, line: LogLine, following: LogLine | None
    ) -> AuditRecord:
        self._place = (line.file, line.number)
        if not line.is_complete:
            raise self._bad_log(line, "the line is torn")
        try:
            entry = record.decode_record(line.data)
            if previous is None:
                self._check_first_record(entry)
            before = self._chain.copy() if chain_check.is_snapshot(entry) else None
            if line.number == 1 or chain_check.is_segment_header(entry):
                self._open_segment(line, entry)
            self._continue(previous, line, following)
            if before is not None:
                self._signature(before, line, entry)
        except ValueError as error:
            raise self._bad_log(line, str(error)) from None
        if entry.kind == "retention":
            body: record.RetentionBody = record.decode_body(entry, record.RetentionBody)
            self._released = max(self._released, body.first)
        head = self.stored_head.head
        if self._chain.size == head.size:
            self._meet_head(head)
        elif self._chain.size == head.size + 1:
            self._uncovered = self._place
        if self._witness is not None and self._chain.size == self._witness.size:
            self._meet_witness(self._witness)
        return entry

    def _check_first_record(self, entry: AuditRecord) -> None:
        """Take the first record that is here: trust starts with its key and its signature."""
        if not chain_check.is_segment_header(entry):
            raise ValueError("the log does not begin with the header of a segment")
        named = chain_check.segment_public_key(entry)
        if self._public is not None and named != self._public:
            raise ValueError("the log is not signed by the given key")
        self._public = named
        self._log = entry.log
        self._chain = chain_check.chain_before(entry, self._keys, named)
        self._first = self._signed = self._chain.size
        self._begin_tree = self._chain.tree.copy()
        self._stored = self._read_head()
        if self._witness_note:
            self._witness = self._open_witness(self._witness_note, named)
        if self._first and self._stored.head.size <= self._first:
            raise self._old_head(self._stored.head.size)

    def _open_segment(self, line: LogLine, entry: AuditRecord) -> None:
        if line.number != 1:
            raise ValueError("the header of a segment in the middle of a file")
        if not chain_check.is_segment_header(entry):
            raise ValueError("the file does not begin with the header of a segment")
        body: record.SegmentBody = record.decode_body(entry, record.SegmentBody)
        if self._segments and body.number != self._segment + 1:
            missing = self._layout.closed_segment(self._segment + 1).name
            raise BadLogError(missing, 1, self._chain.size, "the segment is missing")
        if line.file not in {self._layout.log.name, self._layout.closed_segment(body.number).name}:
            raise ValueError(f"the file's name is not that of segment {body.number}")
        if chain_check.segment_public_key(entry) != self._public:
            raise ValueError("the segment names another key than the first")
        self._segment = body.number
        self._segments += 1

    def _continue(self, previous: LogLine | None, line: LogLine, following: LogLine | None) -> None:
        try:
            chain_check.extend_chain(self._chain, line.data, self._log)
        except ValueError as error:
            blamed = self._find_bad_line(previous, line, following)
            if blamed is line:
                raise
            raise BadLogError(
                blamed.file, blamed.number, self._chain.size - 1, f"altered or inserted ({error})"
            ) from None

    def _find_bad_line(
        self, previous: LogLine | None, line: LogLine, following: LogLine | None
    ) -> LogLine:
        """Of two neighbours that do not fit, the one that the rest of the log does not vouch for.

        Each line's `prev` commits to the one before. If this line is vouched for by the next (or by
        the head), it is genuine, and it was the line before that was altered, or slipped in.
        """
        entry = record.decode_record(line.data)
        same_place = entry.seq in {self._chain.size, self._chain.size - 1}
        if previous is None or previous.data == line.data or not same_place:
            return line
        own = self._keys.digest(bytes.fromhex(entry.prev) + line.data)
        if following is None:
            vouched = self.stored_head.head.head == own
        else:
            try:
                vouched = record.decode_record(following.data).prev == own.hex()
            except ValueError:
                vouched = False
        return previous if vouched else line

    def _signature(self, before: Chain, line: LogLine, entry: AuditRecord) -> None:
        try:
            chain_check.check_snapshot(before, entry, self._keys, self._public or b"")
        except ValueError as error:
            raise self._bad_log(line, self._rebuilt(error), entry.seq) from None
        self._signed = entry.seq

    # The head.

    def _read_head(self) -> StoredHead:
        name = self._layout.head_file.name
        try:
            stored = read_head(self._layout.head_file, self._keys, self._public or b"")
        except FileNotFoundError:
            raise BadLogError(name, 0, -1, "the head file is missing") from None
        except ValueError as error:
            raise BadLogError(name, 0, -1, str(error)) from None
        if stored.head.origin != log_origin(self._log):
            raise BadLogError(name, 0, stored.head.size, "the head is of another log")
        return stored

    def _meet_head(self, head: TreeHead) -> None:
        try:
            chain_check.check_head(self._chain, head)
        except ValueError as error:
            raise BadLogError(*self._place, head.size - 1, self._rebuilt(error)) from None
        self._root = self._chain.tree.root()

    def _open_witness(self, note: str, public: bytes) -> TreeHead:
        try:
            head = verify_checkpoint(note, self._keys, public)
        except ValueError as error:
            raise ValueError(f"the witness is not of this log: {error}") from None
        if head.origin != log_origin(self._log):
            raise ValueError("the witness is of another log")
        return head

    def _meet_witness(self, head: TreeHead) -> None:
        try:
            chain_check.check_head(self._chain, head)
        except ValueError:
            what = f"not the {head.size} records that the witness has seen: the log was replaced"
            raise BadLogError(*self._place, head.size - 1, what) from None

    def _finish(self) -> None:
        file, line = self._place
        if self._stored is None:
            raise BadLogError(file, 1, 0, "there is no record")
        head = self._stored.head
        if self._chain.size < head.size:
            what = f"the log ends here; {head.size} records were signed"
            file, line = self._after_end()
            raise BadLogError(file, line, self._chain.size, what)
        if self._witness is not None and self._witness.size > self._chain.size:
            what = f"the log ends here; the witness has seen {self._witness.size} records"
            raise BadLogError(*self._after_end(), self._chain.size, what)
        if self._first > self._released:
            name = self._layout.closed_segment(max(self._segment - self._segments, 1)).name
            raise BadLogError(name, 1, self._first - 1, "gone, and no retention record says so")
        if self._uncovered is not None:
            self._check_growth(head, *self._uncovered)

    def _after_end(self) -> tuple[str, int]:
        file, line = self._place
        return (file, line + 1) if file == self._layout.log.name else (self._layout.log.name, 1)

    def _check_growth(self, head: TreeHead, file: str, line: int) -> None:
        """More records than the head covers: fine if the head moves on, so a writer is at work."""
        for _ in range(HEAD_READ_ATTEMPTS):
            if self._read_head().head.size > head.size:
                return
        if self._signed > head.size:
            raise self._old_head(head.size)
        what = "not covered by the signed head: forged, or left by a crash or by a running agent"
        raise BadLogError(file, line, head.size, what)

    def _old_head(self, size: int) -> BadLogError:
        what = f"the head is older than the checkpoint over {self._signed} records in the log"
        return BadLogError(self._layout.head_file.name, 0, size, what)

    def _rebuilt(self, error: ValueError) -> str:
        """Chain and sequence fit, a signature does not: somebody has rebuilt the chain."""
        return (
            f"altered here or since the last good signature, over {self._signed} records: {error}"
        )

    def _bad_log(self, line: LogLine, what: str, seq: int | None = None) -> BadLogError:
        return BadLogError(line.file, line.number, self._chain.size if seq is None else seq, what)
