"""Make a backup: one snapshot of the database, while it is written to, in bounded memory. Blocks.

Commits are serial, so every snapshot is the state after one commit, whose stamp is in it. Its rows
must have the totals that the stamp says, or there is no backup.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vault.backup.destinations.interface import Destination
from vault.backup.format import (
    DATA,
    MANIFEST,
    MAX_CHAIN,
    SECRET_TABLES,
    TABLES,
    Header,
    Manifest,
    TableCount,
    encode_header,
    require_id,
    sign_manifest,
)
from vault.backup.keys import VaultKeys, wrap_file_key
from vault.backup.reader import encode_removal
from vault.backup.writer import BackupWriter, Content
from vault.barrier import KEYRING_ROW, SEAL_ROW
from vault.crypto.backup_keys import Recipient, new_file_key
from vault.errors import TamperedError
from vault.seal.anchor.commit_stamp import (
    COMMIT_STAMP_ROW,
    StampBase,
    stamp_base,
    stamp_damaged_error,
)
from vault.seal.anchor.feed_chain import feed_damaged_error, verify_changes
from vault.seal.anchor.row_totals import RowTotals, TotalsBuilder, sum_rows
from vault.seal.anchor.state import CommitStamp, decode_state
from vault.seal.anchor.witness import read_witnesses
from vault.store.bulk import (
    PAGE_ROWS,
    PROGRESS_ROWS,
    Progress,
    count_all_rows,
    encode_row,
    read_rows,
)
from vault.store.interface import FeedPosition
from vault.store.row_guard import check_row
from vault.store.sql import SqlBackend, SqlSession
from vault.store.table import Key, StoreQuery, Table
from vault.store.tables import CHANGES, SCHEMA_LEVEL, SYSTEM

MAX_CHANGED: Final = 200_000
"""Keys that an incremental backup holds in memory; with more of them it is a full one."""
_FEED_PAGE: Final = 64  # entries, each of at most 4 MiB and mostly below 1 KiB


class Snapshot(NamedTuple):
    """What one view of the database says of itself."""

    session: SqlSession
    stamp: CommitStamp
    base: StampBase
    system: dict[str, bytes]  # the rows of the keyring and of the seal


def create_backup(
    backend: SqlBackend,
    destination: Destination,
    keys: VaultKeys,
    *,
    backup: str,
    created: str,
    progress: Progress,
    base: Manifest | None = None,
    recipients: Iterable[Recipient] = (),
    include_secrets: bool = True,
    compress: bool = True,
) -> Manifest:
    """Back up a database that is open, under the id `backup`; `created` is RFC 3339.

    It has what was changed since `base`, a verified manifest, or all rows if the change feed does
    not tell. `recipients`: only they can open it, not the vault itself. `progress` may raise, to
    end it: then there is no backup. Without `include_secrets` it has all but the secrets, with
    their versions and counts; `base` is then one without them, too, or it is a full one.

    Raises `TamperedError` (`storage_rows_changed`, `row_tampered`) for a database that is not as
    its last commit left it, `UnavailableError` (`backup_unavailable`), `ConflictError`
    (`backup_exists`), and what the backend raises.
    """
    require_id(backup)
    excluded: tuple[str, ...] | UnsetType = UNSET if include_secrets else SECRET_TABLES
    if base is not None and base.excluded != excluded:
        base = None
    total = count_all_rows(backend)  # about; in a view of its own, as it may fail
    with backend.read() as session:
        session.inspect()
        snapshot = _snapshot(session, keys)
        changed = None if base is None else _changed_keys(snapshot, base, keys)
        base = None if changed is None else base
        if changed is not None:
            total = sum(map(len, changed.values()))
        header = Header(
            org=keys.keyring.org,
            vault=keys.keyring.vault,
            id=backup,
            base=None if base is None else base.reference,
            keyring=snapshot.system[KEYRING_ROW],
            seal=snapshot.system[SEAL_ROW],
            keys=(),
            excluded=excluded,
        )
        with destination.create(backup + DATA) as write:
            file_key = new_file_key()
            wraps = wrap_file_key(header, file_key, keys.backup, recipients)
            encoded = encode_header(replace(header, keys=wraps))
            writer = BackupWriter(write, encoded, file_key, compress=compress)
            content, counts = _write(
                writer, snapshot, keys, changed, excluded or (), progress, total
            )
        notes = [witness.note for witness in read_witnesses("", session)]
    manifest = Manifest(
        org=header.org,
        vault=header.vault,
        id=backup,
        base=header.base,
        depth=0 if base is None else base.depth + 1,
        created=created,
        commits=snapshot.stamp.commits,
        feed=snapshot.stamp.feed.hex(),
        epoch=snapshot.stamp.epoch,
        schema=SCHEMA_LEVEL,
        tables=counts,
        checkpoints=tuple(notes),
        excluded=excluded,
        **content._asdict(),
    )
    with destination.create(backup + MANIFEST) as write:
        write(sign_manifest(manifest, keys.backup))
    return manifest


def require_totals(found: RowTotals, base: StampBase, excluded: Iterable[str] = ()) -> None:
    """Raise `TamperedError` unless these rows are those that the commit stamp counts.

    `excluded`: tables of which nothing is said.
    """
    if changed := sorted(set(found.differing_tables(base.totals)).difference(excluded)):
        raise TamperedError(
            "storage_rows_changed",
            "rows were removed, added or put back behind the agent's back in: "
            f"{', '.join(changed)}. It is no backup",
        )


def _snapshot(session: SqlSession, keys: VaultKeys) -> Snapshot:
    names = (COMMIT_STAMP_ROW, KEYRING_ROW, SEAL_ROW)
    rows = session.get_many(SYSTEM, [(name,) for name in names])
    system = {row.name: row.value for row in rows.values()}
    try:
        stamp = decode_state(system[COMMIT_STAMP_ROW], CommitStamp, keys.anchor)
        base = stamp_base(stamp, keys.anchor)
    except (KeyError, ValueError) as error:
        raise stamp_damaged_error("it is gone" if not system else str(error)) from None
    return Snapshot(session, stamp, base, system)


def _write(  # noqa: PLR0917  # what makes the data object
    writer: BackupWriter,
    snapshot: Snapshot,
    keys: VaultKeys,
    changed: dict[str, list[Key]] | None,
    excluded: Iterable[str],
    progress: Progress,
    total: int | None,
) -> tuple[Content, tuple[TableCount, ...]]:
    session = snapshot.session
    totals = TotalsBuilder(keys.anchor)
    counts: list[TableCount] = []
    done = 0
    with progress("Backing up rows", total) as advance:
        for table in TABLES:
            if table.name in excluded:
                continue
            rows = removed = 0
            found = (
                ((table.key_of(row), row) for row in read_rows(session, table))
                if changed is None
                else _rows_of(session, table, changed.get(table.name, []))
            )
            for key, row in found:
                if row is None:
                    removed += 1
                    writer.add(encode_removal(table, key))
                else:
                    rows += 1
                    check_row(keys.guard, table, row)
                    totals.add(table, row)
                    writer.add(encode_row(table, row))
                done += 1
                if done % PROGRESS_ROWS == 0:
                    advance(PROGRESS_ROWS)
            if rows or removed:
                counts.append(TableCount(table.name, rows, removed))
        advance(done % PROGRESS_ROWS)
    if changed is None:
        found_totals = totals.totals()
    else:
        with progress("Checking the totals of all rows", None) as advance:
            found_totals = sum_rows(session, keys.anchor, advance=advance)
    require_totals(found_totals, snapshot.base, excluded if changed is None else ())
    return writer.finish(), tuple(counts)


def _rows_of(session: SqlSession, table: Table[Any], keys: list[Key]) -> Iterator[tuple[Key, Any]]:
    """The rows of these keys, each None if it is gone."""
    for start in range(0, len(keys), PAGE_ROWS):
        page = keys[start : start + PAGE_ROWS]
        found = session.get_many(table, page)
        yield from ((key, found.get(key)) for key in page)


def _changed_keys(
    snapshot: Snapshot, base: Manifest, keys: VaultKeys
) -> dict[str, list[Key]] | None:
    """By table, what was changed since the base, in order; None if that takes a full backup.

    Raises `TamperedError` (`feed_damaged`).
    """
    stamp, session = snapshot.stamp, snapshot.session
    if base.schema != SCHEMA_LEVEL or base.depth + 1 >= MAX_CHAIN or base.vault != stamp.vault:
        return None
    position = FeedPosition(base.commits, bytes.fromhex(base.feed))
    entry = session.get(CHANGES, (base.commits,))
    if entry is None or entry.chain != position.chain:
        return None  # it is no longer there, or on another line of commits
    changed: dict[str, set[Key]] = {table.name: set() for table in TABLES}
    changed[SYSTEM.name].add((COMMIT_STAMP_ROW,))
    while page := session.select(CHANGES, StoreQuery(after=(position.commits,), limit=_FEED_PAGE)):
        found, position = verify_changes(keys.anchor, page, position)
        for fed in found:
            for table, key, _ in fed.rows:
                if table is not CHANGES:
                    changed[table.name].add(key)
        if sum(map(len, changed.values())) > MAX_CHANGED:
            return None
    if position != (stamp.commits, stamp.feed):
        raise feed_damaged_error(f"it ends at {position.commits}, the commit stamp does not")
    return {name: sorted(some) for name, some in changed.items()}
