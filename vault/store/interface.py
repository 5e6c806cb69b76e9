"""What the store asks of a database, in the fewest words: read, or write one transaction.

Synchronous: a backend is called in threads only, and to write in one at a time. Every
implementation (and every wrapper of one) passes the same contract suite, `tests/contract/store`.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol, TypeVar

import msgspec
from msgspec import Struct

from vault.errors import ConflictError, UnavailableError
from vault.store.table import Key, RankedQuery, StoreQuery, Table

R = TypeVar("R", bound=Struct)

NOTHING_STORED: Final = "none"
UNKNOWN: Final = "unknown"


class BackendError(UnavailableError):
    """The database failed. `details["outcome"]`: `none` (nothing was stored) or `unknown`.

    Codes: `store_unavailable`, `store_full`, `store_corrupt`.
    """

    def __init__(self, code: str, message: str, outcome: str = NOTHING_STORED) -> None:
        super().__init__(code, message, outcome=outcome)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies keep the outcome."""
        return type(self), (self.code, self.message, self.details["outcome"])


class ConstraintError(ConflictError):
    """The writes contradict the schema (uniqueness, references): none were stored."""

    def __init__(self, table: str) -> None:
        super().__init__("store_constraint", f"{table}: this contradicts what is stored")
        self.table = table

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies keep the table."""
        return type(self), (self.table,)


class WriteSet(Struct, frozen=True):
    """What one transaction changes: rows that were not there, and rows that were: to change, to go.

    The backend does the deletes first, children before parents, then the rest, parents first.
    """

    inserts: dict[Table[Any], list[Any]] = msgspec.field(default_factory=dict)
    updates: dict[Table[Any], list[Any]] = msgspec.field(default_factory=dict)
    deletes: dict[Table[Any], list[Key]] = msgspec.field(default_factory=dict)
    previous: dict[Table[Any], dict[Key, Any]] = msgspec.field(default_factory=dict)
    """Rows as they were, of those that were looked at: a backend may spare what stays the same."""
    counts: dict[Table[Any], list[Any]] = msgspec.field(default_factory=dict)
    """Rows whose numbers are added to those that are there, as `Table` says, when all else is done;
    none of them twice."""


class StoreSession(Protocol):
    """One transaction's view; rows are as stored, unchecked by any guard.

    Raises `BackendError`, and `TamperedError` for a row that is not one of its table's struct.
    """

    def inspect(self) -> None:
        """Hold what can be hidden from a query against what it should be, in this view.

        Raises `TamperedError` (`storage_schema_changed`) unless the database consists of what the
        migrations make and of nothing else, and `BackendError` (`store_corrupt`) unless each index
        of a guarded table has all of its rows (but for versions, which `StoreBackend.check` looks
        at).
        """
        ...

    def get(self, table: Table[R], key: Key) -> R | None:
        """The row, or None."""
        ...

    def get_many(self, table: Table[R], keys: Iterable[Key]) -> dict[Key, R]:
        """Those of the rows that exist, by key."""
        ...

    def existing(self, table: Table[R], keys: Iterable[Key]) -> set[Key]:
        """Those of the keys that have a row, be it readable or not."""
        ...

    def stamps(self, table: Table[Any], keys: Iterable[Key]) -> dict[Key, bytes]:
        """The `mac` of those that have a row, be it readable or not; for a guarded table."""
        ...

    def iter_macs(self, table: Table[Any]) -> Iterator[tuple[Key, bytes]]:
        """Key and `mac` of every row of a guarded table, in no order, for use within the session.

        Keys are as they are stored, be they of the right type or not.
        """
        ...

    def select(self, table: Table[R], query: StoreQuery) -> list[R]:
        """The rows of the query, in its order."""
        ...

    def keys(self, table: Table[Any], query: StoreQuery) -> list[Key]:
        """The keys of the query's rows, in its order; a damaged row has one as well."""
        ...

    def marks(self, table: Table[Any], query: StoreQuery) -> list[tuple[Key, bytes]]:
        """The keys of the query's rows as `keys`, each with its row's `mac`; of a guarded table."""
        ...

    def ranked(self, ranking: RankedQuery) -> list[Key]:
        """The keys of its rows, in its order; equal ones by the key of `by`."""
        ...


class StoreBackend(Protocol):
    """One database. Reads may run in up to `readers` threads at once beside the one writer."""

    @property
    def exclusive(self) -> bool:
        """Whether no other process can write while this one has it open: then a cache is true."""
        ...

    @property
    def location(self) -> str:
        """Where the database is, for people: no user, no password."""
        ...

    @property
    def readers(self) -> int:
        """How many threads may read at once."""
        ...

    @property
    def is_open(self) -> bool:
        """Between `open` and `close`."""
        ...

    def open(self) -> None:
        """Take the database, bring its schema up to date.

        Raises `BackendError`, or `UnavailableError`: `store_unsafe` when it would not be durable,
        `store_locked` when another process has it, `store_newer` when its schema is newer than
        this program.
        """
        ...

    def close(self) -> None:
        """Give it back; nothing of it is in use any more."""
        ...

    def connect(self) -> None:
        """Give the writer a fresh connection, its durability checked. Raises `BackendError`."""
        ...

    def read(self) -> AbstractContextManager[StoreSession]:
        """A consistent view of what is committed."""
        ...

    def write(self, apply: Callable[[StoreSession], WriteSet]) -> None:
        """Store what `apply` returns in one transaction, which is durable on return.

        `apply` may read and may raise: then nothing is stored. One call at a time. Raises
        `ConstraintError`, or `BackendError`; after a fault the connection is never used again.
        """
        ...

    def checkpoint(self) -> None:
        """Copy what is committed from a log to its place, beside the writer; a help, no promise.

        Raises `BackendError`; nothing is lost then.
        """
        ...

    def size(self) -> int:
        """Bytes that the database takes where it is stored. Raises `BackendError`."""
        ...

    def foreign_writes(self) -> int:
        """How often it was seen, ever, that somebody else has written to the database.

        It looks now. Whatever others have written since the look before counts once.
        """
        ...

    def check(self) -> None:
        """Read everything through once. Raises as `StoreSession.inspect`."""
        ...
