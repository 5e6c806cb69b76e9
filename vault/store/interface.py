"""What the store asks of a database: a view to read from, and one transaction at a time to write.

`StoreBackend` is a database, `StoreSession` one transaction's view of it, `WriteSet` what a
transaction changes. All of it is synchronous and called in threads. A backend knows tables and rows
only: what they mean, their MACs, the cache and the grouping of commits are the store's.

To add a database that speaks SQL, subclass `vault.store.sql.SqlBackend`. Every implementation, and
every wrapper of one, passes the contract suite `tests/contract/store`.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Struct

from vault.errors import ConflictError, UnavailableError
from vault.store.table import Key, RankedQuery, StoreQuery, Table

R = TypeVar("R", bound=Struct)
T = TypeVar("T")

NOTHING_STORED: Final = "none"
UNKNOWN: Final = "unknown"
UNSAFE: Final = "store_unsafe"


def ignore_progress() -> None:
    """For whoever does not ask how far something is."""


class BackendError(UnavailableError):
    """The database failed. `details["outcome"]`: `none` (nothing was stored) or `unknown`.

    Codes: `store_unavailable`, `store_full`, `store_corrupt`, `store_unsafe`.
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


class FeedPosition(NamedTuple):
    """A commit, by its entry in the change feed: the number and the chain MAC.

    Where the entry is, that commit is, and every one before it.
    """

    commits: int
    chain: bytes


class WriteSet(Struct, frozen=True):
    """What one transaction changes: rows to insert, to update and to delete, counters to add to.

    The backend does the deletes first, children before parents, then the moves, then the rest,
    parents first.
    """

    inserts: dict[Table[Any], list[Any]] = msgspec.field(default_factory=dict)
    updates: dict[Table[Any], list[Any]] = msgspec.field(default_factory=dict)
    deletes: dict[Table[Any], list[Key]] = msgspec.field(default_factory=dict)
    moves: dict[Table[Any], list[tuple[Key, Any]]] = msgspec.field(default_factory=dict)
    """Rows that get another key, by their old one (`Table.identity`): what refers to them stays."""
    previous: dict[Table[Any], dict[Key, Any]] = msgspec.field(default_factory=dict)
    """Rows as they were, of those that were looked at: a backend may spare what stays the same."""
    counts: dict[Table[Any], list[Any]] = msgspec.field(default_factory=dict)
    """Rows whose numbers are added to those that are there, as `Table` says, when all else is done;
    none of them twice."""


class StoreSession(Protocol):
    """One transaction's view; rows are as stored, unchecked by any guard.

    Raises `BackendError`, and `TamperedError` for a row that is not one of its table's struct.
    """

    def inspect(self, on_progress: Callable[[], None] = ignore_progress) -> None:
        """Verify what can hide a row from a query, in this view: the schema and the indexes.

        `on_progress` is called from time to time, and may raise a `VaultError` that ends it.
        Raises `TamperedError` (`storage_schema_changed`) unless the database consists of what the
        migrations make and of nothing else, and `BackendError` (`store_corrupt`) unless each index
        of a guarded table has all of its rows (but for versions, which `StoreBackend.check` looks
        at).
        """
        ...

    def database_time(self) -> int | None:
        """The clock of the server at this moment, in Unix nanoseconds: it can be set back.

        None: the database is a file, and all who share it have the machine's clock.
        """
        ...

    def get(self, table: Table[R], key: Key) -> R | None:
        """The row, or None."""
        ...

    def get_many(self, table: Table[R], keys: Iterable[Key]) -> dict[Key, R]:
        """Those of the rows that exist, by key."""
        ...

    def existing_keys(self, table: Table[R], keys: Iterable[Key]) -> set[Key]:
        """The keys that have a row, be it readable or not."""
        ...

    def get_macs(self, table: Table[Any], keys: Iterable[Key]) -> dict[Key, bytes]:
        """The `mac` of each row that exists, be it readable or not; of a guarded table."""
        ...

    def iter_macs(self, table: Table[Any]) -> Iterator[tuple[Key, bytes]]:
        """Key and `mac` of every row of a guarded table, in no order, for use within the session.

        Keys are as they are stored, be they of the right type or not.
        """
        ...

    def select(self, table: Table[R], query: StoreQuery) -> list[R]:
        """The rows of the query, in its order."""
        ...

    def select_keys(self, table: Table[Any], query: StoreQuery) -> list[Key]:
        """The keys of the query's rows, in its order; a damaged row has one as well."""
        ...

    def select_macs(self, table: Table[Any], query: StoreQuery) -> list[tuple[Key, bytes]]:
        """As `select_keys`, each key with the `mac` of its row; of a guarded table."""
        ...

    def select_ranked(self, ranking: RankedQuery) -> list[Key]:
        """The keys of its rows, in its order; equal ones by the key of `by`."""
        ...


class StoreBackend(Protocol):
    """One database. Reads may run in up to `readers` threads at once beside the one writer."""

    @property
    def exclusive(self) -> bool:
        """Whether no other process can write while it is open here.

        Otherwise readers call `Store.catch_up` first, and a transaction applies the change feed.
        """
        ...

    @property
    def is_of_one_node(self) -> bool:
        """Whether the processes of one machine's agent alone use it, as a file."""
        ...

    @property
    def queries_in_turn(self) -> bool:
        """Whether queries are better asked one after another than in a thread each."""
        ...

    @property
    def look_seconds(self) -> float:
        """How long `read_head` may take until the database counts as away."""
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
        """Take the database, verify its durability and bring its schema up to date.

        Raises `BackendError`, or `UnavailableError`: `store_unsafe` when it would not be durable,
        `store_locked` when another process has it, `store_newer` when its schema is newer than
        this program.
        """
        ...

    def close(self) -> None:
        """Close every connection and give the database back; none is in use any more."""
        ...

    def connect(self) -> None:
        """Give the writer a fresh connection, its durability verified. Raises `BackendError`."""
        ...

    def read(self) -> AbstractContextManager[StoreSession]:
        """A consistent view of what is committed."""
        ...

    def read_since(self, position: FeedPosition, ask: Callable[[StoreSession], T]) -> T:
        """What `ask` returns for a consistent view that has the commit at this position.

        The view may be a replica's, and lack what is committed later. `ask` may be called twice.
        Raises what it raises, and as `read`.
        """
        ...

    def read_head(self) -> bytes:
        """The commit stamp (`HEAD_ROW` of `SYSTEM`) as committed now; empty if there is none.

        Cheaper than `read`. Raises `BackendError`.
        """
        ...

    def write(self, apply: Callable[[StoreSession], WriteSet]) -> None:
        """Store what `apply` returns in one transaction, which is durable on return.

        `apply` may read in it; when it raises, nothing is stored. One call at a time. Raises
        `ConstraintError`, or `BackendError`; after a fault the connection is never used again.
        """
        ...

    def checkpoint(self) -> None:
        """Copy a write-ahead log back into the database, beside the writer, as far as it goes.

        Raises `BackendError`; nothing is lost then.
        """
        ...

    def size(self) -> int:
        """Bytes that the database takes where it is stored. Raises `BackendError`."""
        ...

    def foreign_writes(self) -> int:
        """How many times another process was seen to have written, ever; looks now.

        Whatever others have written since the last look counts once.
        """
        ...

    def check(self) -> None:
        """Read everything through once. Raises as `StoreSession.inspect`."""
        ...
