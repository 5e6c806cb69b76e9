"""A run that proved nothing does not look like one that did."""

from loadtests.durability.history import Round, Write
from loadtests.durability.report import Tally, format_table


def test_a_finding_fails_the_run() -> None:
    """One is enough."""
    tally = Tally("kill")
    tally.add_round(Round([Write("a", "1", "ok")]))
    assert not tally.failed
    tally.add_round(Round([Write("a", "2", "ok")], ["lost"]))
    assert tally.failed
    assert format_table([tally]).splitlines()[-1] == "| kill | 2 | 2 | 0 | 0 | 1 |"


def test_a_look_without_a_fault_is_not_counted_as_one() -> None:
    """A position that was not reached proves nothing."""
    tally = Tally("write, kill")
    tally.add_round(Round(struck=False))
    assert (tally.faults, tally.failed) == (0, True)


def test_no_fault_at_all_fails_the_run() -> None:
    """Nothing was shown."""
    assert Tally("kill").failed
