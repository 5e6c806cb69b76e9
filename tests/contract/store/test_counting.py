"""Numbers that rows add to, in every backend alike."""

import pytest

from tests.contract.store.samples import StampGuard, api_key, put, secret, token, user
from vault.model.records import AccessRow, UsageRow
from vault.store.interface import ConstraintError, StoreBackend, StoreSession, WriteSet
from vault.store.table import INTEGER_MAX, StoreQuery
from vault.store.tables import ACCESS, API_KEYS, SECRETS, TOKENS, USAGE, USERS
from vault.store.transaction import StoreTx, TransactionBatch, transact


def access(secrets: int, reads: int, last: int) -> list[AccessRow]:
    """What was counted of so many secrets."""
    return [
        AccessRow(secret_id=f"s{n}", value_reads=reads, last_value_read=last)
        for n in range(secrets)
    ]


def store(backend: StoreBackend, secrets: int) -> None:
    """So many of them, to be counted."""
    rows = [secret(f"n{n}", id=f"s{n}") for n in range(secrets)]
    transact(backend, put(SECRETS, *rows), StampGuard())


def stored(backend: StoreBackend) -> dict[str, AccessRow]:
    """What a reader finds, by secret."""
    with backend.read() as session:
        return {row.secret_id: row for row in session.select(ACCESS, StoreQuery())}


def test_counting(backend: StoreBackend) -> None:
    """Sums are added, of times the later one stays; a row that is not there comes as told.

    However many rows it are, and whatever size of statement they are told in.
    """
    store(backend, 76)
    for reads, last in ((1, 5), (2, 9), (3, 7)):
        transact(backend, lambda tx, r=reads, t=last: tx.add_counts(ACCESS, access(75, r, t)))
    transact(backend, lambda tx: tx.add_counts(ACCESS, access(76, 1, 9)))
    rows = stored(backend)
    assert len(rows) == 76
    assert {rows[f"s{n}"].value_reads for n in range(75)} == {7}
    assert {row.last_value_read for row in rows.values()} == {9}
    assert rows["s75"] == access(76, 1, 9)[-1]


def test_what_is_gone_is_not_counted(backend: StoreBackend) -> None:
    """Counts come late: of a secret that was erased meanwhile nothing is left behind."""
    store(backend, 9)
    transact(backend, lambda tx: tx.add_counts(ACCESS, access(9, 1, 5)))

    def erase(tx: StoreTx) -> None:
        tx.add_counts(ACCESS, access(2, 1, 6))
        tx.delete(ACCESS, "s0")
        tx.delete(SECRETS, "n0")

    transact(backend, erase, StampGuard())
    transact(backend, lambda tx: tx.add_counts(ACCESS, access(10, 1, 7)))
    counts = {name: row.value_reads for name, row in stored(backend).items()}
    assert counts == {"s1": 3} | {f"s{n}": 2 for n in range(2, 9)}


def test_one_who_comes_is_counted_at_once(backend: StoreBackend) -> None:
    """Counts of a transaction are done when all else is."""

    def come(tx: StoreTx) -> None:
        tx.add_counts(ACCESS, access(1, 1, 5))
        tx.put(SECRETS, secret("n0", id="s0"))

    transact(backend, come, StampGuard())
    assert stored(backend) == {"s0": access(1, 1, 5)[0]}


def test_changes_of_one_transaction_count_in_turn(backend: StoreBackend) -> None:
    """As they would in transactions of their own: what is put before is added to, not what after.

    Within one change counts come last.
    """
    store(backend, 5)
    transact(backend, lambda tx: tx.add_counts(ACCESS, access(5, 1, 5)))

    def apply(session: StoreSession) -> WriteSet:
        batch = TransactionBatch(session, StampGuard(), None)
        batch.run_change(lambda tx: [tx.put(ACCESS, access(1, 10, 6)[0]), tx.delete(ACCESS, "s1")])
        batch.run_change(lambda tx: tx.add_counts(ACCESS, access(4, 1, 7)))
        batch.run_change(lambda tx: [tx.put(ACCESS, access(3, 20, 6)[2]), tx.delete(ACCESS, "s3")])
        return batch.write_set()

    backend.write(apply)
    counts = {name: row.value_reads for name, row in stored(backend).items()}
    assert counts == {"s0": 11, "s1": 1, "s2": 20, "s4": 1}


def test_sums_end_where_integers_do(backend: StoreBackend) -> None:
    """No count fails for being large, and none becomes another kind of number."""
    store(backend, 1)
    large = access(1, INTEGER_MAX - 1, 5)
    transact(backend, lambda tx: tx.add_counts(ACCESS, large))
    for _ in range(2):
        transact(backend, lambda tx: tx.add_counts(ACCESS, large))
        transact(backend, lambda tx: [tx.add_counts(ACCESS, large), tx.add_counts(ACCESS, large)])
    assert stored(backend)["s0"].value_reads == INTEGER_MAX


def test_nothing_is_counted_by_what_fails(backend: StoreBackend) -> None:
    """Nor does a reader see of it what was not there when he began."""
    store(backend, 2)
    transact(backend, lambda tx: tx.add_counts(ACCESS, access(2, 1, 5)))

    def fail(tx: StoreTx) -> None:
        tx.add_counts(ACCESS, access(2, 1, 6))
        tx.put(SECRETS, secret("other", id="s0"))

    with pytest.raises(ConstraintError):
        transact(backend, fail, StampGuard())
    with backend.read() as session:
        before = session.select(ACCESS, StoreQuery())
        transact(backend, lambda tx: tx.add_counts(ACCESS, access(2, 1, 7)))
        assert session.select(ACCESS, StoreQuery()) == before == access(2, 1, 5)
    assert list(stored(backend).values()) == access(2, 2, 7)


def test_only_what_is_about_something_is_counted(backend: StoreBackend) -> None:
    """Another table is a fault of the program."""
    with pytest.raises(ValueError, match="nothing to count"):
        transact(backend, lambda tx: tx.add_counts(SECRETS, [secret("n")]), StampGuard())


def test_any_of_several_will_do(backend: StoreBackend) -> None:
    """A use is of a token or of a key; and both tables may be counted in at once."""
    store(backend, 1)
    transact(backend, put(USERS, user("ann")), StampGuard())
    transact(backend, put(API_KEYS, api_key("k", "ann")), StampGuard())
    transact(backend, put(TOKENS, token("a")), StampGuard())
    uses = [UsageRow(credential_id=name, uses=2, last_used=3) for name in ("k", "a", "gone")]
    transact(
        backend, lambda tx: [tx.add_counts(ACCESS, access(1, 1, 1)), tx.add_counts(USAGE, uses)]
    )
    assert list(stored(backend).values()) == access(1, 1, 1)
    with backend.read() as session:
        found = session.select(USAGE, StoreQuery())
    assert {row.credential_id: (row.uses, row.last_used) for row in found} == {
        "a": (2, 3),
        "k": (2, 3),
    }
