"""A block: records of one segment that follow each other, and what can be asked of all at once.

What its events say is kept as the filter of their *terms*. A search looks at the filters of all
blocks, and reads the few blocks that may hold what it is for. Pure.
"""

from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct

from vault.audit.bloom import build, may_hold
from vault.audit.query import AuditQuery
from vault.audit.tail import Place, Stretch
from vault.model.event import AuditRow
from vault.model.instant import parse_rfc3339
from vault.model.records import BlockRow

STEP: Final = 8  # characters: a path's prefixes of each multiple of it are terms
MAX_TEXT: Final = 512  # bytes of UTF-8; a path's bound, and a name's: a page has a bounded size

_NAMES: Final = AuditRow.__struct_fields__[2:]  # behind number and time
_EXACT: Final = ("actor_id", "operation", "result", "request_id")


class _Terms(Struct):
    """What is asked for of an event, and what a `retention` says."""

    actor_id: str = ""
    operation: str = ""
    result: str = ""
    request_id: str = ""
    path: str = ""
    first: int = 0


class _Outline(Struct):
    seq: int
    time: str
    kind: str
    body: _Terms


class _Whole(Struct):
    seq: int
    time: str
    kind: str
    body: msgspec.Raw


_decode_outline: Final = msgspec.json.Decoder(_Outline).decode
_decode_whole: Final = msgspec.json.Decoder(_Whole).decode
_decode_event: Final = msgspec.json.Decoder(
    msgspec.defstruct("_Event", [(name, str, "") for name in _NAMES])
).decode


class Block(Struct, frozen=True):
    """A block's row. `gone_before`: the first record that retention kept; 0 if it says nothing."""

    row: BlockRow
    gone_before: int


class Digest:
    """A block that is not yet whole: what the records say that it has been given so far."""

    def __init__(self, log: str, place: Place) -> None:
        """Of the log of this vault id; its first record is at `place`."""
        self._log = log
        self._place = place
        self._known: dict[str, set[str]] = {name: set() for name in (*_EXACT, "path")}
        self._began = self._ended = self._gone_before = 0
        self.end = place

    @property
    def count(self) -> int:
        """Records that it has."""
        return self.end.seq - self._place.seq

    def add(self, stretch: Stretch) -> None:
        """The records that come next; the first ones may be any. Raises `ValueError` for others."""
        if not self.count:
            self._place = self.end = stretch.place
        if stretch.place != self.end:
            raise ValueError(f"record {stretch.place.seq} does not follow")
        paths = self._known["path"]
        exact = [(name, self._known[name]) for name in _EXACT]
        for number, line in enumerate(stretch.lines, stretch.place.seq):
            entry = _decode_outline(line)
            if entry.seq != number:
                raise ValueError(f"record {number} is not where it should be")
            body = entry.body
            if entry.kind == "event":
                time = instant(entry.time)
                self._began, self._ended = min(self._began or time, time), max(self._ended, time)
                for name, values in exact:
                    values.add(getattr(body, name))
                _add_prefixes(paths, body.path)
            elif entry.kind == "retention":
                self._gone_before = body.first
        self.end = stretch.end

    def block(self) -> Block:
        """The block of all that it has, at least one record."""
        terms = [_term(name, value) for name, values in self._known.items() for value in values]
        seq, segment, offset = self._place
        last = self.end.seq - 1
        row = BlockRow(
            self._log, seq, last, segment, offset, self._began, self._ended, build(terms)
        )
        return Block(row, self._gone_before)


class Sought:
    """A query, as it is asked of blocks and of lines."""

    def __init__(self, query: AuditQuery) -> None:
        self._since = query.since
        self._until = query.until
        self._below = query.check()
        self._path = query.path
        self._equals = list(query.equals().items())
        self._terms = [_term(name, str(value)) for name, value in self._equals]
        if len(query.path) >= STEP:
            self._terms.append(_term("path", query.path[: len(query.path) // STEP * STEP]))

    def may_be_in(self, block: BlockRow) -> bool:
        """False: the block holds none of it."""
        if not block.ended or block.ended < self._since:
            return False
        if self._until and block.began > self._until:
            return False
        return all(may_hold(block.terms, term) for term in self._terms)

    def is_before(self, block: BlockRow) -> bool:
        """True: what is older than this block is older than all that is sought."""
        return 0 < block.ended < self._since

    def newest(self, lines: list[bytes], limit: int) -> list[AuditRow]:
        """Those of the records that it is for, newest first. Raises `ValueError` for no record."""
        found: list[AuditRow] = []
        for line in reversed(lines):
            if len(found) == limit:
                break
            row = self._row(line)
            if row is not None:
                found.append(row)
        return found

    def _row(self, line: bytes) -> AuditRow | None:
        entry = _decode_whole(line)
        if entry.kind != "event" or (self._below is not None and entry.seq >= self._below):
            return None
        time = instant(entry.time)
        if time < self._since or (self._until and time > self._until):
            return None
        texts: tuple[str, ...] = msgspec.structs.astuple(_decode_event(entry.body))
        row = AuditRow(entry.seq, time, *texts)
        if not row.path.startswith(self._path):
            return None
        for name, value in self._equals:
            if getattr(row, name) != value:
                return None
        return AuditRow(entry.seq, time, *map(_cut, texts))


def instant(time: str) -> int:
    """The Unix nanoseconds of a record's time, whose seconds hundreds of records share."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return _seconds(whole) + int(fraction.ljust(9, "0"))


@lru_cache(maxsize=16)
def _seconds(whole: str) -> int:
    return parse_rfc3339(f"{whole}Z", "time")


def _add_prefixes(known: set[str], path: str) -> None:
    """The longest first: of what is known, all shorter ones are."""
    for end in range(len(path) // STEP * STEP, 0, -STEP):
        prefix = path[:end]
        if prefix in known:
            return
        known.add(prefix)


def _term(name: str, value: str) -> bytes:
    return f"{name}={value}".encode("utf-8", "surrogatepass")


def _cut(text: str) -> str:
    if len(text) * 4 <= MAX_TEXT:
        return text
    return text.encode("utf-8", "replace")[:MAX_TEXT].decode("utf-8", "ignore")
