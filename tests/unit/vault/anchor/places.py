"""A vault's keys, its database, its log and its anchor, without an agent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from vault.anchor.file import AnchorFile
from vault.anchor.mark import Base, Marker
from vault.anchor.opening import There
from vault.anchor.rows import Totals
from vault.audit.batch import BatchComposer
from vault.audit.layout import LogLayout
from vault.audit.recovery import recover_log
from vault.audit.sinks.file import FileSink
from vault.audit.testing import NOW, VAULT, make_keys, make_pending_record
from vault.barrier import RowGuard
from vault.crypto.anchoring import AnchoringKeys
from vault.crypto.keyring import Keyring
from vault.store.interface import Session, Writes
from vault.store.memory import MemoryBackend
from vault.store.tables import USERS
from vault.store.tx import Batch, Tx, transact

KEYRING = Keyring.create(NOW, org="o", vault=VAULT)
KEYS = AnchoringKeys(KEYRING)
EPOCH = KEYRING.epoch
AUDIT_KEYS = make_keys()


def new_marker() -> Marker:
    """The marker of a new vault."""
    return Marker(KEYS, base=Base(0, Totals()), written=b"")


def commit(backend: MemoryBackend, marker: Marker, *changes: Callable[[Tx], None]) -> None:
    """One transaction with its mark."""

    def apply(session: Session) -> Writes:
        batch = Batch(session, RowGuard(KEYRING), None)
        for change in changes:
            batch.run(change)
        marker.stamp(batch)
        return batch.writes()

    backend.write(apply)
    marker.stored()


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

    def __init__(self, path: Path, commits: Callable[[], int]) -> None:
        self.path = path
        self._sink = FileSink(path, reserve_bytes=0, durability="write")
        position = self._sink.load(AUDIT_KEYS, VAULT).position
        self._ledger = BatchComposer(
            AUDIT_KEYS, VAULT, position, rotation_bytes=2**30, commits=commits
        )

    def grow(self) -> str:
        """One batch; the signed head."""
        batch = self._ledger.compose([make_pending_record()], NOW)
        self._sink.write((batch,))
        return batch.note

    def close(self) -> None:
        """Give up the files."""
        self._sink.close()


def there(backend: MemoryBackend, folder: Path, epoch: int = EPOCH) -> There:
    """What an opening finds in a folder."""
    found = recover_log(LogLayout(folder / "audit.log"), AUDIT_KEYS, VAULT)
    return There(backend, RowGuard(KEYRING), AnchorFile(folder / "vault.anchor"), found, epoch)
