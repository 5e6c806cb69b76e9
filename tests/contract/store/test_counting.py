"""Numbers that rows add to, in every backend alike."""

from tests.contract.store.samples import StampGuard
from vault.model.records import AccessRow
from vault.store.interface import Backend
from vault.store.table import Query
from vault.store.tables import ACCESS
from vault.store.tx import Tx, transact


def access(secrets: int, reads: int, last: int) -> list[AccessRow]:
    """What was counted of so many secrets."""
    return [
        AccessRow(secret_id=f"s{n}", value_reads=reads, last_value_read=last)
        for n in range(secrets)
    ]


def stored(backend: Backend) -> dict[str, AccessRow]:
    """What a reader finds, by secret."""
    with backend.read() as session:
        return {row.secret_id: row for row in session.select(ACCESS, Query())}


def test_counting(backend: Backend) -> None:
    """Sums are added, of times the later one stays; who is not there begins as told.

    However many rows it are, and whatever size of statement they are told in.
    """
    for reads, last in ((1, 5), (2, 9), (3, 7)):
        transact(backend, lambda tx, r=reads, t=last: tx.count(ACCESS, access(75, r, t)))
    transact(backend, lambda tx: tx.count(ACCESS, access(76, 1, 9)))
    rows = stored(backend)
    assert len(rows) == 76
    assert {rows[f"s{n}"].value_reads for n in range(75)} == {7}
    assert {row.last_value_read for row in rows.values()} == {9}
    assert rows["s75"] == access(76, 1, 9)[-1]


def test_what_is_deleted_is_not_counted(backend: Backend) -> None:
    """In one transaction, whichever comes first: nobody comes back by being counted."""
    transact(backend, lambda tx: tx.count(ACCESS, access(4, 1, 5)))

    def change(tx: Tx) -> None:
        tx.delete(ACCESS, "s0")
        tx.count(ACCESS, access(3, 1, 6))
        tx.delete(ACCESS, "s1")
        tx.put(ACCESS, access(3, 10, 6)[2])

    transact(backend, change, StampGuard())
    rows = stored(backend)
    assert {name: row.value_reads for name, row in rows.items()} == {"s2": 10, "s3": 1}
