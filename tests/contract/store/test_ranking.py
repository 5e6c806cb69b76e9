"""The contract of `Session.ranked` and `Session.keys`."""

from msgspec.structs import replace

from tests.contract.store.samples import StampGuard, put, secret
from vault.model.records import AccessRow
from vault.store.interface import StoreBackend
from vault.store.table import RankedQuery, StoreQuery
from vault.store.tables import ACCESS, SECRETS
from vault.store.transaction import transact


def test_ranked(backend: StoreBackend) -> None:
    """Keys by a number that another table keeps of them: the greatest first, none without."""
    heads = [secret(name, id=f"id-{name}") for name in ("a", "b", "c", "d", "e/ä")]
    transact(backend, put(SECRETS, *heads), StampGuard())
    reads = {"id-a": 5, "id-b": 0, "id-c": 9, "id-e/ä": 5, "of none": 7}
    rows = [AccessRow(secret_id=key, last_value_read=n) for key, n in reads.items()]
    transact(backend, put(ACCESS, *rows), StampGuard())
    by_last = RankedQuery(table=SECRETS, link="id", by=ACCESS, column="last_value_read", limit=10)
    with backend.read() as session:
        assert session.select_ranked(by_last) == [("c",), ("a",), ("e/ä",)]
        assert session.select_ranked(replace(by_last, limit=1)) == [("c",)]
        assert session.select_ranked(replace(by_last, column="value_reads")) == []


def test_keys(backend: StoreBackend) -> None:
    """Of the rows of a query, in its order, and on behind one."""
    heads = [secret(name, id=f"id-{name}") for name in ("e/ä", "b", "a", "c")]
    transact(backend, put(SECRETS, *heads), StampGuard())
    with backend.read() as session:
        assert session.select_keys(SECRETS, StoreQuery()) == [("a",), ("b",), ("c",), ("e/ä",)]
        assert session.select_keys(SECRETS, StoreQuery(after=("a",), limit=2)) == [("b",), ("c",)]
        assert session.select_keys(SECRETS, StoreQuery(after=("e/ä",))) == []
