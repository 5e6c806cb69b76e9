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


@pytest.mark.parametrize("kind", ["kill", "EIO", "ENOSPC"])
def test_of_equal_calls_in_a_row_the_first_second_and_last_are_struck(kind: Kind) -> None:
    """A run of one is struck once, and a sync between two runs keeps them apart."""
    assert positions(TRACE, kind, RULE) == [1, 2, 5, 6, 7, 8]


@pytest.mark.parametrize("kind", ["delay", "EIO stays", "ENOSPC stays"])
def test_what_stays_or_changes_nothing_strikes_each_call_on_each_file_once(kind: Kind) -> None:
    """The first; the second run of the same call is not another one."""
    assert positions(TRACE, kind, RULE) == [1, 6, 7]


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


def test_every_position_is_struck_when_asked() -> None:
    """All of them, in order, with the kinds that the rule spares as well."""
    assert positions(TRACE, "kill", Choice(every=True)) == list(range(1, 9))
    assert positions(ROUND * 2, "delay", Choice(every=True), repeats=True) == list(range(1, 7))


def test_torn_and_short_writes_count_writes_only() -> None:
    """A sync cannot be done by half."""
    assert positions(TRACE, "tear", RULE) == [1, 2, 5, 6, 7]
    assert positions(TRACE, "short", Choice(every=True)) == list(range(1, 8))


def test_only_what_a_worker_does_is_struck_by_its_death() -> None:
    """The death of the first process is the agent's."""
    assert positions([*TRACE, WORKERS, *TRACE, WORKERS], "worker killed", RULE) == [1, 2]
    assert positions(TRACE, "worker torn", Choice(every=True)) == []


def test_a_short_sweep_is_spread_over_the_operation() -> None:
    """Not its first steps only, and never more than it was told."""
    assert positions(TRACE, "EIO", Choice(most=2)) == [2, 7]
    assert positions(TRACE, "EIO", Choice(most=1)) == [6]
    assert positions([], "EIO", Choice(most=2)) == []
