"""A backend that fails where it is told to: a wrapper with the same interface."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from vault.store.interface import FeedPosition, StoreBackend, StoreSession, WriteSet

T = TypeVar("T")


class FaultyBackend:
    """`faults` are struck in order, each once: `(stage, error)`.

    Stages: `connect`; `read`; `begin`, before a change has run; `flush`, after all have run;
    `lost` and `stored`, at the commit, which then did or did not happen.
    They strike from the transaction number `armed_from` on.
    `on_read` is called after every get of a reader, with the row still in his hand.
    """

    def __init__(self, inner: StoreBackend) -> None:
        self.inner = inner
        self.faults: list[tuple[str, Exception]] = []
        self.armed_from = 0
        self.on_read: Callable[[], None] = lambda: None
        self.connects = 0
        self.reads = 0
        self.transactions = 0

    @property
    def exclusive(self) -> bool:
        """As the inner one's."""
        return self.inner.exclusive

    @property
    def is_of_one_node(self) -> bool:
        """As the inner one's."""
        return self.inner.is_of_one_node

    @property
    def queries_in_turn(self) -> bool:
        """As the inner one's."""
        return self.inner.queries_in_turn

    @property
    def look_seconds(self) -> float:
        """As the inner one's."""
        return self.inner.look_seconds

    @property
    def readers(self) -> int:
        """As the inner one's."""
        return self.inner.readers

    @property
    def is_open(self) -> bool:
        """As the inner one's."""
        return self.inner.is_open

    def open(self) -> None:
        """The inner one's."""
        self.inner.open()

    def close(self) -> None:
        """The inner one's."""
        self.inner.close()

    @property
    def location(self) -> str:
        """The inner one's."""
        return self.inner.location

    def size(self) -> int:
        """The inner one's."""
        return self.inner.size()

    def read_head(self) -> bytes:
        """The inner one's."""
        return self.inner.read_head()

    def checkpoint(self) -> None:
        """The inner one's."""
        self.inner.checkpoint()

    def foreign_writes(self) -> int:
        """The inner one's."""
        return self.inner.foreign_writes()

    def check(self) -> None:
        """The inner one's."""
        self.inner.check()

    def connect(self) -> None:
        """Counted."""
        self.connects += 1
        self._strike("connect")
        self.inner.connect()

    @contextmanager
    def read(self) -> Iterator[StoreSession]:
        """Counted and watched."""
        self.reads += 1
        self._strike("read")
        with self.inner.read() as session:
            yield _Watched(session, self)

    def read_since(self, _position: FeedPosition, ask: Callable[[StoreSession], T]) -> T:
        """By `read`."""
        with self.read() as session:
            return ask(session)

    def write(self, apply: Callable[[StoreSession], WriteSet]) -> None:
        """Counted."""
        self.transactions += 1
        self._strike("begin")

        def broken(session: StoreSession) -> WriteSet:
            writes = apply(session)
            self._strike("flush")
            self._strike("lost")
            return writes

        self.inner.write(broken)
        self._strike("stored")

    def _strike(self, stage: str) -> None:
        armed = self.transactions >= self.armed_from
        if armed and self.faults and self.faults[0][0] == stage:
            raise self.faults.pop(0)[1]


class _Watched:
    def __init__(self, inner: StoreSession, backend: FaultyBackend) -> None:
        self._inner = inner
        self._backend = backend

    def get(self, table: Any, key: Any) -> Any:
        row = self._inner.get(table, key)
        self._backend.on_read()
        return row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
