"""A block: records of one segment that follow each other, and what can be asked of all at once.

What its events say is kept as the filter of their *terms*. A search looks at the filters of all
blocks, and reads the few blocks that may hold what it is for. Pure.
"""

from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct

from protocols import json_text
from protocols.instant import MAX_NS, parse_rfc3339
from vault.audit.bloom_filter import MATCH_ALL, build_filter, may_contain
from vault.audit.log_reader import RecordLocation, RecordRange, decode_line, parse_chain_link
from vault.audit.query import AuditQuery
from vault.errors import ValidationError
from vault.model.audit_row import AuditRow
from vault.model.records import BlockRow

PREFIX_STEP: Final = (
    8  # characters: a path's prefixes of each multiple of it are terms, and shorter ones
)
MAX_PREFIX: Final = 128  # characters of a prefix that is a term; a longer one is looked for by this
MAX_TEXT: Final = 512  # bytes of UTF-8; a path's bound, and a name's: a page has a bounded size

_NAMES: Final = AuditRow.__struct_fields__[3:]  # behind number, time and node
_EXACT: Final = ("actor_id", "operation", "result", "request_id")


class _Terms(Struct):
    """What is asked for of an event, and what a `retention` says."""

    actor_id: str = ""
    operation: str = ""
    result: str = ""
    request_id: str = ""
    path: str = ""
    first: int = 0


class _RecordSummary(Struct):
    seq: int
    time: str
    kind: str
    body: _Terms


class _EventRecord(Struct):
    seq: int
    time: str
    kind: str
    body: msgspec.Raw


_decode_summary: Final = json_text.decoder(_RecordSummary).decode
_decode_event_record: Final = json_text.decoder(_EventRecord).decode
_decode_event: Final = json_text.decoder(
    msgspec.defstruct("_Event", [(name, str, "") for name in _NAMES])
).decode


class IndexBlock(Struct, frozen=True):
    """A block's row. `retained_from`: the first record that retention kept; 0 if not said."""

    row: BlockRow
    retained_from: int


class BlockBuilder:
    """A block that is not yet whole: what the records say that it has been given so far.

    With a record that cannot be read it may hold anything: whoever needs it has to meet it.
    """

    def __init__(self, log_id: str, start: RecordLocation) -> None:
        """Of the log of this id; its first record is at `start`."""
        self._log_id = log_id
        self._start = start
        self._terms: dict[str, set[str]] = {name: set() for name in (*_EXACT, "path")}
        self._first_time = self._last_time = self._retained_from = 0
        self._last_line = b""
        self._damaged = False
        self.bytes = 0
        self.end = start

    @property
    def count(self) -> int:
        """Records that it has."""
        return self.end.seq - self._start.seq

    def append(self, records: RecordRange) -> None:
        """The records that come next; the first ones may be any. Raises `ValueError` for others."""
        if not self.count:
            self._start = records.start
        elif records.start != self.end:
            raise ValueError(f"record {records.start.seq} does not follow")
        actors, operations, results, requests, paths = self._terms.values()  # as `_EXACT` has them
        for number, line in enumerate(records.lines, records.start.seq):
            try:
                entry = _summary(line, number)
                time = record_time_ns(entry.time)
            except ValueError:
                self._damaged = True
                continue
            body = entry.body
            if entry.kind == "event":
                self._first_time, self._last_time = (
                    min(self._first_time or time, time),
                    max(self._last_time, time),
                )
                actors.add(body.actor_id)
                operations.add(body.operation)
                results.add(body.result)
                requests.add(body.request_id)
                _add_prefix_terms(paths, body.path)
            elif entry.kind == "retention":
                self._retained_from = body.first
        self._last_line = records.lines[-1]
        self.bytes += records.end.offset - records.start.offset
        self.end = records.end

    def build(self) -> IndexBlock:
        """The block of all that it has, at least one record."""
        seq, segment, offset = self._start
        if self._damaged:
            began, ended, terms = 1, MAX_NS, MATCH_ALL
        else:
            began, ended = self._first_time, self._last_time
            known = self._terms.items()
            terms = build_filter([_term(name, value) for name, values in known for value in values])
        last = self.end.seq - 1
        row = BlockRow(self._log_id, seq, last, self._prev(), segment, offset, began, ended, terms)
        return IndexBlock(row, self._retained_from)

    def _prev(self) -> str:
        try:
            return parse_chain_link(self._last_line).prev
        except ValueError:
            return ""


class Search:
    """A query, as it is asked of blocks and of lines of the log of `node`."""

    def __init__(self, query: AuditQuery, node: str = "") -> None:
        self._node = node
        self._since = query.since
        self._until = query.until
        self._below_seq = query.validated_cursor()
        self._path = query.path
        self._actor = _truncate(query.actor)
        self._equals = [
            (name, _truncate(str(value))) for name, value in query.exact_filters().items()
        ]
        self._terms = [_term(name, value) for name, value in self._equals]
        if query.path:
            self._terms.append(_term("path", query.path[: _indexed_prefix_length(len(query.path))]))

    def may_match_block(self, block: BlockRow) -> bool:
        """False: the block holds none of it."""
        if not block.ended or block.ended < self._since:
            return False
        if self._until and block.began > self._until:
            return False
        return all(may_contain(block.terms, term) for term in self._terms)

    def is_before_range(self, block: BlockRow) -> bool:
        """True: what is older than this block is older than all that is sought."""
        return 0 < block.ended < self._since

    def newest_matches(self, records: RecordRange, limit: int) -> list[AuditRow]:
        """Those of the records that it is for, newest first.

        Raises `ValueError` for a record that cannot be read, or is another than it should be.
        """
        found: list[AuditRow] = []
        for number, line in zip(
            range(records.end.seq - 1, -1, -1), reversed(records.lines), strict=False
        ):
            if len(found) == limit:
                break
            row = self._row(line, number)
            if row is not None:
                found.append(row)
        return found

    def _row(self, line: bytes, number: int) -> AuditRow | None:
        entry = decode_line(_decode_event_record, line)
        if entry.seq != number:
            raise ValueError(f"record {number} is not where it should be")
        if entry.kind != "event" or (self._below_seq is not None and number >= self._below_seq):
            return None
        time = record_time_ns(entry.time)
        if time < self._since or (self._until and time > self._until):
            return None
        texts: tuple[str, ...] = msgspec.structs.astuple(decode_line(_decode_event, entry.body))
        if max(map(len, texts)) * 4 > MAX_TEXT:
            texts = tuple(map(_truncate, texts))
        row = AuditRow(number, time, self._node, *texts)
        if not row.path.startswith(self._path):
            return None
        if self._actor and self._actor not in (row.actor_id, row.actor_name):
            return None  # a name is no term: each block is looked through for it
        for name, value in self._equals:
            if getattr(row, name) != value:
                return None
        return row


def _summary(line: bytes, number: int) -> _RecordSummary:
    entry = decode_line(_decode_summary, line)
    if entry.seq != number:
        raise ValueError(f"record {number} is not where it should be")
    return entry


def record_time_ns(time: str) -> int:
    """The Unix nanoseconds of a record's time, whose seconds hundreds of records share."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return _seconds(whole) + int(fraction.ljust(9, "0"))


@lru_cache(maxsize=16)
def _seconds(whole: str) -> int:
    try:
        return parse_rfc3339(f"{whole}Z", "time")
    except ValidationError as error:
        raise ValueError(error.message) from None


def _indexed_prefix_length(length: int) -> int:
    """Of the longest prefix of such a path that is a term."""
    return length if length < PREFIX_STEP else min(length // PREFIX_STEP * PREFIX_STEP, MAX_PREFIX)


def _add_prefix_terms(known: set[str], path: str) -> None:
    """The longest first: of what is known, all shorter ones are."""
    length = _indexed_prefix_length(len(path))
    while length > 0:
        prefix = path[:length]
        if prefix in known:
            return
        known.add(prefix)
        length -= PREFIX_STEP if length > PREFIX_STEP else 1


def _term(name: str, value: str) -> bytes:
    return f"{name}={_truncate(value)}".encode("utf-8", "surrogatepass")


def _truncate(text: str) -> str:
    if len(text) * 4 <= MAX_TEXT:
        return text
    return text.encode("utf-8", "replace")[:MAX_TEXT].decode("utf-8", "ignore")
