"""loadtests.durability.positions: where an operation is struck, with nothing missed."""

from pathlib import Path
from typing import get_args

import pytest

from loadtests.durability.faults.calls import FileCall
from loadtests.durability.faults.syscall_gate import Kind
from loadtests.durability.positions import Choice, positions

LOG = Path("/data/audit.log")
DATABASE = Path("/data/vault.db")
WAL = Path("/data/vault.db-wal")
RULE = Choice()
WORKERS = FileCall("pwrite", LOG, worker=7)
TRACE = [
    *(FileCall("pwrite", LOG) for _ in range(5)),
    FileCall("fdatasync", LOG),
    FileCall("pwrite", DATABASE),
    FileCall("pwrite", LOG),
]
ROUND = [FileCall("pwrite", WAL), FileCall("fdatasync", WAL), FileCall("pwrite", DATABASE)]


def what(call: FileCall) -> tuple[str, Path, bool]:
    """The same call of a worker and of the first process are two."""
    return call.name, call.path, bool(call.worker)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_call_on_every_file_is_struck_with_every_kind(kind: Kind) -> None:
    """The rule leaves out repetitions, never a call; a write by half is of writes only."""
    trace = [*TRACE, *ROUND * 20, WORKERS, FileCall("fdatasync", LOG, worker=7)]
    writes_only = kind in {"tear", "short", "worker torn"}
    of_workers = kind.startswith("worker")
    counted = [
        call
        for call in trace
        if (call.name == "pwrite" or not writes_only) and (call.worker or not of_workers)
    ]
    struck = {what(counted[at - 1]) for at in positions(trace, kind, RULE)}
    assert struck == {what(call) for call in counted}


def test_what_repeats_itself_is_struck_once_in_each_step() -> None:
    """A step is a call after another: the write after a sync is not the write after a write."""
    struck = positions(ROUND * 100, "kill", RULE, repeats=True)
    assert struck == [1, 2, 3, 4]


def test_a_short_sweep_is_spread_over_the_operation() -> None:
    """Not its first steps only, and never more than it was told."""
    assert positions(TRACE, "EIO", Choice(most=2)) == [2, 7]
    assert positions(TRACE, "EIO", Choice(most=1)) == [6]
    assert positions([], "EIO", Choice(most=2)) == []
