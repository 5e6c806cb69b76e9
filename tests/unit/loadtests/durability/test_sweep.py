"""Which positions are struck, and the watch over failed syncs."""

from pathlib import Path

from loadtests.durability.faults.calls import Call
from loadtests.durability.sweep import Plan, positions, retried

LOG = Path("/data/audit.log")
DATABASE = Path("/data/vault.db")
TRACE = [
    *(Call("pwrite", LOG) for _ in range(5)),
    Call("fdatasync", LOG),
    Call("pwrite", DATABASE),
]


def test_of_equal_calls_in_a_row_the_first_second_and_last_are_struck() -> None:
    """A run of one is struck once, and a sync between two runs keeps them apart."""
    assert positions(TRACE, "kill", Plan()) == [1, 2, 5, 6, 7]


def test_every_position_is_struck_when_asked() -> None:
    """All of them, in order."""
    assert positions(TRACE, "kill", Plan(every=True)) == [1, 2, 3, 4, 5, 6, 7]


def test_torn_and_short_writes_count_writes_only() -> None:
    """A sync cannot be done by half."""
    assert positions(TRACE, "tear", Plan()) == [1, 2, 5, 6]
    assert positions(TRACE, "short", Plan(every=True)) == [1, 2, 3, 4, 5, 6]


def test_a_short_sweep_is_spread_over_the_operation() -> None:
    """Not its first steps only, and never more than it was told."""
    assert positions(TRACE, "EIO", Plan(most=2)) == [1, 6]
    assert positions([], "EIO", Plan(most=2)) == []


def test_a_failed_sync_that_is_tried_again_is_told() -> None:
    """On the same descriptor: the kernel has forgotten what it could not write."""
    failed = Call("fdatasync", LOG, "EIO")
    again = Call("fdatasync", LOG)
    assert len(list(retried([failed, Call("pwrite", LOG), again]))) == 1
    assert not list(retried([failed, Call("openat", LOG), again]))
    assert not list(retried([failed, Call("fdatasync", DATABASE)]))
    assert not list(retried([Call("fdatasync", LOG, "delay"), again]))


def test_sqlite_may_sync_again_once_it_has_written_the_pages_anew() -> None:
    """It copies all of them from its log again, which is kept until that worked."""
    failed = Call("fdatasync", DATABASE, "EIO")
    assert len(list(retried([failed, Call("fdatasync", DATABASE)]))) == 1
    assert not list(retried([failed, Call("pwrite", DATABASE), Call("fdatasync", DATABASE)]))
