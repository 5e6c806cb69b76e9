"""The backends that have to keep the contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.store.faulty import FaultyBackend
from vault.store.interface import StoreBackend
from vault.store.memory import MemoryBackend
from vault.store.sqlite import SqliteBackend


def _make(kind: str, folder: Path) -> StoreBackend:
    match kind:
        case "memory":
            return MemoryBackend()
        case "sqlite":
            return SqliteBackend(f"sqlite:///{folder}/vault.db")
        case _:
            return FaultyBackend(MemoryBackend())


@pytest.fixture(params=["memory", "sqlite", "faulty"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreBackend]:
    """An open, empty backend of each kind; a wrapper without faults is one of them."""
    made = _make(request.param, tmp_path)
    made.open()
    yield made
    made.close()
