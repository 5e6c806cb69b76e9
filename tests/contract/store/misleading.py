"""A backend whose indexes lead elsewhere, as after a patch of the file: its rows are authentic."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from vault.store.interface import StoreBackend, StoreSession, WriteSet
from vault.store.table import StoreQuery


class MisleadingBackend:
    """Each search is answered as `mislead` says: with the answer to another one, or less of it."""

    def __init__(self, inner: StoreBackend) -> None:
        self.inner = inner
        self.mislead: Callable[[StoreQuery], StoreQuery] = lambda query: query
        self.hidden: set[Any] = set()
        """Keys of rows that no search finds."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @contextmanager
    def read(self) -> Iterator[StoreSession]:
        """A view that is led."""
        with self.inner.read() as session:
            yield _Misled(session, self)

    def write(self, apply: Callable[[StoreSession], WriteSet]) -> None:
        """The searches of a transaction are led, too."""
        self.inner.write(lambda session: apply(_Misled(session, self)))


class _Misled:
    def __init__(self, inner: StoreSession, backend: MisleadingBackend) -> None:
        self._inner = inner
        self._backend = backend

    def select(self, table: Any, query: StoreQuery) -> list[Any]:
        rows = self._inner.select(table, self._led(query))
        return [row for row in rows if table.key_of(row) not in self._backend.hidden]

    def select_macs(self, table: Any, query: StoreQuery) -> list[Any]:
        marks = self._inner.select_macs(table, self._led(query))
        return [mark for mark in marks if mark[0] not in self._backend.hidden]

    def _led(self, query: StoreQuery) -> StoreQuery:
        return msgspec.structs.replace(self._backend.mislead(query))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
