"""The durable sinks that have to keep the contract."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vault.audit.replica import DurableSink
from vault.audit.sinks.file import FileSink
from vault.audit.testing import FaultyDisk


def _make(kind: str, log: Path) -> DurableSink:
    match kind:
        case "fsync":
            return FileSink(log, reserve_bytes=4096)
        case "write":
            return FileSink(log, durability="write", reserve_bytes=0)
        case _:
            return FileSink(log, reserve_bytes=4096, disk=FaultyDisk())


@pytest.fixture(params=["fsync", "write", "faulty"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], DurableSink]:
    """A sink of each kind under a name; the same name is the same log."""
    return lambda name: _make(request.param, tmp_path / name / "audit.log")
