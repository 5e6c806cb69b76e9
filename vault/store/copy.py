"""Copy all rows from one database to another: `freehold storage migrate`. No key is needed.

The target is marked unfinished before its first row, in the place of its schema's step, so no agent
opens it. The mark goes when all rows of both databases were read again and are the same. Rows are
copied table by table in the order of their keys. So what an interrupted copy leaves is the
beginning of each table, and the next run goes on behind it. The mark names the state of the source:
if that has changed since, the target is emptied first.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import zip_longest
from typing import Any, Final

import msgspec
from msgspec import Struct

from protocols.instant import SECOND
from protocols.merkle import Frontier, HashFunction, leaf_hash
from vault.errors import ConflictError, TamperedError, UnavailableError, VaultError
from vault.store.bulk import (
    BATCH_ROWS,
    ORDER,
    PROGRESS_ROWS,
    REJECTED,
    Progress,
    batch_rows,
    begin_filling,
    count_all_rows,
    encode_row,
    last_key,
    read_rows,
    require_vault,
    unfinished_step,
    write_rows,
)
from vault.store.interface import BackendError, WriteSet
from vault.store.schema import HEAD
from vault.store.sql import SqlBackend, SqlSession
from vault.store.table import Key, Table
from vault.store.tables import HEAD_ROW, NODES, SYSTEM

SILENCE_SECONDS: Final = 30  # after an agent's last heartbeat, until it has surely ended


class CopiedTable(Struct, frozen=True):
    """A table and its number of rows."""

    table: str
    rows: int


class CopyResult(Struct, frozen=True):
    """What source and target hold. `copied`: rows that this run has written.

    `root` is the Merkle tree hash (RFC 9162) of all rows, in hex. A leaf is the MessagePack of a
    table's name and a row; tables are in the order of `tables`, rows in that of their keys.
    """

    rows: int
    copied: int
    root: str
    tables: tuple[CopiedTable, ...]


def copy_vault(
    source: SqlBackend,
    target: SqlBackend,
    digest: HashFunction,
    progress: Progress,
    *,
    most: int = BATCH_ROWS,
) -> CopyResult:
    """Copy a vault to an empty database, or go on with a copy that was interrupted.

    Both backends are closed before and after. The source is held, read in one view and never
    written. A target that is a finished copy of it is verified again. Raises `ConflictError`
    (`not_initialized`, `store_not_empty`, `store_outdated`), `UnavailableError`
    (`store_incomplete`, `store_newer`), `TamperedError` (`store_copy_differs`), and what a backend
    raises; a message says which of the two databases it is about. `most`: rows of a transaction.
    """
    old, new = _End("source", source), _End("target", target)
    with ExitStack() as stack:
        stack.enter_context(old.held())
        with old.named():
            _require_source(source)
            old.require_stopped()
            with source.read() as session:
                session.inspect()
                head = _head(session)
        stack.enter_context(new.held())
        with new.named():
            target.connect()
            is_finished = begin_filling(
                target, unfinished_step(digest(head)), lambda: target.read_head() == head
            )
        with _view(old, head) as view:
            copied = 0 if is_finished else _copy(old, view, new, progress, most)
            try:
                result = _verify(old, view, new, digest, progress)
            except TamperedError as error:
                if is_finished:
                    error.message += (
                        ". It is a finished copy that was changed: use an empty database"
                    )
                else:
                    _reject(new)
                    error.message += (
                        ". No agent can start on the target. Look for who else writes to it, and "
                        "run the same command again: it copies all rows anew"
                    )
                raise
        if not is_finished:
            with _view(old, head):  # nobody has written to it meanwhile
                pass
            with new.named():
                target.check()
                new.backend.require_held()
                target.write_step(HEAD)
    return msgspec.structs.replace(result, copied=copied)


class _End:
    """One of the two databases."""

    def __init__(self, role: str, backend: SqlBackend) -> None:
        self.role = role
        self.backend = backend

    @contextmanager
    def held(self) -> Iterator[None]:
        """No agent opens it within the block."""
        try:
            with self.named():
                self._take()
            yield
        finally:
            self.backend.close()

    def _take(self) -> None:
        try:
            self.backend.take()
            self.backend.hold()
        except UnavailableError as error:
            if error.code == "store_locked":
                error.message += (
                    "; stop the agent, or wait for another run of this command"
                    if self.role == "source"
                    else "; or is it the source, by another name?"
                )
            raise

    @contextmanager
    def named(self) -> Iterator[None]:
        """Errors within the block say that they are about this one."""
        try:
            yield
        except VaultError as error:
            error.message = f"{self.role}, {self.backend.location}: {error.message}"
            raise

    def require_stopped(self) -> None:
        """Raise `BackendError` if an agent runs on it, as far as its heartbeats tell."""
        if self.backend.exclusive:
            return
        with self.backend.read() as session:
            now, some = session.database_time() or 0, SILENCE_SECONDS * SECOND
            rows = self.rows(session, NODES, None)
            names = [row.name for row in rows if abs(row.heartbeat - now) < some]
        if names:
            raise BackendError(
                "store_locked",
                f"an agent runs on it, or did {SILENCE_SECONDS} s ago: stop the one on "
                + ", ".join(sorted(names)),
            )

    def rows(self, session: SqlSession, table: Table[Any], after: Key | None) -> Iterator[Any]:
        """The rows behind a key, in the order of their keys."""
        rows = read_rows(session, table, after)
        while True:
            with self.named():
                row = next(rows, None)
            if row is None:
                return
            yield row


def _require_source(source: SqlBackend) -> None:
    try:
        require_vault(source)
    except ConflictError as error:
        raise (_no_vault() if error.code == "not_initialized" else error) from None


def _no_vault() -> ConflictError:
    return ConflictError(
        "not_initialized", "it holds no vault: are the two databases the wrong way round?"
    )


def _head(session: SqlSession) -> bytes:
    row = session.get(SYSTEM, (HEAD_ROW,))
    if row is None:
        raise _no_vault()
    return bytes(row.value)


@contextmanager
def _view(source: _End, head: bytes) -> Iterator[SqlSession]:
    """A view of the source as it was. Raises `BackendError` if it was changed since."""
    with ExitStack() as stack:
        with source.named():
            source.backend.require_held()
            session = stack.enter_context(source.backend.read())
            if _head(session) != head:
                raise BackendError(
                    "store_unavailable",
                    "an agent has written to it meanwhile: stop that agent and run the same "
                    "command again",
                )
        yield session


def _copy(old: _End, view: SqlSession, new: _End, progress: Progress, most: int) -> int:
    """Copy the rows that the target does not have; returns their number."""
    with new.named(), new.backend.read() as session:
        behind = {table: last_key(session, table) for table in ORDER}
    copied = 0
    with progress("Copying rows", count_all_rows(old.backend)) as advance:
        advance(count_all_rows(new.backend) or 0)
        for table in ORDER:
            rows = old.rows(view, table, behind[table])
            for batch in batch_rows(table, rows, most):
                with new.named():
                    new.backend.require_held()
                    write_rows(new.backend, WriteSet(inserts={table: batch}))
                with old.named():
                    old.backend.require_held()
                copied += len(batch)
                advance(len(batch))
    return copied


def _verify(
    old: _End,
    view: SqlSession,
    new: _End,
    digest: HashFunction,
    progress: Progress,
) -> CopyResult:
    """Read both, from the beginning. Raises `TamperedError` unless all rows are the same."""
    trees = Frontier(digest), Frontier(digest)
    counts: list[tuple[str, int, int]] = []
    differing: list[str] = []
    with ExitStack() as stack:
        advance = stack.enter_context(progress("Verifying rows", count_all_rows(old.backend)))
        with new.named():
            session = stack.enter_context(new.backend.read())
            session.inspect()
        for table in ORDER:
            before = trees[0].size, trees[1].size
            is_same = True
            pairs = zip_longest(old.rows(view, table, None), new.rows(session, table, None))
            for number, pair in enumerate(pairs, 1):
                leaves = [
                    None if row is None else leaf_hash(digest, encode_row(table, row))
                    for row in pair
                ]
                for tree, leaf in zip(trees, leaves, strict=True):
                    if leaf is not None:
                        tree.append(leaf)
                is_same = is_same and leaves[0] == leaves[1]
                if number % PROGRESS_ROWS == 0:
                    advance(PROGRESS_ROWS)
            rows = trees[0].size - before[0], trees[1].size - before[1]
            advance(rows[0] % PROGRESS_ROWS)
            counts.append((table.name, *rows))
            if not is_same:
                differing.append(f"{table.name} (rows: {rows[0]} and {rows[1]})")
    roots = [tree.root().hex() for tree in trees]
    if roots[0] != roots[1]:
        raise TamperedError(
            "store_copy_differs",
            f"the target is not the same as the source in {', '.join(differing)}; Merkle roots "
            f"{roots[0]} and {roots[1]}",
        )
    tables = tuple(CopiedTable(name, rows) for name, rows, _ in counts)
    return CopyResult(trees[0].size, 0, roots[0], tables)


def _reject(target: _End) -> None:
    """Have the next run copy everything anew."""
    with target.named():
        target.backend.write_step(REJECTED)
