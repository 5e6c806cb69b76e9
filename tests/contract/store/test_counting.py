"""Numbers that rows add to, in every backend alike."""

from tests.contract.store.samples import StampGuard, api_key, put, secret, token, user
from vault.model.records import AccessRow, UsageRow
from vault.store.interface import Backend
from vault.store.table import Query
from vault.store.tables import ACCESS, API_KEYS, SECRETS, TOKENS, USAGE, USERS
from vault.store.tx import Tx, transact


def access(secrets: int, reads: int, last: int) -> list[AccessRow]:
    """What was counted of so many secrets."""
    return [
        AccessRow(secret_id=f"s{n}", value_reads=reads, last_value_read=last)
        for n in range(secrets)
    ]


def store(backend: Backend, secrets: int) -> None:
    """So many of them, to be counted."""
    rows = [secret(f"n{n}", id=f"s{n}") for n in range(secrets)]
    transact(backend, put(SECRETS, *rows), StampGuard())


def stored(backend: Backend) -> dict[str, AccessRow]:
    """What a reader finds, by secret."""
    with backend.read() as session:
        return {row.secret_id: row for row in session.select(ACCESS, Query())}


def test_counting(backend: Backend) -> None:
    """Sums are added, of times the later one stays; a row that is not there comes as told.

    However many rows it are, and whatever size of statement they are told in.
    """
    store(backend, 76)
    for reads, last in ((1, 5), (2, 9), (3, 7)):
        transact(backend, lambda tx, r=reads, t=last: tx.count(ACCESS, access(75, r, t)))
    transact(backend, lambda tx: tx.count(ACCESS, access(76, 1, 9)))
    rows = stored(backend)
    assert len(rows) == 76
    assert {rows[f"s{n}"].value_reads for n in range(75)} == {7}
    assert {row.last_value_read for row in rows.values()} == {9}
    assert rows["s75"] == access(76, 1, 9)[-1]


def test_what_is_gone_is_not_counted(backend: Backend) -> None:
    """Counts come late: of a secret that was erased meanwhile nothing is left behind."""
    store(backend, 9)
    transact(backend, lambda tx: tx.count(ACCESS, access(9, 1, 5)))

    def erase(tx: Tx) -> None:
        tx.count(ACCESS, access(2, 1, 6))
        tx.delete(ACCESS, "s0")
        tx.delete(SECRETS, "n0")

    transact(backend, erase, StampGuard())
    transact(backend, lambda tx: tx.count(ACCESS, access(10, 1, 7)))
    counts = {name: row.value_reads for name, row in stored(backend).items()}
    assert counts == {"s1": 3} | {f"s{n}": 2 for n in range(2, 9)}


def test_one_who_comes_is_counted_at_once(backend: Backend) -> None:
    """Counts of a transaction are done when all else is."""

    def come(tx: Tx) -> None:
        tx.count(ACCESS, access(1, 1, 5))
        tx.put(SECRETS, secret("n0", id="s0"))

    transact(backend, come, StampGuard())
    assert stored(backend) == {"s0": access(1, 1, 5)[0]}


def test_what_is_put_or_deleted_is_not_counted(backend: Backend) -> None:
    """In the same transaction, whichever comes first."""
    store(backend, 4)
    transact(backend, lambda tx: tx.count(ACCESS, access(4, 1, 5)))

    def change(tx: Tx) -> None:
        tx.delete(ACCESS, "s0")
        tx.count(ACCESS, access(3, 1, 6))
        tx.delete(ACCESS, "s1")
        tx.put(ACCESS, access(3, 10, 6)[2])

    transact(backend, change)
    counts = {name: row.value_reads for name, row in stored(backend).items()}
    assert counts == {"s2": 10, "s3": 1}


def test_any_of_several_will_do(backend: Backend) -> None:
    """A use is of a token or of a key."""
    transact(backend, put(USERS, user("ann")), StampGuard())
    transact(backend, put(API_KEYS, api_key("k", "ann")), StampGuard())
    transact(backend, put(TOKENS, token("a")), StampGuard())
    uses = [UsageRow(credential_id=name, uses=2, last_used=3) for name in ("k", "a", "gone")]
    transact(backend, lambda tx: tx.count(USAGE, uses))
    with backend.read() as session:
        found = session.select(USAGE, Query())
    assert {row.credential_id: (row.uses, row.last_used) for row in found} == {
        "a": (2, 3),
        "k": (2, 3),
    }
