"""Which files of tests begin first."""

from pathlib import Path

from tests.run_order import LONGEST, run_order


def test_the_longest_are_there(root: Path) -> None:
    """A file that is renamed is renamed in the list, too."""
    assert [file for file in LONGEST if not (root / file).is_file()] == []


def test_the_longest_first_and_the_rest_mixed() -> None:
    """Each kind stays in its order; those that compute are spread over the whole run."""
    waits = [f"tests/acceptance/test_{at}.py" for at in range(4)]
    computes = [f"tests/unit/test_{at}.py" for at in range(8)]
    order = run_order([*waits, *computes, LONGEST[1], LONGEST[0]])
    assert order[:2] == list(LONGEST[:2])
    rest = order[2:]
    assert [file for file in rest if file in waits] == waits
    assert [file for file in rest if file in computes] == computes
    for half in (rest[:6], rest[6:]):
        assert sum(file in computes for file in half) == 4


def test_nothing_is_lost() -> None:
    """Whatever is asked for, each file is there once."""
    for files in ([], ["a.py"], ["tests/unit/a.py"], [*LONGEST, "tests/unit/a.py"]):
        assert sorted(run_order(files)) == sorted(files)
