"""One topic's rows by key: what they are, and what has changed since it was last told.

Encoded once for all who follow it: a change costs a browser no more than a write.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from protocols.live.limits import SNAPSHOT_ROWS

Row = dict[str, Any]

_encode: Final = msgspec.json.Encoder().encode
_MISSING: Final = object()


class LiveCollection:
    """Rows by key. `ready` is False until it was filled for the first time."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._changes: dict[str, Row | None] = {}
        self._pieces: tuple[str, ...] | None = None
        self.ready = False

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def get(self, key: str) -> Row | None:
        """The row; not to be changed."""
        return self._rows.get(key)

    def keys(self) -> Iterable[str]:
        """In the order in which they came."""
        return self._rows.keys()

    def put_row(self, key: str, row: Mapping[str, Any]) -> None:
        """Add or replace a row; a column that it lacks becomes null."""
        old = self._rows.get(key)
        gone = () if old is None else (name for name in old if name not in row)
        self.merge_columns(key, {**row, **dict.fromkeys(gone)})

    def merge_columns(self, key: str, columns: Mapping[str, Any]) -> None:
        """Set some columns of a row, or add it; what is as it was is not told."""
        old = self._rows.get(key)
        if old is None:
            self._rows[key] = dict(columns)
            self._changes[key] = dict(columns)
            return
        new = {k: v for k, v in columns.items() if old.get(k, _MISSING) != v}
        if not new:
            return
        old.update(new)
        told = self._changes.get(key)
        if told is None:
            self._changes[key] = new
        else:
            told.update(new)

    def remove_row(self, key: str) -> None:
        """Remove a row, if it is there."""
        if self._rows.pop(key, None) is not None:
            self._changes[key] = None

    def replace_rows(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Make these all there are; only what differs is told. It is ready from then on."""
        for key, row in rows.items():
            self.put_row(key, row)
        self.retain_rows(rows.keys())

    def retain_rows(self, keys: Container[str]) -> None:
        """Drop all other rows. It is ready from then on."""
        for key in [key for key in self._rows if key not in keys]:
            self.remove_row(key)
        if not self.ready:
            self.ready = True
            self._changes = {}  # nobody has seen it yet: all get a snapshot

    def take_changes(self) -> str | None:
        """The changes since the last call as one JSON object; None when there are none."""
        if not self._changes:
            return None
        body = _encode(self._changes).decode()
        self._changes = {}
        self._pieces = None
        return body

    def snapshot_pages(self) -> tuple[str, ...]:
        """All rows as JSON objects of at most `SNAPSHOT_ROWS` rows, at least one.

        Made again only after a `take_changes`. A subscriber that gets a cached snapshot receives
        the later rows with the next change message.
        """
        if self._pieces is None:
            self._pieces = tuple(_pieces(self._rows))
        return self._pieces


def _pieces(rows: dict[str, Row]) -> Iterator[str]:
    items = iter(rows.items())
    while piece := dict(islice(items, SNAPSHOT_ROWS)):
        yield _encode(piece).decode()
    if not rows:
        yield "{}"
