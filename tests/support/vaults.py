"""A vault in a database of any kind, written as an open agent writes it, without an agent."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from tests.support.databases import make_backend
from vault.barrier import KEYRING_ROW, SEAL_ROW, HmacRowGuard
from vault.crypto.anchor_keys import DerivedAnchorKeys
from vault.crypto.keyring import Keyring
from vault.model.records import SystemRow
from vault.seal.anchor.commit_stamp import CommitStampWriter, StampBase, StampTimes, stamp_base
from vault.seal.anchor.row_totals import RowTotals, require_searched_rows, sum_rows
from vault.seal.anchor.state import CommitStamp, decode_state
from vault.seal.seal_record import SealRecord
from vault.store.bulk import ORDER, read_rows
from vault.store.interface import StoreSession, WriteSet
from vault.store.sql import SqlBackend
from vault.store.tables import CHANGES, HEAD_ROW, SYSTEM
from vault.store.transaction import StoreTx, TransactionBatch

ROOT_KEY: Final = bytes(range(32))
NODE: Final = "0123456789abcdef"
MADE: Final = 1_800_000_000 * 10**9


class Vault:
    """A vault at a URL. Its backend is open within `opened`."""

    def __init__(self, url: str, vault: str = "vault-1") -> None:
        self.url = url
        self.keyring = Keyring.create(MADE, org="org", vault=vault)
        self.keys = DerivedAnchorKeys(self.keyring)
        self.guard = HmacRowGuard(self.keyring)
        self.backend: SqlBackend = make_backend(url)
        self._stamper = CommitStampWriter(
            self.keys,
            base=StampBase(0, RowTotals()),
            written=b"",
            node=NODE,
            times=lambda: StampTimes(MADE, MADE),
        )

    @contextmanager
    def opened(self) -> Iterator[SqlBackend]:
        """Its backend, open."""
        self.backend.open()
        try:
            yield self.backend
        finally:
            self.backend.close()

    def create(self, shares: int = 1, threshold: int = 1) -> None:
        """The first transaction of a vault whose root key is in shares."""
        record = SealRecord(
            type="shamir",
            shares=shares,
            threshold=threshold,
            org=self.keyring.org,
            vault=self.keyring.vault,
            created_at=MADE,
        )
        rows = [
            SystemRow(name=SEAL_ROW, value=msgspec.json.encode(record)),
            SystemRow(name=KEYRING_ROW, value=self.keyring.encode(ROOT_KEY)),
        ]
        self.commit(lambda tx: [tx.put(SYSTEM, row) for row in rows])

    def commit(self, *changes: Callable[[StoreTx], Any]) -> None:
        """One transaction."""

        def apply(session: StoreSession) -> WriteSet:
            batch = TransactionBatch(session, self.guard, None)
            for change in changes:
                batch.run_change(change)
            self._stamper.stamp(batch)
            return batch.write_set()

        self.backend.write(apply)
        self._stamper.on_durable()

    @property
    def commits(self) -> int:
        """How many there were."""
        return self._stamper.commits


def contents(backend: SqlBackend) -> dict[str, list[Any]]:
    """All rows of an open database, but the change feed."""
    with backend.read() as session:
        return {
            table.name: list(read_rows(session, table)) for table in ORDER if table is not CHANGES
        }


def require_whole(backend: SqlBackend, keyring: Keyring) -> CommitStamp:
    """What an opening checks of the database: schema, MACs, and the totals of the commit stamp."""
    keys = DerivedAnchorKeys(keyring)
    backend.check()
    with backend.read() as session:
        session.inspect()
        row = session.get(SYSTEM, (HEAD_ROW,))
        assert row is not None
        stamp = decode_state(row.value, CommitStamp, keys)
        totals = sum_rows(session, keys)
        require_searched_rows(session, HmacRowGuard(keyring))
    assert totals.differing_tables(stamp_base(stamp, keys).totals) == []
    return stamp
