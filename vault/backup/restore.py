"""Verify a backup with all that it builds on, and restore it into an empty database. Blocks.

Everything is verified before the first row is written, and again while it is written: the second
reading may not be what the first one was. Until the last transaction the database is marked
unfinished, so no agent opens it; that transaction raises the epoch and the count of commits above
all that are known, and takes the mark away. A run that was interrupted goes on where it was when
it is started again with the same backup.
"""

import heapq
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import groupby
from typing import Any, Final, NamedTuple, Self, cast

import msgspec
from msgspec import Struct

from protocols.instant import rfc3339
from protocols.merkle import Frontier, leaf_hash
from vault.audit.record import MAX_TEXT
from vault.backup.choice import require_not_later
from vault.backup.create import require_totals
from vault.backup.destinations.interface import Destination
from vault.backup.format import (
    DATA,
    MANIFEST,
    MAX_CHAIN,
    MAX_MANIFEST,
    OLDEST_SCHEMA,
    TABLES,
    Header,
    Manifest,
    damaged,
    read_unverified_manifest,
    require_id,
    verify_manifest,
)
from vault.backup.keys import VaultKeys, unwrap_file_key
from vault.backup.later_changes import NO_CHANGES, ChangePlan, LaterChanges, plan_changes
from vault.backup.reader import BackupReader, ChunkReader, Entry, read_header
from vault.barrier import KEYRING_ROW
from vault.crypto.backup_keys import Identity
from vault.crypto.digest import sha256
from vault.errors import (
    ConflictError,
    NotFoundError,
    TamperedError,
    UnavailableError,
    ValidationError,
    VaultError,
)
from vault.model.dynamic import STANDING
from vault.model.lease_transitions import end
from vault.model.records import (
    AccessRow,
    AuthEntryRow,
    ConsumerRow,
    CubbyholeRow,
    DynamicLeaseRow,
    RotationRow,
    SecretRow,
    SessionRow,
    SystemRow,
    TokenRow,
    UsageRow,
    VersionRow,
)
from vault.model.restore import RESTORED_ROW, RestoreRecord
from vault.seal.anchor.commit_stamp import (
    COMMIT_STAMP_ROW,
    CommitStampWriter,
    StampBase,
    StampTimes,
    stamp_base,
)
from vault.seal.anchor.row_totals import RowTotals, TotalsBuilder
from vault.seal.anchor.state import CommitStamp, decode_state
from vault.store.bulk import (
    BATCH_ROWS,
    PROGRESS_ROWS,
    REJECTED,
    Progress,
    batch_rows,
    begin_filling,
    encode_row,
    last_key,
    read_rows,
    unfinished_step,
    write_rows,
)
from vault.store.interface import StoreSession, WriteSet
from vault.store.row_guard import RowGuard, check_row, stamp_row
from vault.store.schema import HEAD
from vault.store.sql import SqlBackend, SqlSession
from vault.store.table import MAX_LIMIT, Key, StoreQuery, Table
from vault.store.tables import NODES, SCHEMA_LEVEL, SECRETS, SYSTEM, TOKENS
from vault.store.transaction import StoreTx, TransactionBatch


class KnownState(NamedTuple):
    """What this machine knows of from its anchor and audit log; 0: nothing.

    The highest count of commits, the highest epoch of the keyring, and the signed head of the audit
    log that the anchor has seen.
    """

    commits: int = 0
    epoch: int = 0
    checkpoint: str = ""

    def at_least(self, commits: int) -> Self:
        """With so many commits, too."""
        return self._replace(commits=max(self.commits, commits))


NOTHING_KNOWN: Final = KnownState()


class VerifiedBackup(NamedTuple):
    """A backup and what it builds on, the newest first.

    `rows` and `root` are of the vault as it was: all tables but the change feed. `time` is that of
    its last commit (Unix ns).
    """

    manifests: tuple[Manifest, ...]
    rows: int
    root: str
    tokens: int
    time: int = 0

    @property
    def manifest(self) -> Manifest:
        """Of the newest."""
        return self.manifests[0]


class RestoreResult(Struct, frozen=True):
    """What the database holds.

    `root` is the Merkle root of its rows before the last transaction; `commits` and `epoch` are
    the vault's after it. `time` is that of the backup's last commit (Unix ns). `taken_away`: how
    many rows were changed or left out because of what the audit logs say, by what was done.
    """

    backup: str
    rows: int
    root: str
    commits: int
    epoch: int
    tokens_dropped: int
    time: int = 0
    taken_away: dict[str, int] = {}


def read_manifest(source: Destination, backup: str) -> bytes:
    """The manifest object, unverified. Raises `NotFoundError`, `TamperedError`."""
    with source.open(require_id(backup) + MANIFEST) as file:
        note = file.read(MAX_MANIFEST + 1)
    if len(note) > MAX_MANIFEST:
        raise damaged(f"the manifest of {backup} is too long")
    return note


def read_named_manifest(source: Destination, backup: str) -> Manifest:
    """What the manifest of this id says, unverified. Raises as `read_manifest`."""
    return _require_name(read_unverified_manifest(read_manifest(source, backup)), backup)


def list_backups(source: Destination) -> tuple[list[Manifest], list[VaultError]]:
    """What the manifests say, unverified, the oldest first; and why others are no manifests."""
    found, faults = list[Manifest](), list[VaultError]()
    for name in source.names():
        backup = name.removesuffix(MANIFEST)
        if name == backup:
            continue
        try:
            found.append(read_named_manifest(source, backup))
        except NotFoundError:
            continue  # it was removed meanwhile
        except (TamperedError, ValidationError) as error:
            error.message = f"{name}: {error.message}"
            faults.append(error)
    return sorted(found, key=lambda manifest: (manifest.created, manifest.id)), faults


def read_backup_header(source: Destination, backup: str) -> Header:
    """The header, unverified but for what the manifest says: to find the keys that open it."""
    manifest = read_named_manifest(source, backup)
    with source.open(backup + DATA) as file:
        return read_header(file, manifest)[0]


def verify_backup(
    source: Destination,
    backup: str,
    keys: VaultKeys,
    *,
    identity: Identity | None = None,
    progress: Progress,
) -> VerifiedBackup:
    """Read it all: signatures, chunks, roots, the MAC of each row, the totals of the last commit.

    Raises `TamperedError` (`backup_damaged`, `storage_rows_changed`, `row_tampered`),
    `NotFoundError` (`backup_missing`), `UnavailableError` (`backup_identity_required`,
    `backup_unavailable`).
    """
    manifests = verify_chain(source, backup, keys)
    with merged_rows(source, manifests, keys, identity) as entries:
        return _verify_rows(manifests, entries, keys, progress)


def verify_outside(source: Destination, backup: str, keys: VaultKeys) -> tuple[Manifest, ...]:
    """Verify signatures and chunks, and not what is in them: that takes an identity."""
    manifests = verify_chain(source, backup, keys)
    for manifest in manifests:
        with source.open(manifest.id + DATA) as file:
            _, encoded = read_header(file, manifest)
            for _ in ChunkReader(file, manifest, len(encoded)).chunks():
                pass
    return manifests


class Selection(NamedTuple):
    """What of a backup is restored.

    Tokens are left out unless `keep_tokens`: one that was revoked later would be valid again. So
    are secret-ids of AppRole that count a number of times: one may be used up by now. Then
    leases of dynamic credentials end, and their users are dropped: most belong to tokens. `only`:
    of the secrets those of these names, and those below names that end with a slash; empty is all.
    `later`: what was taken away after the backup is taken away again, but for secrets and
    versions that were erased if `keep_erased`.
    """

    keep_tokens: bool = False
    only: tuple[str, ...] = ()
    later: LaterChanges | None = None
    keep_erased: bool = False


WHOLE: Final = Selection()


class RestorePlan(NamedTuple):
    """What a restore writes: the rows of a verified backup, chosen and changed.

    `rows`: how many of each table, if they were counted.
    """

    verified: VerifiedBackup
    selection: Selection
    changes: ChangePlan
    rows: dict[str, int]
    guard: RowGuard

    @property
    def tokens_dropped(self) -> int:
        """How many tokens are left out as such."""
        return 0 if self.selection.keep_tokens else self.verified.tokens

    @property
    def state(self) -> bytes:
        """Another one for other rows: what an interrupted restore is known by."""
        chosen = (self.selection.keep_tokens, self.selection.only, self.changes.digest)
        return sha256(f"{self.verified.manifest.digest} ".encode() + msgspec.msgpack.encode(chosen))

    def choose(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """What is restored of the rows of the backup."""
        chosen = self.changes.apply(_chosen(entries, self.selection))
        return chosen if self.selection.keep_tokens else _ending_leases(chosen, self.guard)


def plan_restore(
    source: Destination,
    backup: str,
    keys: VaultKeys,
    *,
    progress: Progress,
    identity: Identity | None = None,
    selection: Selection = WHOLE,
    at: int = 0,
    count: bool = False,
) -> RestorePlan:
    """Verify the backup, and find out what of it is restored. Nothing is written.

    `at` (Unix ns): its last commit is not later. With `count` the rows of each table are counted.

    Raises as `verify_backup`; `ConflictError` (`backup_outdated`, `backup_later`,
    `backup_without_secrets`), `UnavailableError` (`store_newer`), `NotFoundError`
    (`backup_secret_missing`): a name of `only` is no secret's.
    """
    verified = verify_backup(source, backup, keys, identity=identity, progress=progress)
    _require_schema(verified.manifest)
    require_not_later(verified.time, at)
    if selection.only and verified.manifest.excluded:
        raise without_secrets(backup)
    changes = NO_CHANGES
    if selection.later is not None:
        with merged_rows(source, verified.manifests, keys, identity) as entries:
            changes = plan_changes(
                selection.later,
                _chosen(entries, selection),
                keys,
                keep_erased=selection.keep_erased,
            )
    plan = RestorePlan(verified, selection, changes, {}, keys.guard)
    if count or selection.only:
        missing = set(selection.only)
        with merged_rows(source, verified.manifests, keys, identity) as entries:
            for entry in plan.choose(_noting(entries, missing)):
                plan.rows[entry.table.name] = plan.rows.get(entry.table.name, 0) + 1
        if selection.only and not plan.rows.get(SECRETS.name):
            missing.update(selection.only)  # those that are there were erased later
        if missing:
            raise NotFoundError(
                "backup_secret_missing",
                f"the backup has no secret by the name of {', '.join(sorted(missing))}: a folder's "
                "name ends with a slash",
            )
    return plan


def _noting(entries: Iterator[Entry], missing: set[str]) -> Iterator[Entry]:
    """The rows; of the names that are looked for, those that were found are taken away."""
    for entry in entries:
        if missing and isinstance(entry.row, SecretRow):
            missing -= {one for one in missing if is_named(entry.row.name, (one,))}
        yield entry


def restore_backup(
    source: Destination,
    backup: str,
    target: SqlBackend,
    keys: VaultKeys,
    *,
    root_key: bytes,
    now: int,
    progress: Progress,
    known: KnownState = NOTHING_KNOWN,
    identity: Identity | None = None,
    keep_tokens: bool = False,
    only: tuple[str, ...] = (),
    later: LaterChanges | None = None,
    keep_erased: bool = False,
    at: int = 0,
    reason: str = "",
    most: int = BATCH_ROWS,
) -> RestoreResult:
    """Verify the backup, and restore it into a database that is closed and empty.

    `keys` are of the newest backup's own keyring (`open_keyring`), which `root_key` seals; `now` is
    in Unix nanoseconds; `reason` goes into the audit log; `most`: rows of a transaction. For the
    others see `Selection`.

    Raises as `plan_restore`; `ConflictError` (`store_not_empty`), `UnavailableError`
    (`store_incomplete`), and what the backend raises.
    """
    plan = plan_restore(
        source,
        backup,
        keys,
        progress=progress,
        identity=identity,
        selection=Selection(keep_tokens, only, later, keep_erased),
        at=at,
    )
    verified = plan.verified
    try:
        target.take()
        target.hold()
        target.connect()
        begin_filling(target, unfinished_step(plan.state))
        with merged_rows(source, verified.manifests, keys, identity) as entries:
            _write_rows(target, plan.choose(entries), verified.rows, progress, most)
        with merged_rows(source, verified.manifests, keys, identity) as entries:
            rows, root, totals, system = _compare(target, plan.choose(entries), keys, progress)
        return _finish(
            target,
            keys,
            _Ending(
                verified.manifest,
                stamp=_stamp(system, keys),
                totals=totals,
                root_key=root_key,
                known=known if later is None else known.at_least(later.commits),
                record=RestoreRecord(
                    backup=verified.manifest.id,
                    taken=verified.manifest.created,
                    commits=verified.manifest.commits,
                    time=rfc3339(now),
                    tokens_kept=keep_tokens,
                    reason=reason[:MAX_TEXT],
                    only=list(only),
                    taken_away=plan.changes.counts,
                ),
            ),
            RestoreResult(
                backup, rows, root, 0, 0, plan.tokens_dropped, verified.time, plan.changes.counts
            ),
        )
    finally:
        target.close()


# The backup and what it builds on.


def verify_chain(source: Destination, backup: str, keys: VaultKeys) -> tuple[Manifest, ...]:
    """The verified manifests, from the newest down to the full one."""
    vault = keys.keyring.vault
    found = [
        _require_name(verify_manifest(read_manifest(source, backup), vault, keys.backup), backup)
    ]
    while (base := found[-1].base) is not None:
        try:
            note = read_manifest(source, base.id)
        except NotFoundError as error:
            raise NotFoundError(
                "backup_missing",
                f"{found[-1].id} builds on {base.id}, which is not there ({error.message}): put it "
                "back, or use another backup",
            ) from None
        below = _require_name(verify_manifest(note, vault, keys.backup), base.id)
        if below.reference != base or below.depth != found[-1].depth - 1:
            raise damaged(
                f"{found[-1].id} builds on another backup than the {base.id} that is here"
            )
        if below.excluded != found[-1].excluded:
            raise damaged(f"{found[-1].id} has other tables than {base.id}, on which it builds")
        if below.commits > found[-1].commits or below.schema != found[-1].schema:
            raise damaged(f"{found[-1].id} is older than {base.id}, on which it builds")
        found.append(below)
        if len(found) > MAX_CHAIN:
            raise damaged(f"{backup} builds on too many others")
    return tuple(found)


def _require_name(manifest: Manifest, backup: str) -> Manifest:
    if manifest.id != backup:
        raise damaged(f"the manifest by the name of {backup} is of {manifest.id}")
    return manifest


def _require_schema(manifest: Manifest) -> None:
    if manifest.schema > SCHEMA_LEVEL:
        raise UnavailableError(
            "store_newer", "the backup was made by a newer version of this program: use that one"
        )
    if manifest.schema < OLDEST_SCHEMA:
        raise ConflictError(
            "backup_outdated",
            "the backup was made by a version of this program that is too old: restore it with "
            "that one, then upgrade",
        )


@contextmanager
def merged_rows(
    source: Destination,
    manifests: tuple[Manifest, ...],
    keys: VaultKeys,
    identity: Identity | None,
) -> Iterator[Iterator[Entry]]:
    """The rows of the vault, by ascending places: of each row what the newest backup says of it.

    It is at its end only when every backup has been read to its end, and was as it should be.
    """
    with ExitStack() as stack:
        streams: list[Iterator[tuple[Any, int, Entry]]] = []
        for age, manifest in enumerate(manifests):
            file = stack.enter_context(source.open(manifest.id + DATA))
            header, encoded = read_header(file, manifest)
            file_key = unwrap_file_key(header, keys.backup, identity)
            entries = BackupReader(file, manifest, encoded, file_key).entries()
            streams.append(_aged(entries, age))
        yield _newest(heapq.merge(*streams, key=lambda item: item[:2]))


def _aged(entries: Iterator[Entry], age: int) -> Iterator[tuple[Any, int, Entry]]:
    return ((entry.place, age, entry) for entry in entries)


def _newest(items: Iterator[tuple[Any, int, Entry]]) -> Iterator[Entry]:
    for _, same in groupby(items, key=lambda item: item[0]):
        entry = next(same)[2]
        if entry.row is not None:
            yield entry


def _verify_rows(
    manifests: tuple[Manifest, ...],
    entries: Iterator[Entry],
    keys: VaultKeys,
    progress: Progress,
) -> VerifiedBackup:
    totals, tree, tokens = TotalsBuilder(keys.anchor), Frontier(sha256), 0
    system: dict[str, bytes] = {}
    with progress("Verifying backup", None) as advance:
        for entry in entries:
            check_row(keys.guard, entry.table, entry.row)
            totals.add(entry.table, entry.row)
            tree.append(leaf_hash(sha256, entry.record))
            tokens += entry.table is TOKENS
            if entry.table is SYSTEM:
                system[entry.row.name] = entry.row.value
            if tree.size % PROGRESS_ROWS == 0:
                advance(PROGRESS_ROWS)
        advance(tree.size % PROGRESS_ROWS)
    manifest, stamp = manifests[0], _stamp(system, keys)
    said = (stamp.vault, stamp.commits, stamp.epoch, stamp.feed.hex())
    if said != (manifest.vault, manifest.commits, manifest.epoch, manifest.feed):
        raise damaged(f"the commit stamp in {manifest.id} is not that of its manifest")
    require_totals(totals.totals(), _stamp_base(stamp, keys), manifest.excluded or ())
    return VerifiedBackup(manifests, tree.size, tree.root().hex(), tokens, stamp.time)


def _stamp(system: dict[str, bytes], keys: VaultKeys) -> CommitStamp:
    try:
        return decode_state(system.get(COMMIT_STAMP_ROW, b""), CommitStamp, keys.anchor)
    except ValueError as error:
        raise damaged(f"the commit stamp in the backup: {error}") from None


def _stamp_base(stamp: CommitStamp, keys: VaultKeys) -> StampBase:
    try:
        return stamp_base(stamp, keys.anchor)
    except ValueError as error:
        raise damaged(f"the commit stamp in the backup: {error}") from None


# The database.


_OF_SECRET: Final = VersionRow | AccessRow | RotationRow | ConsumerRow


def _chosen(entries: Iterator[Entry], selection: Selection) -> Iterator[Entry]:
    """What is restored. Without tokens nothing remembers when one of them was used, either."""
    accessors: set[str] = set()
    secrets: set[str] = set()
    for entry in entries:
        row = entry.row
        if not selection.keep_tokens:
            if isinstance(row, TokenRow):
                accessors.add(row.accessor)
                continue
            if isinstance(row, UsageRow) and row.credential_id in accessors:
                continue
            if isinstance(row, CubbyholeRow | SessionRow):
                continue
            if isinstance(row, AuthEntryRow) and row.uses_left:
                continue  # of a login that counts so many times: they may be used up by now
        if selection.only:
            if isinstance(row, SecretRow):
                if not is_named(row.name, selection.only):
                    continue
                secrets.add(row.id)
            elif isinstance(row, _OF_SECRET) and row.secret_id not in secrets:
                continue
        yield entry


def _ending_leases(entries: Iterator[Entry], guard: RowGuard) -> Iterator[Entry]:
    """The rows, in which each lease has ended.

    A row depends on the backup alone, since an interrupted restore makes it once more.
    """
    for entry in entries:
        row = entry.row
        if isinstance(row, DynamicLeaseRow) and row.state in STANDING:
            ended = stamp_row(guard, entry.table, end(row, "restored", row.issued_at))
            yield Entry(entry.place, ended, encode_row(entry.table, ended))
        else:
            yield entry


def without_secrets(backup: str) -> ConflictError:
    """The error for secrets that are wanted of a backup that has none."""
    return ConflictError(
        "backup_without_secrets",
        f"the backup {backup} was made without secrets (backup.include_secrets): use another one",
    )


def is_named(name: str, chosen: tuple[str, ...]) -> bool:
    """Whether a secret is one of these, or in a folder of these, which end with a slash."""
    return any(name == one or (one.endswith("/") and name.startswith(one)) for one in chosen)


def _write_rows(
    target: SqlBackend, entries: Iterator[Entry], total: int, progress: Progress, most: int
) -> None:
    with target.read() as session:
        behind = {table: last_key(session, table) for table in TABLES}
    with progress("Restoring rows", total) as advance:
        for table, same in groupby(entries, key=lambda entry: entry.table):
            after = behind[table]
            rows = _rows_behind(same, after, advance)
            for batch in batch_rows(table, rows, most):
                target.require_held()
                write_rows(target, WriteSet(inserts={table: batch}))
                advance(len(batch))


def _rows_behind(
    entries: Iterator[Entry], after: Key | None, advance: Callable[[int], None]
) -> Iterator[Any]:
    for entry in entries:
        if after is None or entry.place[1] > after:
            yield entry.row
        else:
            advance(1)


def _compare(
    target: SqlBackend, entries: Iterator[Entry], keys: VaultKeys, progress: Progress
) -> tuple[int, str, RowTotals, dict[str, bytes]]:
    """Read the database again; returns rows, root, totals and the rows of `SYSTEM`.

    It has the rows of the backup and no others, or it raises `TamperedError`
    (`store_copy_differs`).
    """
    wanted, found = Frontier(sha256), Frontier(sha256)
    totals = TotalsBuilder(keys.anchor)
    system: dict[str, bytes] = {}
    for entry in entries:
        wanted.append(leaf_hash(sha256, entry.record))
    with target.read() as session, progress("Comparing rows", wanted.size) as advance:
        session.inspect()
        for table, row in _all_rows(session):
            found.append(leaf_hash(sha256, encode_row(table, row)))
            totals.add(table, row)
            if table is SYSTEM:
                system[row.name] = row.value
            if found.size % PROGRESS_ROWS == 0:
                advance(PROGRESS_ROWS)
        advance(found.size % PROGRESS_ROWS)
    if (wanted.size, wanted.root()) != (found.size, found.root()):
        target.write_step(REJECTED)
        raise TamperedError(
            "store_copy_differs",
            f"the database has not what was written to it: {found.size} rows of {wanted.size}. No "
            "agent can start on it. Look for who else writes to it, and run the same command again",
        )
    target.check()
    return found.size, found.root().hex(), totals.totals(), system


def _all_rows(session: SqlSession) -> Iterator[tuple[Table[Any], Any]]:
    for table in TABLES:
        for row in read_rows(session, table):
            yield table, row


class _Ending(NamedTuple):
    """What the last transaction is made of."""

    manifest: Manifest
    stamp: CommitStamp
    totals: RowTotals
    root_key: bytes
    known: KnownState
    record: RestoreRecord


def _finish(
    target: SqlBackend, keys: VaultKeys, ending: _Ending, result: RestoreResult
) -> RestoreResult:
    """The transaction that makes it a vault.

    The stamp is nobody's: what the last one said of its node goes into the row of that node.
    """
    stamp, known = ending.stamp, ending.known
    epoch = max(stamp.epoch, keys.keyring.epoch, known.epoch) + 1
    commits = max(stamp.commits, known.commits)
    writer = CommitStampWriter(
        keys.anchor,
        base=StampBase(commits, ending.totals, stamp.feed, stamp.node_state),
        written=b"",
        replaced=None,  # the database is held by this restore
        epoch=epoch,
        times=lambda: StampTimes(stamp.time, stamp.slewed),
    )
    keyring = keys.keyring.at_epoch(epoch).encode(ending.root_key)

    def change(tx: StoreTx) -> None:
        tx.put(SYSTEM, SystemRow(name=KEYRING_ROW, value=keyring))
        nodes = [row.id for row in tx.select(NODES, StoreQuery(limit=MAX_LIMIT))]
        record = msgspec.structs.replace(ending.record, awaited=nodes)
        tx.put(SYSTEM, SystemRow(name=RESTORED_ROW, value=msgspec.json.encode(record)))

    def apply(session: StoreSession) -> WriteSet:
        batch = TransactionBatch(session, keys.guard, None)
        batch.run_change(change)
        writer.stamp(batch)
        cast("SqlSession", session).write_step(HEAD)
        return batch.write_set()

    target.require_held()
    target.write(apply)
    return msgspec.structs.replace(result, commits=commits + 1, epoch=epoch)
