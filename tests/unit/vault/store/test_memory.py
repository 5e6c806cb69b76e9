"""vault.store.memory: what the contract suite (tests/contract/store) does not say of it."""

import pytest

from tests.contract.store.samples import StampGuard, put, secret, system
from vault.errors import TamperedError
from vault.store.memory import MemoryBackend
from vault.store.tables import SECRETS, SYSTEM
from vault.store.transaction import transact


def test_rows_are_fresh() -> None:
    """A row is a value: who changes what he put or got changes nothing that is stored."""
    backend = MemoryBackend()
    tags = ["a"]
    transact(backend, put(SECRETS, secret("s", tags=tags)), StampGuard())
    tags.append("b")
    for _ in range(2):
        with backend.read() as session:
            row = session.get(SECRETS, ("s",))
        assert row is not None
        assert row.tags == ["a"]
        row.tags.append("c")


def test_damaged_row() -> None:
    """A row that does not decode is refused by name; the others are read."""
    backend = MemoryBackend()
    transact(backend, put(SYSTEM, system("a"), system("b")))
    dict.__setitem__(backend._tables["system"], ("a",), b'{"name": 1}')
    with backend.read() as session:
        with pytest.raises(TamperedError) as caught:
            session.get(SYSTEM, ("a",))
        assert session.get(SYSTEM, ("b",)) == system("b")
        assert session.existing_keys(SYSTEM, [("a",)]) == {("a",)}
    assert caught.value.details == {"table": "system", "key": ("a",)}
    with pytest.raises(TamperedError):
        backend.check()
