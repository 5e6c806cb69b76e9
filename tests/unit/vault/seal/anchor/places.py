"""A vault's keys, its database, its log and its anchor, without an agent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from vault.audit.batch import BatchComposer
from vault.audit.layout import LogLayout
from vault.audit.recovery import recover_log
from vault.audit.sinks.file import FileSink
from vault.audit.testing import LOG_ID, NODE, NOW, VAULT, make_keys, make_pending_record
from vault.barrier import HmacRowGuard
from vault.crypto.anchor_keys import DerivedAnchorKeys
from vault.crypto.keyring import Keyring
from vault.seal.anchor.anchor_file import AnchorFile
from vault.seal.anchor.commit_stamp import CommitStampWriter, StampBase
from vault.seal.anchor.rollback_check import VaultFiles
from vault.seal.anchor.row_totals import RowTotals
from vault.store.interface import StoreSession, WriteSet
from vault.store.memory import MemoryBackend
from vault.store.tables import USERS
from vault.store.transaction import StoreTx, TransactionBatch, transact

KEYRING = Keyring.create(NOW, org="o", vault=VAULT)
KEYS = DerivedAnchorKeys(KEYRING)
EPOCH = KEYRING.epoch
AUDIT_KEYS = make_keys()


def new_stamp_writer(node: str = NODE) -> CommitStampWriter:
    """The stamp_writer of a new vault."""
    return CommitStampWriter(KEYS, base=StampBase(0, RowTotals()), written=b"", node=node)


def commit(
    backend: MemoryBackend, stamp_writer: CommitStampWriter, *changes: Callable[[StoreTx], None]
) -> None:
    """One transaction with its mark."""

    def apply(session: StoreSession) -> WriteSet:
        batch = TransactionBatch(session, HmacRowGuard(KEYRING), None)
        for change in changes:
            batch.run_change(change)
        stamp_writer.stamp(batch)
        return batch.write_set()

    backend.write(apply)
    stamp_writer.on_durable()


class _Unstamped:
    """The guard of somebody who has the file and no key."""

    def stamp(self, _table: str, row: Any, /) -> Any:
        """As it is."""
        return row

    def check(self, _table: str, _row: Any, /) -> None:
        """Whatever it is."""


def renamed(backend: MemoryBackend, user: str) -> None:
    """Have the row of a user lie under another key, as somebody does who has the file."""
    with backend.read() as session:
        row = session.get(USERS, (user,))
        assert row is not None
    transact(backend, lambda tx: tx.delete(USERS, user), _Unstamped())
    transact(backend, lambda tx: tx.put(USERS, replace(row, id="zz")), _Unstamped())


class Log:
    """An audit log of its own making."""

    def __init__(self, path: Path, commits: Callable[[], int], log_id: str = LOG_ID) -> None:
        self.path = path
        self._sink = FileSink(path, reserve_bytes=0, durability="write")
        position = self._sink.load(AUDIT_KEYS, log_id).position
        self._ledger = BatchComposer(
            AUDIT_KEYS, log_id, position, rotation_bytes=2**30, commits=commits
        )

    def grow(self) -> str:
        """One batch; the signed head."""
        batch = self._ledger.compose([make_pending_record()], NOW)
        self._sink.write((batch,))
        return batch.note

    def close(self) -> None:
        """Give up the files."""
        self._sink.close()


def there(backend: MemoryBackend, folder: Path, epoch: int = EPOCH) -> VaultFiles:
    """What an opening finds in a folder."""
    found = recover_log(LogLayout(folder / "audit.log"), AUDIT_KEYS, LOG_ID)
    return VaultFiles(
        backend, HmacRowGuard(KEYRING), AnchorFile(folder / "vault.anchor"), found, epoch, NODE
    )
