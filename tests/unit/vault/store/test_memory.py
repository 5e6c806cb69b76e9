"""vault.store.memory: what the contract suite (tests/contract/store) does not say of it."""

from tests.contract.store.samples import StampGuard, put, secret
from vault.store.memory import MemoryBackend
from vault.store.tables import SECRETS
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
