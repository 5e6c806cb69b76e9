"""All rows of a vault, in order; and a database that is filled with them, which no agent opens yet.

For `vault.store.copy` and `vault.backup`. The rows are read table by table, in the order of their
keys. A database that is being filled is marked unfinished in the place of its schema's step. What
an interrupted run leaves is the beginning of each table, and the next run goes on behind it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, TypeAlias

import msgspec

from vault.errors import ConflictError, UnavailableError
from vault.store.interface import BackendError, StoreSession, WriteSet
from vault.store.schema import HEAD, UNFINISHED
from vault.store.sql import SqlBackend, SqlSession
from vault.store.table import MAX_LIMIT, Key, StoreQuery, Table
from vault.store.tables import ALL, SYSTEM

Progress: TypeAlias = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""Called for each part of the work: what it is, and how many rows it has, if that is known. What
the block is given is called with the number of further rows that are done."""

BATCH_ROWS: Final = 1024  # of a transaction
PAGE_ROWS: Final = 32
"""Rows that are read at a time. A value has at most 1 MiB, so a page has little more than 32."""
PROGRESS_ROWS: Final = 256  # between two reports
_BATCH_BYTES: Final = 4 * 2**20
_STATE_BYTES: Final = 8
_STEP: Final = f"{UNFINISHED}{HEAD}-"  # and what it is filled from; a step has 32 characters
REJECTED: Final = f"{_STEP}rejected"
"""The step of a database that was filled and is not as it should be: the next run begins anew."""

# Parents before those that refer to them. What says that there is a vault comes last.
ORDER: Final = (*(table for table in ALL if table is not SYSTEM), SYSTEM)

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


def encode_row(table: Table[Any], row: Any) -> bytes:
    """The MessagePack of a table's name and a row: the leaf of a Merkle tree over rows."""
    return _encode((table.name, row))


def read_rows(session: StoreSession, table: Table[Any], after: Key | None = None) -> Iterator[Any]:
    """The rows behind a key, in the order of their keys."""
    while True:
        page = session.select(table, StoreQuery(after=after, limit=PAGE_ROWS))
        yield from page
        if len(page) < PAGE_ROWS:
            return
        after = table.key_of(page[-1])


def count_all_rows(backend: SqlBackend) -> int | None:
    """How many rows it has; None if the server takes too long to count them."""
    try:
        with backend.read() as session:
            return sum(session.count_rows(table) for table in ORDER)
    except BackendError:
        return None


def batch_rows(
    table: Table[Any], rows: Iterable[Any], most: int = BATCH_ROWS
) -> Iterator[list[Any]]:
    """The rows in lists, each bounded by number and size."""
    batch: list[Any] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(table.pack(row))
        if len(batch) == most or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def require_vault(source: SqlBackend) -> None:
    """Raise unless it is a vault of this program's schema."""
    step = source.read_step()
    if step.startswith(UNFINISHED):
        raise UnavailableError("store_incomplete", "it is itself unfinished")
    if not step:
        raise ConflictError("not_initialized", "it holds no vault")
    if step > HEAD:
        raise UnavailableError("store_newer", "it was written by a newer version of this program")
    if step != HEAD:
        raise ConflictError(
            "store_outdated",
            "it is of an older version: start the agent of this version on it once, and stop it",
        )


def unfinished_step(state: bytes) -> str:
    """The step of a database that is filled from this state; `state` is a hash of it."""
    return f"{_STEP}{state[:_STATE_BYTES].hex()}"


def begin_filling(
    target: SqlBackend, step: str, is_finished: Callable[[], bool] = lambda: False
) -> bool:
    """Mark it unfinished, with nothing in it but the beginning of what it is filled from.

    True: it has a vault of which `is_finished` says that it is this one, and is left alone. Raises
    `ConflictError` (`store_not_empty`) if anything else is in it, `UnavailableError`
    (`store_incomplete`) for what another version of this program has begun.
    """
    there = target.read_step()
    if there.startswith(UNFINISHED):
        if not there.startswith(_STEP):
            raise UnavailableError(
                "store_incomplete",
                "it is the unfinished copy of another version of this program: use that version, "
                "or an empty database",
            )
        if there != step:
            _remove_rows(target)
            target.write_step(step)
        return False
    if not there and target.exclusive and target.read_names():  # the file of another program
        raise _not_empty("it holds tables")
    if target.has_rows():
        if there == HEAD and is_finished():
            return True
        raise _not_empty("it holds a vault")
    target.migrate()
    with target.read() as session:
        session.inspect()
    target.write_step(step)
    return False


def last_key(session: SqlSession, table: Table[Any]) -> Key | None:
    """The key of the last row; None without any."""
    keys = session.select_keys(table, StoreQuery(descending=True, limit=1))
    return keys[0] if keys else None


def write_rows(target: SqlBackend, writes: WriteSet) -> None:
    """One transaction."""
    target.write(lambda _: writes)


def _not_empty(what: str) -> ConflictError:
    return ConflictError("store_not_empty", f"{what}: use an empty database")


def _remove_rows(target: SqlBackend) -> None:
    """Remove every row of an unfinished database."""
    for table in reversed(ORDER):
        while True:
            with target.read() as session:
                keys = session.select_keys(table, StoreQuery(limit=MAX_LIMIT))
            if not keys:
                break
            write_rows(target, WriteSet(deletes={table: keys}))
